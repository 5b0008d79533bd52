"""Minari's datasets: what we write its loader opens, what its writer makes we read, dictionaries become vectors."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import h5py
import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.minari import MinariFacts
from seqrl_cli.data.formats.minari_metadata import MAIN, METADATA
from seqrl_cli.data.formats.read import content_sha256, read_attributes, read_dataset, stamp
from seqrl_cli.data.space import BoxSpace
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.errors import SeqrlError
from tests.data.conftest import ragged
from tests.data.files import FACTS, assert_equal, written

pytestmark = pytest.mark.slow


def exclusive(episodes: Episodes) -> Episodes:
    """The same, a row being a timeout only where it is no terminal."""
    flags = (episodes.terminals, episodes.timeouts & ~episodes.terminals)
    return Episodes.from_flags(episodes.observations, episodes.actions, episodes.rewards, *flags)


def test_round_trip(tmp_path, episodes):
    folder = written(tmp_path, episodes)
    assert_equal(read_dataset(folder), exclusive(episodes))
    assert_equal(read_dataset(folder / "data"), exclusive(episodes))
    assert read_dataset(folder, ReadOptions(observation_slice=2)).observation_dim == 2
    stated = read_attributes(folder)
    assert (stated["minari_id"], stated["reference_min"], stated["reference_max"]) == ("test/ragged-v0", -1.0, 2.5)


def test_written_again_it_is_another(tmp_path):
    folder = written(tmp_path, ragged(0))
    before, state = content_sha256(folder), stamp(folder)
    written(tmp_path, ragged(1))
    assert content_sha256(folder) != before and stamp(folder) != state
    assert_equal(read_dataset(folder), exclusive(ragged(1)))


@pytest.fixture
def minari(tmp_path, monkeypatch):
    package = pytest.importorskip("minari", reason="the package is not installed: pip install minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return package


@pytest.mark.filterwarnings("ignore")
def test_its_own_loader_opens_what_is_written(minari, tmp_path):
    episodes = ragged(3, observation_dim=11, action_dim=3)
    spec = gymnasium.spec("Hopper-v5").to_json()
    spaces = Spaces(BoxSpace((11,)), BoxSpace((3,), low=(-1,), high=(1,)))
    written(tmp_path, episodes, MinariFacts("test/hopper-v0", spec, spaces, FACTS.others))
    loaded = minari.load_dataset("test/hopper-v0")
    assert list(minari.list_local_datasets()) == ["test/hopper-v0"]
    assert (loaded.total_episodes, loaded.total_steps) == (len(episodes), episodes.transitions)
    assert loaded.observation_space.shape == (11,) and loaded.action_space == gymnasium.spaces.Box(-1, 1, (3,))
    for index, one in enumerate(loaded.iterate_episodes()):
        rows = slice(episodes.offsets[index], episodes.offsets[index + 1])
        np.testing.assert_array_equal(one.observations[:-1], episodes.observations[rows])
        np.testing.assert_array_equal(one.actions, episodes.actions[rows])
        np.testing.assert_array_equal(one.rewards, episodes.rewards[rows])
        np.testing.assert_array_equal(one.terminations, episodes.terminals[rows])
        assert one.terminations[-1] != one.truncations[-1] and len(one.observations) == len(one.rewards) + 1
        assert "episode" in repr(one).lower() and loaded.action_space.contains(np.clip(one.actions[0], -1, 1))
    assert minari.get_normalized_score(loaded, np.float64(2.5)) == 1.0
    with loaded.recover_environment() as environment:
        assert environment.spec.id == "Hopper-v5"


def buffers(minari, count: int, observe):
    """Episodes of 3, 4, … steps in Minari's own form, with an observation more than actions."""
    rng = np.random.default_rng(0)
    made = []
    for index in range(count):
        steps = 3 + index
        made.append(
            minari.data_collector.EpisodeBuffer(
                id=index,
                seed=index,
                observations=observe(rng, steps + 1),
                actions=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
                rewards=rng.normal(size=steps).tolist(),
                terminations=[False] * (steps - 1) + [index % 2 == 0],
                truncations=[False] * (steps - 1) + [index % 2 == 1],
                infos={"distance": np.arange(steps + 1.0), "pose": {"x": np.zeros((steps + 1, 2))}},
            )
        )
    return made


