"""Closed loops in MuJoCo: an episode is the same alone and among others, and its record is complete."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqrl_cli.envs.make import make_env
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.build import build_decoder
from seqrl_cli.planning.beam import best_plans, draw_noise
from seqrl_cli.planning.beam_agent import BeamAgent
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.memory_budget import plan_bytes
from seqrl_cli.planning.rollout import LiveEpisode, Rollout
from seqrl_cli.planning.settings import SearchSettings
from seqrl_cli.training.rng import SeedStream
from tests.planning.closed_loop import (
    ACTION_DIM,
    OBSERVATION_DIM,
    SETTINGS,
    assert_same,
    beam_rollout,
    discretizer,
    model,
)

pytestmark = pytest.mark.slow


def play(slots: int, episodes: list[int], *, max_memory: int | None = None, **changes) -> list[EpisodeRecord]:
    settings = SearchSettings(**{**SETTINGS, **changes})
    vector = SeededVectorEnv("Hopper-v4", slots, max_episode_steps=12)
    rollout = beam_rollout(
        build_decoder(model(), settings.model_window), vector, settings, seed=5, max_memory=max_memory
    )
    records: list[EpisodeRecord] = []
    try:
        rollout.play(episodes, records.append)
    finally:
        vector.close()
    assert all(seconds >= 0 for seconds in rollout.profile.seconds.values()) and rollout.profile.seconds["decode"]
    return records


@pytest.mark.parametrize("window", ["sliding", "growing"])
def test_an_episode_is_the_same_alone_and_among_four(window):
    alone = [record for episode in range(4) for record in play(1, [episode], window=window)]
    assert_same(alone, play(4, [0, 1, 2, 3], window=window))


def test_slots_take_the_next_episode_and_memory_splits_the_batch():
    together = play(3, [0, 1, 2, 3, 4])
    settings = SearchSettings(**SETTINGS)
    one_plan = plan_bytes(build_decoder(model(), settings.model_window), settings)
    assert_same(together, play(2, [4, 2, 0, 1, 3], max_memory=one_plan))


def test_a_plan_that_does_not_fit_is_refused_beforehand():
    with pytest.raises(SeqrlError, match="one plan needs"):
        play(2, [0], max_memory=1000)


def test_records_hold_the_episode():
    (record,) = play(1, [7])
    steps = len(record.actions)
    assert record.observations.shape == (steps + 1, OBSERVATION_DIM)
    assert record.plan_observations.shape == (steps, 3, OBSERVATION_DIM)
    assert record.qpos.shape == (steps + 1, 6) and record.qvel.shape == (steps + 1, 6)
    assert np.abs(record.actions).max() <= 1.0
    np.testing.assert_array_equal(record.actions, record.plan_actions[:, 0].clip(-1, 1))
    assert record.total_reward == pytest.approx(record.rewards.sum(), rel=1e-5)


def test_recorded_actions_replay_the_episode():
    (record,) = play(1, [3])
    env = make_env("Hopper-v4", max_episode_steps=12)
    observation, _ = env.reset(seed=record.seed)
    for step, action in enumerate(record.actions):
        np.testing.assert_array_equal(observation.astype(np.float32), record.observations[step])
        observation, reward, terminated, truncated, _ = env.step(action)
        assert reward == pytest.approx(record.rewards[step], abs=1e-4)
    assert terminated == record.terminated and (terminated or truncated)
    env.close()


def test_between_plans_the_older_one_is_followed():
    (record,) = play(1, [1], plan_freq=2)
    planned = ~np.isnan(record.plan_actions).any(axis=(1, 2))
    np.testing.assert_array_equal(planned, np.arange(len(planned)) % 2 == 0)
    np.testing.assert_array_equal(record.actions[1], record.plan_actions[0, 1].clip(-1, 1))


@pytest.mark.parametrize(("elites", "averaged"), [(1, 1), (2, 2), (9, 4)])
def test_actions_are_averaged_over_the_best_plans(elites, averaged):
    settings = SearchSettings(**{**SETTINGS, "horizon": 1, "elites": elites})
    agent = BeamAgent(build_decoder(model(), settings.model_window), discretizer(), settings, episodes=1)
    observation = np.random.default_rng(3).normal(size=OBSERVATION_DIM)
    episode = LiveEpisode(0, 0, np.random.default_rng(7), [observation], [])
    agent.reset(episode)
    (action,) = agent.decide([episode])
    context = torch.from_numpy(discretizer().encode(observation)[None].astype(np.int64))
    noise = draw_noise([np.random.default_rng(7)], settings, agent.decoder)
    plans = best_plans(agent.decoder, agent.readout, context, settings, noise)[0]
    choices = discretizer().decode(plans[:, 0, OBSERVATION_DIM:-2].numpy(), start=OBSERVATION_DIM)
    assert choices.shape == (averaged, ACTION_DIM) and (len(np.unique(choices, axis=0)) > 1) == (elites > 1)
    np.testing.assert_array_equal(action, choices.mean(axis=0))
    np.testing.assert_array_equal(agent.plans(episode)["plan_actions"][0, 0], choices[0].astype(np.float32))


def test_discrete_actions_are_those_of_the_best_plan():
    settings = SearchSettings(**{**SETTINGS, "elites": 4})
    agent = BeamAgent(build_decoder(model(), settings.model_window), discretizer(), settings, episodes=1, choices=5)
    episode = LiveEpisode(0, 0, np.random.default_rng(7), [np.zeros(OBSERVATION_DIM)], [])
    agent.reset(episode)
    (action,) = agent.decide([episode])
    assert action == np.int64(agent.plans(episode)["plan_actions"][0, 0, 0])


def test_a_plan_cut_short_has_no_numbers_after_its_end():
    (record,) = play(1, [1], plan_freq=2, seconds_per_step=1e-9)
    missing = np.isnan(record.plan_actions[::2]).any(axis=2)
    np.testing.assert_array_equal(missing, np.broadcast_to(np.arange(3) >= 2, missing.shape))
    assert record.plan_length == 2
    np.testing.assert_array_equal(record.actions[1], record.plan_actions[0, 1].clip(-1, 1))


def test_progress_counts_running_and_finished_episodes():
    vector = SeededVectorEnv("Hopper-v4", 2, max_episode_steps=3)
    settings = SearchSettings(**SETTINGS)
    seen: list[tuple[int, int]] = []
    rollout = beam_rollout(build_decoder(model(), settings.model_window), vector, settings, seed=0)
    rollout.play([0, 1, 2], lambda record: None, lambda *counts: seen.append(counts))
    assert seen == [(2, 0), (2, 0), (0, 2), (1, 2), (1, 2), (0, 3)]
    vector.close()


class Watcher:
    """Stands still, and keeps the state that each episode's generator begins with."""

    def __init__(self) -> None:
        self.states: list[dict] = []

    def reset(self, episode: LiveEpisode) -> None:
        self.states.append(episode.generator.bit_generator.state["state"])

    def decide(self, episodes: list[LiveEpisode]) -> list[np.ndarray]:
        return [np.zeros(ACTION_DIM, np.float32) for _ in episodes]

    def plans(self, episode: LiveEpisode) -> dict[str, np.ndarray]:
        return {}


def test_plans_share_no_random_numbers_with_another_purpose_of_the_same_seed():
    vector = SeededVectorEnv("Hopper-v4", 1, max_episode_steps=1)
    agent, plain, records = Watcher(), Watcher(), []
    try:
        Rollout(agent, vector, seed=5, purpose=[SeedStream.PLAN]).play(range(5), records.append)
        Rollout(plain, vector, seed=5).play(range(5), records.append)
    finally:
        vector.close()
    others = [
        np.random.default_rng([5, stream]).bit_generator.state["state"]
        for stream in set(SeedStream) - {SeedStream.PLAN}
    ]
    assert not any(state in others for state in agent.states) and all(state in plain.states for state in others)
    assert [record.seed for record in records[:5]] == [record.seed for record in records[5:]]
