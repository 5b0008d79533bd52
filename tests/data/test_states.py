"""Files whose observations are states: vectors, as long as the environment has states."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.formats.read import read_dataset
from seqrl_cli.data.space import BoxSpace, DiscreteSpace
from seqrl_cli.envs.fit import fit_environment
from seqrl_cli.errors import SeqrlError

STATES = np.array([0, 4, 8, 9, 3, 0, 1, 2])
ACTIONS = np.array([1, 1, 2, 2, 0, 1, 2, 3])
FLAGS = {"terminals": STATES == 9, "timeouts": np.arange(8) == 7}


def written(tmp_path, **columns):
    path = tmp_path / "lake.npz"
    plain = {"observations": STATES, "actions": ACTIONS, "rewards": np.ones(8), **FLAGS}
    np.savez(path, **{**plain, **columns})
    return path


def test_states_become_vectors_of_the_states_of_their_environment(tmp_path):
    episodes = read_dataset(written(tmp_path))
    assert np.array_equal(episodes.observations, np.eye(10, dtype=np.float32)[STATES])
    fitted, _ = fit_environment(episodes, "FrozenLake-v1", "data")
    assert np.array_equal(fitted.observations, np.eye(16, dtype=np.float32)[STATES])
    assert isinstance(fitted.spaces.observation, BoxSpace) and fitted.spaces.action == DiscreteSpace(4)


def test_following_states_tell_where_an_episode_was_reset(tmp_path):
    following = np.append(STATES[1:], 3)
    following[4] = 7
    flags = {"timeouts": np.zeros(8, bool), "next_observations": following}
    assert read_dataset(written(tmp_path, **flags)).lengths.tolist() == [4, 1, 3]


def test_choices_may_be_stored_in_a_column_of_their_own(tmp_path):
    assert read_dataset(written(tmp_path, actions=ACTIONS[:, None])).actions.tolist() == ACTIONS.tolist()


@pytest.mark.parametrize("states", [STATES - 1, STATES + 5000])
def test_numbers_that_are_no_states_are_named(tmp_path, states):
    with pytest.raises(SeqrlError, match=f"whole numbers from {states.min()} to {states.max()}") as caught:
        read_dataset(written(tmp_path, observations=states))
    assert "lake.npz" in str(caught.value) and "numbered from 0" in caught.value.hint
