"""``record(env, path)`` writes what was played, with the right ends, whatever stops it."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from seqrl_cli import load_dataset, record
from seqrl_cli.data.formats.d4rl import read_attributes, read_d4rl
from seqrl_cli.errors import SeqrlError, UsageError


class Counting(gymnasium.Env):
    """Observes how far it has counted, in an array that it uses again; ends in a terminal after ``end`` steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, end: int = 3, success: bool | None = None) -> None:
        self.end, self.success, self.state = end, success, np.zeros(1)

    def reset(self, *, seed=None, options=None):
        self.state[:] = 0
        return self.state, {}

    def step(self, action):
        self.state += 1
        info = {} if self.success is None else {"is_success": self.success}
        return self.state, float(self.state[0]), bool(self.state[0] == self.end), False, info


def play(env: gymnasium.Env, steps: int) -> None:
    env.reset()
    for _ in range(steps):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()


def limited(limit: int, **options) -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Counting(**options), limit)


def test_terminals_time_limits_and_the_cut_episode_are_told_apart(tmp_path):
    with record(limited(5, end=3), tmp_path / "a.h5") as env:
        play(env, 4)
    ended = read_d4rl(tmp_path / "a.h5")
    assert ended.terminals.tolist() == [False, False, True, False] and ended.timeouts.tolist() == [False] * 3 + [True]
    assert ended.observations.ravel().tolist() == [0, 1, 2, 0] and ended.rewards.tolist() == [1, 2, 3, 1]
    with record(limited(2, end=3), tmp_path / "b.h5") as env:
        play(env, 4)
    assert read_d4rl(tmp_path / "b.h5").timeouts.tolist() == [False, True, False, True]


def test_a_reset_in_the_middle_ends_an_episode_without_a_terminal(tmp_path):
    with record(Counting(end=9), tmp_path / "a.h5") as env:
        play(env, 2)
        play(env, 3)
        assert env.transitions == 5
    episodes = read_d4rl(tmp_path / "a.h5")
    assert episodes.lengths.tolist() == [2, 3] and not episodes.terminals.any()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_keeps_whole_episodes_only(tmp_path, stop):
    with pytest.raises(stop), record(Counting(end=3), tmp_path / "a.h5") as env:
        play(env, 8)
        raise stop
    assert read_d4rl(tmp_path / "a.h5").lengths.tolist() == [3, 3]


def test_nothing_is_written_without_a_whole_episode(tmp_path):
    with pytest.raises(KeyboardInterrupt), record(Counting(), tmp_path / "a.h5") as env:
        play(env, 2)
        raise KeyboardInterrupt
    assert not (tmp_path / "a.h5").exists()


def test_success_is_kept_where_the_environment_tells_it(tmp_path):
    with record(Counting(success=True), tmp_path / "a.h5") as env:
        play(env, 3)
    assert read_d4rl(tmp_path / "a.h5").successes.all()


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "CartPole-v1", "Taxi-v4"])
def test_seqrl_reads_what_was_recorded(tmp_path, monkeypatch, env_id):
    monkeypatch.setenv("SEQRL_RUNS", str(tmp_path / "runs"))
    with record(gymnasium.make(env_id), tmp_path / "own.h5") as env:
        play(env, 30)
    dataset = load_dataset(tmp_path / "own.h5")
    assert dataset.env_id == env_id and dataset.transitions == 30
    assert dataset.spaces.action.size == 1 and dataset.observations.shape[1] == {"P": 3, "C": 4, "T": 500}[env_id[0]]


def test_a_file_that_exists_is_refused_before_anything_is_played(tmp_path):
    (tmp_path / "a.h5").touch()
    with pytest.raises(SeqrlError, match="exists"):
        record(Counting(), tmp_path / "a.h5")
    record(Counting(), tmp_path / "a.h5", force=True)


def test_what_cannot_be_recorded_is_named(tmp_path):
    with pytest.raises(UsageError, match="not the name of an HDF5 file"):
        record(Counting(), tmp_path / "a.npz")
    with pytest.raises(SeqrlError, match="not an environment"):
        record(gymnasium.make_vec("CartPole-v1", 2), tmp_path / "a.h5")
    env = Counting()
    for space in (gymnasium.spaces.MultiDiscrete([2, 2]), gymnasium.spaces.Discrete(2, start=1)):
        env.action_space = space
        with pytest.raises(SeqrlError, match=f"'Counting' has actions of kind {type(space).__name__}") as refused:
            record(env, tmp_path / "a.h5")
        assert refused.value.hint.startswith("wrap its actions: ") and "starts at 0" in refused.value.hint
    env.action_space = Counting.action_space
    env.observation_space = gymnasium.spaces.Box(0, 1, (8, 8, 3))
    with pytest.raises(SeqrlError, match="^environment 'Counting' has observations of shape"):
        record(env, tmp_path / "a.h5")


def test_an_environment_of_ones_own_can_be_named(tmp_path):
    with record(Counting(), tmp_path / "a.h5", env_id="my_env:Counting-v0") as env:
        play(env, 3)
    assert read_attributes(tmp_path / "a.h5")["env_id"] == "my_env:Counting-v0"
