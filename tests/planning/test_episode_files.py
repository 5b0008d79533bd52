"""Files of planned episodes: what is written is read again, and what is incomplete is refused by the file's name."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning.episode_files import (
    SCHEMA_VERSION,
    DamagedEpisodeError,
    EpisodeFile,
    PlanFacts,
    episode_numbers,
    episode_path,
    episode_paths,
    is_whole,
    plan_folders,
    read_array,
    read_episode,
    read_states,
    write_episode,
)
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.staged_episodes import discard_staged, finish_replacement, replace_episodes
from seqrl_cli.runs.layout import RunFolder

FACTS = PlanFacts(
    dataset="sim/hopper-medium",
    env_id="Hopper-v4",
    run="gpt-s42",
    arch="gpt",
    checkpoint_step=5000,
    recipe="abc",
    settings={"horizon": 4},
    engine="torch",
    seed=3,
)
STEPS = 12


def played(episode: int = 0) -> EpisodeRecord:
    rng = np.random.default_rng(episode)
    return EpisodeRecord(
        episode,
        seed=11,
        terminated=True,
        seconds_per_step=0.25,
        observations=rng.normal(size=(STEPS + 1, 11)).astype(np.float32),
        actions=rng.normal(size=(STEPS, 3)).astype(np.float32),
        rewards=np.ones(STEPS, np.float32),
        qpos=rng.normal(size=(STEPS + 1, 6)),
        qvel=rng.normal(size=(STEPS + 1, 6)),
        plan_observations=rng.normal(size=(STEPS, 4, 11)).astype(np.float32),
        plan_values=np.repeat([[1, 1, 1, np.nan], [1, 2, np.nan, np.nan], [np.nan] * 4], STEPS // 3, axis=0),
    )


@pytest.fixture
def path(tmp_path) -> Path:
    return write_episode(tmp_path, FACTS, played(), 0.25)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("suffix", [".json", ".h5"])
@pytest.mark.parametrize("score", [0.25, None])
def test_either_file_names_the_episode_and_all_is_read_again(tmp_path, suffix, score):
    path = write_episode(tmp_path, FACTS, played(), score)
    episode, record = read_episode(path.with_suffix(suffix)), played()
    assert episode == EpisodeFile(path, FACTS, 0, score, 12.0, STEPS, True, 11, 0.25, 2.5, episode.versions)
    assert episode.schema_version == SCHEMA_VERSION and "numpy" in episode.versions and is_whole(episode)
    states = read_states(episode)
    for name in ("rewards", "qpos", "plan_observations", "actions"):
        assert np.array_equal(getattr(states, name), getattr(record, name))
    assert np.array_equal(read_array(path, "rewards"), record.rewards)


def test_models_that_do_not_plan_have_no_plans(tmp_path):
    path = write_episode(tmp_path, FACTS, replace(played(), plan_observations=None, plan_values=None), None)
    assert read_states(read_episode(path)).plan_observations is None


def test_keys_of_other_versions_are_passed_over(path):
    edit(path, mood="good")
    assert read_episode(path).return_ == 12


def test_keys_that_older_versions_did_not_write_are_unknown(path):
    old = {"parent", "recipe", "engine", "seconds_per_step", "plan_length", "environment_seed"}
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key not in old}))
    episode = read_episode(path)
    assert episode.seconds_per_step is None and episode.plan_length is None and episode.environment_seed is None
    assert episode.plan == replace(FACTS, parent=None, recipe=None, engine=None)


@pytest.mark.parametrize("content", ["", '{"score": 1', "[]", '{"hello": "world"}', "[" * 100_000])
def test_damaged_json_is_named(path, content):
    path.write_text(content)
    with pytest.raises(DamagedEpisodeError, match=r"episode-000\.json is not a complete episode"):
        read_episode(path)


@pytest.mark.parametrize(
    "name", ["x" * 3000, "../../elsewhere", "/etc", "a/../..", "a+../../b", "a+/etc", "..", "a\0b", "\ud800" * 100]
)
def test_datasets_that_are_no_folders_names_are_named(path, name):
    edit(path, dataset=name)
    with pytest.raises(DamagedEpisodeError, match="its dataset, .* is not a folder's name"):
        read_episode(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "high"}, "its score is"),
        ({"seed": -1}, "its seed is"),
        ({"settings": []}, "it has no settings"),
        ({"term": 1}, "its term is"),
        ({"parent": 3}, "its parent is"),
    ],
)
def test_foreign_values_are_named(path, change, message):
    edit(path, **change)
    with pytest.raises(DamagedEpisodeError, match=message):
        read_episode(path)


def test_a_newer_schema_is_no_damage(path):
    edit(path, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(SeqrlError, match="written by a newer seqrl") as caught:
        read_episode(path)
    assert not isinstance(caught.value, DamagedEpisodeError)


@pytest.mark.parametrize("keep", [0, 100, 1500])
def test_truncated_hdf5_is_named(path, keep):
    states = path.with_suffix(".h5")
    states.write_bytes(states.read_bytes()[:keep])
    episode = read_episode(path)
    assert not is_whole(episode) and read_array(path, "rewards") is None
    with pytest.raises(SeqrlError, match=r"episode-000\.h5"):
        read_states(episode)


def test_a_missing_half_is_named(path):
    episode = read_episode(path)
    path.with_suffix(".h5").unlink()
    assert not is_whole(episode)
    with pytest.raises(SeqrlError, match=r"there is no file .*episode-000\.h5"):
        read_states(episode)
    path.unlink()
    with pytest.raises(DamagedEpisodeError, match=r"there is no file .*episode-000\.json"):
        read_episode(path)


@pytest.mark.parametrize(
    ("name", "replacement", "message"),
    [
        ("qpos", None, "has no qpos"),
        ("rewards", None, "has no rewards"),
        ("qpos", np.zeros((5, 6)), "5 states in place of 13 for its 12 rewards"),
        ("rewards", np.zeros((12, 2)), r"shape \(12, 2\)"),
        ("rewards", np.zeros(0), "it has no rewards"),
        ("qpos", np.full((13, 6), np.nan), "not finite"),
        ("plan_observations", np.zeros((3, 4, 11)), "3 plans in place of 12"),
        ("actions", np.zeros((2, 3)), "2 actions in place of 12"),
    ],
)
def test_foreign_contents_are_named(path, name, replacement, message):
    with h5py.File(path.with_suffix(".h5"), "a") as file:
        del file[name]
        if replacement is not None:
            file[name] = replacement
    with pytest.raises(SeqrlError, match=message):
        read_states(read_episode(path))


def test_episodes_are_counted_by_their_json(tmp_path):
    for number in (12, 0, 3):
        write_episode(tmp_path / "plan", FACTS, played(number), None)
    (tmp_path / "plan/episode-three.json").write_text("{}")
    (tmp_path / "plan/episode-004.h5").write_text("")
    assert episode_numbers(tmp_path / "plan") == [0, 3, 12]
    assert not episode_paths(tmp_path) and len(episode_paths(tmp_path, below=True)) == 3


def test_episodes_are_in_the_order_of_their_numbers(tmp_path):
    for number in (1000, 999, 1001, 7):
        write_episode(tmp_path, FACTS, played(number), None)
    assert [read_episode(path).episode for path in episode_paths(tmp_path)] == [7, 999, 1000, 1001]


def test_files_that_are_no_episodes_stay_when_episodes_are_replaced(tmp_path):
    write_episode(tmp_path, FACTS, played(0), 0.5)
    kept = [tmp_path / name for name in ("episode-000 (copy).json", "episode-backup.h5", "episode-notes.txt")]
    for path in kept:
        path.write_text("mine")
    write_episode(tmp_path, FACTS, played(0), 0.25, staged=True)
    replace_episodes(tmp_path)
    assert all(path.read_text() == "mine" for path in kept)
    assert [read_episode(path).score for path in episode_paths(tmp_path)] == [0.25]


def test_staged_episodes_are_unseen_until_they_take_the_place_of_all_others(tmp_path):
    for number in (0, 1, 2):
        write_episode(tmp_path, FACTS, played(number), 0.5)
    write_episode(tmp_path, replace(FACTS, checkpoint_step=9), played(0), 0.25, staged=True)
    assert episode_numbers(tmp_path) == [0, 1, 2] and len(episode_paths(tmp_path, below=True)) == 3
    assert read_episode(episode_path(tmp_path, 0)).score == 0.5
    replace_episodes(tmp_path)
    episode = read_episode(episode_path(tmp_path, 0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["episode-000.h5", "episode-000.json"]
    assert (episode.score, episode.plan.checkpoint_step) == (0.25, 9) and is_whole(episode)


@pytest.mark.parametrize("cut", range(8))
def test_a_replacement_that_was_cut_is_finished(tmp_path, monkeypatch, cut):
    """Whatever file was removed or renamed last, the next command has all new episodes and no old one."""
    for number in (0, 1, 2):
        write_episode(tmp_path, FACTS, played(number), 0.5)
    for number in (0, 1):
        write_episode(tmp_path, FACTS, played(number), 0.25, staged=True)
    left = [cut]

    def counted(change):
        def method(path, *arguments, **options):
            if "episode" in path.name:
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
            return change(path, *arguments, **options)

        return method

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", counted(Path.unlink))
        patch.setattr(Path, "rename", counted(Path.rename))
        with pytest.raises(KeyboardInterrupt):
            replace_episodes(tmp_path)
    finish_replacement(tmp_path)
    discard_staged(tmp_path)
    assert [read_episode(path).score for path in episode_paths(tmp_path)] == [0.25, 0.25]
    assert all(is_whole(read_episode(path)) for path in episode_paths(tmp_path))
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("content", ["", "5", "{", '{"a": 1}'])
def test_a_marker_that_is_not_ours_replaces_nothing(path, content):
    (path.parent / ".replacing.json").write_text(content)
    finish_replacement(path.parent)
    assert sorted(each.name for each in path.parent.iterdir()) == ["episode-000.h5", "episode-000.json"]


def test_staged_episodes_can_be_discarded(path):
    write_episode(path.parent, FACTS, played(1), 0.5, staged=True)
    discard_staged(path.parent)
    assert sorted(each.name for each in path.parent.iterdir()) == ["episode-000.h5", "episode-000.json"]


def test_plan_folders_newest_last_and_empty_ones_left_out(tmp_path):
    run = RunFolder(tmp_path)
    assert plan_folders(run) == []
    for index, name in enumerate(("b", "a")):
        os.utime(write_episode(run.plans / name, FACTS, played(), None), (index, index))
    (run.plans / "empty").mkdir()
    assert [folder.name for folder in plan_folders(run)] == ["b", "a"]
