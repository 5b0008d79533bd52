import hashlib
import os
from functools import partial

import numpy as np
import pytest

from seqrl_cli.behaviour.collect import Part, collect, play_episode
from seqrl_cli.behaviour.policies import LinearPolicy, linear_factory, uniform_factory
from seqrl_cli.envs.make import make_env
from seqrl_cli.errors import SeqrlError
from tests.envs.counted import UNSUITABLE

pytestmark = pytest.mark.slow


def digest(episodes):
    columns = (episodes.observations, episodes.actions, episodes.rewards, episodes.terminals, episodes.timeouts)
    return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()


STANDING = linear_factory(LinearPolicy(np.zeros((3, 11)), np.zeros(3), 0.1))


@pytest.mark.slow
def test_same_seed_same_bytes_for_any_number_of_workers():
    parts = [Part(uniform_factory("Hopper-v4"), 0.5), Part(STANDING, 0.5)]
    alone = collect("Hopper-v4", parts, 4000, seed=7, workers=1)
    together = collect("Hopper-v4", parts, 4000, seed=7, workers=2)
    other = collect("Hopper-v4", parts, 4000, seed=8, workers=1)
    assert digest(alone) == digest(together) != digest(other)


@pytest.mark.slow
def test_rows_are_exact_and_every_episode_ends_with_one_flag():
    seen = []
    episodes = collect(
        "Hopper-v4", [Part(STANDING, 1.0)], 2500, 0, workers=1, progress=lambda done, total: seen.append((done, total))
    )
    assert episodes.transitions == 2500 and episodes.observations.shape == (2500, 11)
    last = episodes.offsets[1:] - 1
    assert (episodes.terminals ^ episodes.timeouts)[last].all()
    assert episodes.terminals[last[:-1]].all(), "a hopper that stands falls before the step limit"
    assert seen[-1] == (2500, 2500) and [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_the_step_limit_is_a_timeout():
    rolling = linear_factory(LinearPolicy(np.zeros((6, 17)), np.zeros(6), 0.1))
    episodes = collect("HalfCheetah-v4", [Part(rolling, 1.0)], 1500, 0, workers=1)
    assert episodes.lengths.tolist() == [1000, 500]
    assert episodes.timeouts.nonzero()[0].tolist() == [999, 1499] and not episodes.terminals.any()


@pytest.mark.slow
def test_parts_get_their_share_in_whole_episodes():
    still = linear_factory(LinearPolicy(np.zeros((3, 11)), np.zeros(3)))
    episodes = collect("Hopper-v4", [Part(uniform_factory("Hopper-v4"), 0.25), Part(still, 0.75)], 4000, 0, workers=1)
    quiet = np.flatnonzero((episodes.actions == 0).all(axis=1))
    assert quiet[0] in episodes.offsets
    assert 1000 <= quiet[0] < 1200 and len(quiet) == 4000 - quiet[0]


def test_rows_say_what_happened():
    """Replaying the stored actions from the stored start gives the stored observations and rewards."""
    env = make_env("Hopper-v4")
    episode = play_episode(env, uniform_factory("Hopper-v4")(), np.random.default_rng(3))
    observation, _ = env.reset(seed=int(np.random.default_rng(3).integers(2**31)))
    for row, action in enumerate(episode.actions):
        np.testing.assert_allclose(observation, episode.observations[row], rtol=1e-3, atol=1e-3)
        observation, reward, terminated, _, _ = env.step(action.astype(np.float64))
        assert reward == pytest.approx(episode.rewards[row], abs=1e-3)
        assert terminated == episode.terminals[row]
    assert episode.observations.dtype == episode.actions.dtype == episode.rewards.dtype == np.float32


class Counting:
    """A policy with memory: it counts its own steps."""

    def __init__(self):
        self.steps = 0

    def act(self, observation, rng):
        self.steps += 1
        return np.full(3, self.steps / 1000)


def test_every_episode_gets_a_fresh_policy():
    episodes = collect("Hopper-v4", [Part(Counting, 1.0)], 300, 0, workers=1)
    assert len(episodes) > 1
    np.testing.assert_array_equal(
        episodes.actions[episodes.offsets[:-1]], np.full((len(episodes), 3), np.float32(1e-3))
    )


@pytest.mark.parametrize(("env_id", "rows"), [("Hopper-v4", 0), (UNSUITABLE, 10), ("Hoper-v4", 10)])
def test_what_cannot_be_collected_is_refused(env_id, rows):
    with pytest.raises(SeqrlError):
        collect(env_id, [Part(STANDING, 1.0)], rows, 0, workers=1)


class Crashing(LinearPolicy):
    def act(self, observation, rng):
        os._exit(1)


@pytest.mark.slow
def test_the_environment_of_a_process_that_dies_is_named():
    parts = [Part(partial(Crashing, np.zeros((3, 11)), np.zeros(3)), 1.0)]
    with pytest.raises(SeqrlError, match="a process that played Hopper-v4 ended with exit code 1, and so did the next"):
        collect("Hopper-v4", parts, 100, 0, workers=2)