@pytest.mark.filterwarnings("ignore")
def test_what_its_own_writer_makes_is_read(minari, tmp_path):
    made = buffers(minari, 4, lambda rng, rows: rng.normal(size=(rows, 5)))
    spaces = {
        "observation_space": gymnasium.spaces.Box(-9, 9, (5,), np.float64),
        "action_space": gymnasium.spaces.Box(-1, 1, (2,)),
    }
    minari.create_dataset_from_buffers("test/vectors-v3", made, **spaces)
    episodes = read_dataset(tmp_path / "test/vectors-v3")
    assert episodes.lengths.tolist() == [3, 4, 5, 6]
    assert episodes.terminals[episodes.offsets[1:] - 1].tolist() == [True, False, True, False]
    expected = np.concatenate([one.observations[:-1] for one in made])
    np.testing.assert_array_equal(episodes.observations, expected.astype(np.float32))
    np.testing.assert_allclose(episodes.rewards, np.concatenate([one.rewards for one in made]), rtol=1e-6)
    again = written(tmp_path, episodes)
    assert_equal(read_dataset(again), episodes)


@pytest.mark.filterwarnings("ignore")
def test_dictionaries_are_joined_as_gymnasium_joins_them(minari, tmp_path):
    space = gymnasium.spaces.Dict(
        observation=gymnasium.spaces.Box(-9, 9, (4,), np.float64),
        desired_goal=gymnasium.spaces.Box(-9, 9, (2,), np.float64),
        achieved_goal=gymnasium.spaces.Dict(y=gymnasium.spaces.Box(-9, 9, (1,)), x=gymnasium.spaces.Box(-9, 9, (1,))),
    )

    def observe(rng, rows):
        def draw(size):
            return rng.normal(size=(rows, size)).astype(np.float32)

        goal = {"x": draw(1), "y": draw(1)}
        return {
            "observation": draw(4).astype(np.float64),
            "desired_goal": draw(2).astype(np.float64),
            "achieved_goal": goal,
        }

    made = buffers(minari, 2, observe)
    minari.create_dataset_from_buffers(
        "maze-v0", made, observation_space=space, action_space=gymnasium.spaces.Box(-1, 1, (2,))
    )
    episodes = read_dataset(tmp_path / "maze-v0")
    assert (
        read_attributes(tmp_path / "maze-v0")["observation_keys"]
        == "observation desired_goal achieved_goal.y achieved_goal.x"
    )
    seen = made[0].observations
    for row in range(3):
        step = {
            "observation": seen["observation"][row],
            "desired_goal": seen["desired_goal"][row],
            "achieved_goal": {key: seen["achieved_goal"][key][row] for key in "xy"},
        }
        np.testing.assert_allclose(episodes.observations[row], gymnasium.spaces.flatten(space, step), rtol=1e-6)


def spoil_metadata(**changes):
    def spoil(folder: Path) -> None:
        path = folder / "data" / METADATA
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def spoil_file(change):
    def spoil(folder: Path) -> None:
        with h5py.File(folder / "data" / MAIN, "a") as file:
            change(file)

    return spoil


def replaced(name: str, value):
    def change(file: h5py.File) -> None:
        del file[f"episode_1/{name}"]
        file[f"episode_1/{name}"] = value

    return spoil_file(change)


