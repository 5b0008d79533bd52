"""Datasets of arrays and episodes: read by the rules for files, kept in a file or the run directory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from seqrl_cli import Dataset, load, load_dataset, train
from seqrl_cli.errors import SeqrlError, UsageError
from tests.workflows.tiny import NAME, TINY, swings

ARRAYS = {name: getattr(swings(), name) for name in ("observations", "actions", "rewards")}
ENDS = swings().timeouts


def columns(**changes) -> dict:
    return {**ARRAYS, "terminated": ~ENDS & ENDS, "truncated": ENDS, **changes}


def test_flat_arrays_are_cut_at_their_flags(runs):
    dataset = Dataset.from_arrays(**columns(), env_id="Pendulum-v1")
    assert (len(dataset), dataset.transitions, dataset.lengths.tolist()) == (5, 100, [20] * 5)
    assert np.array_equal(dataset.returns, swings().returns)
    assert repr(dataset).startswith("Dataset(Pendulum-v1: 5 episodes, 100 transitions, returns -1")


def test_episodes_one_by_one_give_the_same_dataset():
    flat = Dataset.from_arrays(**columns())
    again = Dataset.from_episodes(list(flat))
    assert again.episodes.fingerprint() == flat.episodes.fingerprint()
    assert flat[-1]["rewards"].tolist() == flat.rewards[-20:].tolist()


@dataclass
class Played:
    """As Minari's episodes: one observation more than actions, and things that are no columns."""

    id: int
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    infos: dict


def test_minaris_episodes_are_taken_as_they_are():
    no, last = np.zeros(4, bool), np.arange(4) == 3
    episode = Played(7, np.arange(15.0).reshape(5, 3), np.ones((4, 1)), np.ones(4), last, no, {"goal": 1})
    dataset = Dataset.from_episodes([episode, episode])
    assert dataset.lengths.tolist() == [4, 4] and dataset.episodes.terminals.sum() == 2


def test_one_flag_may_tell_how_an_episode_ended():
    episode = {**{key: value[:20] for key, value in ARRAYS.items()}, "terminated": True}
    assert Dataset.from_episodes([episode, {**episode, "terminated": False}]).episodes.terminals.sum() == 1


def test_whole_numbers_are_choices_and_states():
    states, choices = np.array([0, 2, 1, 3]), np.array([0, 1, 1, 0])
    dataset = Dataset.from_arrays(states, choices, np.ones(4), terminated=[0, 0, 0, 1])
    assert dataset.observations.shape == (4, 4) and dataset.spaces.action.size == 1 and dataset.actions.ndim == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": np.full(100, np.nan)}, "rewards is nan at row 0"),
        ({"rewards": np.ones(99)}, "rewards has 99 rows, but observations has 100"),
        (
            {"actions": np.ones((100, 2)), "env_id": "Pendulum-v1"},
            r"sizes \(3, 2\), but Pendulum-v1 has sizes \(3, 1\)",
        ),
        ({"env_id": "Pendulum-v9"}, "Pendulum"),
        ({"name": "sim/hopper-medium"}, "the name of a known dataset"),
        ({"name": "../outside"}, "cannot be the name of a dataset"),
        ({"reference_min": 1.0}, "reference_max is missing"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(SeqrlError, match=message):
        Dataset.from_arrays(**columns(**changes))


@pytest.mark.parametrize("items", [[], [3], [{"observations": [[1.0]]}], [{**ARRAYS}]])
def test_a_list_of_something_else_is_refused(items):
    with pytest.raises(SeqrlError):
        Dataset.from_episodes(items)


def test_a_saved_file_is_the_same_dataset(runs, tmp_path):
    dataset = Dataset.from_arrays(**columns(), env_id="Pendulum-v1", reference_min=-1600, reference_max=-150)
    read = load_dataset(dataset.save(tmp_path / "swings.h5"))
    assert read.name == "local/swings" and read.env_id == "Pendulum-v1"
    assert read.episodes.fingerprint() == dataset.episodes.fingerprint()
    assert (read.facts["reference_min"], read.facts["reference_max"]) == (-1600, -150)
    with pytest.raises(UsageError, match="not the name of an HDF5 file"):
        dataset.save(tmp_path / "swings.csv")


def test_storing_twice_keeps_one_and_another_dataset_is_refused(runs):
    dataset = Dataset.from_arrays(**columns(), name="swings")
    assert dataset.store() == dataset.store() == "swings"
    other = Dataset.from_arrays(**columns(rewards=ARRAYS["rewards"] * 2), name="swings")
    with pytest.raises(SeqrlError, match="contains another dataset"):
        other.store()
    assert other.store(force=True) == "swings" and load_dataset("swings").returns.sum() == other.returns.sum()
    with pytest.raises(UsageError, match="has no name"):
        Dataset.from_arrays(**columns()).store()


def test_a_dataset_in_memory_is_trained_and_played(runs):
    keys = {key.replace(".", "__"): value for key, value in TINY["dt"].items()}
    dataset = Dataset.from_arrays(**columns(), env_id="Pendulum-v1", name="swings")
    report = train(dataset, arch="dt", seed=7, quiet=True, threads=1, **keys)
    assert report.run.endswith("runs/swings/dt-s7") and report.updates == 2
    assert train(dataset, arch="dt", seed=7, quiet=True, threads=1, **keys).fresh is False
    assert load("swings/dt-s7").act([1.0, 0.0, 0.0]).shape == (1,)


def test_an_unknown_key_is_named(runs):
    with pytest.raises(UsageError, match="model.widht"):
        train(NAME, arch="dt", model__widht=8)


def test_slices_are_lists_of_episodes_and_wrong_numbers_are_named():
    arrays = {
        "observations": np.zeros((3, 2)),
        "actions": np.zeros((3, 1)),
        "terminated": np.array([False, False, True]),
    }
    data = Dataset.from_episodes([{**arrays, "rewards": np.arange(3.0) + number} for number in range(3)])
    assert [one["rewards"][0] for one in data[1:]] == [1, 2] and data[-1]["rewards"][0] == 2
    with pytest.raises(IndexError, match="there is no episode 3: the dataset has 3"):
        data[3]
