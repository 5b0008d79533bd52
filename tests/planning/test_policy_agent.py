"""Policies in closed loops: as if everything seen were encoded at every step, and the same alone and among others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqrl_cli.config.architectures import names_with
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decision import decoder as policy_decoder
from seqrl_cli.models.decoding.invariant_linear import BatchInvariantLinear
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.policy_agent import PolicyAgent
from seqrl_cli.planning.rollout import Rollout
from tests.models.policies import make_policy

pytestmark = pytest.mark.slow

TARGET = 1000.0
STEPS = 14


@pytest.fixture(params=["fastest", "torch"])
def linear(request, monkeypatch):
    """Whether linear layers are compiled, where they can be, or PyTorch's."""
    if request.param == "torch":
        monkeypatch.setattr(policy_decoder, "fastest_linear", lambda device: BatchInvariantLinear)


def policy_of(arch: str, **changes):
    return make_policy(arch, seed=2, observation_shape=(11,), action_dim=3, **({} if arch == "bc" else changes))


def play(policy, slots: int, episodes: list[int], *, context: int = 3, **how) -> list[EpisodeRecord]:
    vector = SeededVectorEnv("Hopper-v4", slots, max_episode_steps=STEPS)
    agent = PolicyAgent(policy, target_return=TARGET, context=context, **how)
    rollout = Rollout(agent, vector, seed=5, profile=agent.profile)
    records: list[EpisodeRecord] = []
    try:
        rollout.play(episodes, records.append)
    finally:
        vector.close()
    return sorted(records, key=lambda record: record.episode)


@torch.no_grad()
def encoded_anew(policy, record: EpisodeRecord, context: int) -> np.ndarray:
    """The naive way: at every step the whole window through the training's forward pass."""
    actions = []
    for step in range(len(record.actions)):
        seen = slice(max(0, step + 1 - context), step + 1)
        returns = TARGET - np.concatenate([[0], np.cumsum(record.rewards, dtype=np.float64)])[seen]
        distribution = policy(
            torch.from_numpy(record.observations[seen])[None],
            torch.from_numpy(record.actions[seen])[None],
            torch.from_numpy(returns.astype(np.float32))[None],
            torch.arange(len(record.actions))[seen][None],
        )
        actions.append(policy.normalizer.denormalize_action(distribution.mode[0, -1]).numpy())
    return np.clip(actions, -1, 1)


@pytest.mark.usefixtures("linear")
@pytest.mark.parametrize("context", [1, 3, 6])
@pytest.mark.parametrize(
    ("arch", "changes"), [("odt", {}), ("odt", {"squash": False}), ("dt", {"max_timestep": 9}), ("bc", {})], ids=str
)
def test_actions_equal_encoding_the_window_anew(arch, changes, context):
    policy = policy_of(arch, **changes)
    (record,) = play(policy, 1, [0], context=context)
    assert len(record.actions) > 6
    np.testing.assert_allclose(record.actions, encoded_anew(policy, record, context), atol=2e-5)


@pytest.mark.usefixtures("linear")
@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("arch", names_with("policy"))
def test_an_episode_is_the_same_alone_and_among_others(arch, stochastic):
    policy = policy_of(arch)
    together = play(policy, 3, [0, 1, 2, 3, 4], stochastic=stochastic)
    for record in together:
        (alone,) = play(policy, 1, [record.episode], stochastic=stochastic)
        for name in ("observations", "actions", "rewards", "qpos"):
            np.testing.assert_array_equal(getattr(record, name), getattr(alone, name))


def test_sampled_actions_differ_from_the_mode_and_between_episodes():
    policy = policy_of("odt")
    (mode,), (one,), (again,), (two,) = (
        play(policy, 1, [episode], stochastic=stochastic)
        for episode, stochastic in ((0, False), (0, True), (0, True), (1, True))
    )
    assert not np.array_equal(mode.actions[0], one.actions[0])
    np.testing.assert_array_equal(one.actions, again.actions)
    assert not np.array_equal(one.actions[0], two.actions[0])
    (point,), (also,) = (play(policy_of("dt"), 1, [0], stochastic=stochastic) for stochastic in (False, True))
    np.testing.assert_array_equal(point.actions, also.actions)


def test_less_noise_samples_nearer_to_the_mode():
    policy = policy_of("odt", squash=False)
    policy.head.weight.data.mul_(0.01)  # so that no mean lies outside the box
    mode, faint, full = (
        play(policy, 1, [0], stochastic=noise > 0, noise=noise)[0].actions[0] for noise in (0.0, 1e-3, 1.0)
    )
    assert 0 < np.abs(faint - mode).max() < 0.01 < np.abs(full - mode).max()


def test_a_record_has_no_plans_and_actions_stay_in_the_box():
    (record,) = play(policy_of("odt", squash=False), 1, [0], stochastic=True)
    assert record.plan_observations is None and record.plan_values is None
    assert np.abs(record.actions).max() <= 1.0


def test_a_longer_context_than_the_models_is_refused():
    with pytest.raises(SeqrlError, match="context of 7 steps was requested, but the model sees 1 to 6"):
        PolicyAgent(policy_of("odt"), target_return=TARGET, context=7)