DISCRETE = json.dumps({"type": "Discrete", "n": 3, "start": 0, "dtype": "int64"})
BAD = {
    "arrow": (spoil_metadata(data_format="arrow"), "is stored as 'arrow'"),
    "fewer than told": (spoil_metadata(total_episodes=99), "episodes, but its metadata states 99"),
    "discrete": (
        spoil_metadata(action_space=DISCRETE),
        "actions contain float32 of shape .*, not one whole",
    ),
    "images": (replaced("observations", np.zeros((5, 8, 8, 3), np.uint8)), "has 5 observations and|shape .8, 8, 3"),
    "no rewards": (spoil_file(lambda file: file["episode_1"].pop("rewards")), "episode_1 has no rewards"),
    "no episodes": (spoil_file(lambda file: [file.pop(name) for name in list(file)]), "contains 0 episodes"),
    "observations missing": (replaced("observations", np.zeros((1, 3))), "has 1 observations and"),
    "a group for rewards": (replaced("rewards/x", 1), "has no rewards|damaged|no rewards|cannot read"),
    "nan": (replaced("observations", np.full((99, 3), np.nan)), "observations and"),
    "no json": (lambda folder: (folder / "data" / METADATA).write_text("{"), "not JSON"),
    "json that goes deep": (lambda folder: (folder / "data" / METADATA).write_text("[" * 100_000), "not JSON"),
    "a list": (lambda folder: (folder / "data" / METADATA).write_text("[]"), "not an object"),
    "no file": (lambda folder: (folder / "data" / MAIN).unlink(), "there is no file"),
    "truncated": (
        lambda folder: (folder / "data" / MAIN).write_bytes((folder / "data" / MAIN).read_bytes()[:900]),
        "truncated",
    ),
}


@pytest.mark.filterwarnings("ignore")
def test_choices_states_and_images_of_its_own_writer(minari, tmp_path):
    rng = np.random.default_rng(0)
    spaces = {
        "states": gymnasium.spaces.Discrete(7),
        "images": gymnasium.spaces.Box(0, 255, (5, 6, 3), np.uint8),
    }
    for name, space in spaces.items():
        made = []
        for index in range(2):
            seen = rng.integers(7 if name == "states" else 256, size=(5, *space.shape)).astype(space.dtype)
            flags = {"terminations": [False] * 3 + [True], "truncations": [False] * 4}
            actions = rng.integers(3, size=4)
            made.append(
                minari.data_collector.EpisodeBuffer(
                    id=index, observations=seen, actions=actions, rewards=[1.0] * 4, infos={}, **flags
                )
            )
        minari.create_dataset_from_buffers(
            f"{name}-v0", made, observation_space=space, action_space=gymnasium.spaces.Discrete(3)
        )
        episodes = read_dataset(tmp_path / f"{name}-v0")
        assert episodes.actions.tolist() == [*made[0].actions, *made[1].actions] and episodes.actions.ndim == 1
        seen = made[0].observations[:4]
        if name == "states":
            assert np.array_equal(episodes.observations[:4], np.eye(7, dtype=np.float32)[seen])
        else:
            assert episodes.observations.dtype == np.uint8 and np.array_equal(episodes.observations[:4], seen)
        facts = MinariFacts(f"again/{name}-v0", None, episodes.spaces, {})
        assert_equal(read_dataset(written(tmp_path, episodes, facts)), exclusive(episodes))
        loaded = minari.load_dataset(f"again/{name}-v0")
        assert loaded.action_space == gymnasium.spaces.Discrete(int(episodes.actions.max()) + 1)


@pytest.mark.parametrize("what", BAD)
def test_bad_datasets(tmp_path, what):
    spoil, match = BAD[what]
    folder = written(tmp_path, ragged(0))
    if what == "a group for rewards":
        spoil_file(lambda file: file["episode_1"].pop("rewards"))(folder)
        spoil_file(lambda file: file.create_group("episode_1/rewards"))(folder)
    else:
        spoil(folder)
    with pytest.raises(SeqrlError, match=match) as error:
        read_dataset(folder)
    assert str(tmp_path) in error.value.message and error.value.hint and "\n" not in error.value.message


def test_a_group_that_holds_itself(tmp_path):
    folder = written(tmp_path, ragged(0))

    def tie(file):
        del file["episode_1/observations"]
        file["episode_1/observations"] = file["episode_1"]

    spoil_file(tie)(folder)
    path = folder / "data" / METADATA
    metadata = json.loads(path.read_text())
    del metadata["observation_space"]
    path.write_text(json.dumps(metadata))
    with pytest.raises(SeqrlError):
        read_dataset(folder)
