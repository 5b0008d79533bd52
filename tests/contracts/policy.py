"""What every policy's decoder owes the agent that asks it for actions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqrl_cli.models.decision.action_distribution import draw_noise
from seqrl_cli.models.decision.build import Policy, build_policy_decoder
from seqrl_cli.models.decision.decoder import History

EPISODES, STEPS = 5, 9


@dataclass(frozen=True)
class Recording:
    """Made-up episodes: observations (episodes, steps, *shape), actions likewise, returns-to-go (episodes, steps)."""

    observations: Tensor
    actions: Tensor
    returns_to_go: Tensor


def make_recording(policy: Policy, low: float = -2.0, high: float = 1.0) -> Recording:
    generator = torch.Generator().manual_seed(3)
    form = policy.normalizer
    if form.reads_images:
        size = (EPISODES, STEPS, *form.observation_shape)
        observations = torch.randint(256, size, generator=generator, dtype=torch.uint8)
    else:
        observations = torch.randn(EPISODES, STEPS, *form.observation_shape, generator=generator)
    if form.discrete:
        actions = torch.randint(policy.action_dim, (EPISODES, STEPS), generator=generator)
    else:
        actions = low + (high - low) * torch.rand(EPISODES, STEPS, policy.action_dim, generator=generator)
    return Recording(observations, actions, 100 * torch.rand(EPISODES, STEPS, generator=generator))


def decode(policy: Policy, recording: Recording, episodes: list[int], context: int) -> Tensor:
    """Most likely actions (episodes, steps, action_dim) of some episodes played together."""
    decoder, histories = build_policy_decoder(policy, context), [History() for _ in episodes]
    modes = []
    for step in range(STEPS):
        before = recording.actions[episodes, max(0, step - 1)]
        arguments = recording.observations[episodes, step], before, recording.returns_to_go[episodes, step]
        modes.append(decoder.decide(histories, *arguments).mode)
    return torch.stack(modes, dim=1)


def check_batched_equals_one_by_one(policy: Policy, context: int) -> None:
    """Bit for bit, in any company and order."""
    recording = make_recording(policy)
    together = decode(policy, recording, list(range(EPISODES)), context)
    for episode in range(EPISODES):
        assert torch.equal(decode(policy, recording, [episode], context)[0], together[episode])
    assert torch.equal(decode(policy, recording, [3, 1], context), together[[3, 1]])


def check_threads_change_nothing(policy: Policy, context: int) -> None:
    """Bit for bit, in any company."""
    recording = make_recording(policy)
    together = decode(policy, recording, list(range(EPISODES)), context)
    before = torch.get_num_threads()
    try:
        for threads, episodes in itertools.product((1, 2, 3), (range(EPISODES), [0], [3, 1])):
            torch.set_num_threads(threads)
            assert torch.equal(decode(policy, recording, list(episodes), context), together[list(episodes)])
    finally:
        torch.set_num_threads(before)


def check_decoding_equals_the_forward_pass_of_the_window(policy: Policy, context: int) -> None:
    recording = make_recording(policy)
    decoded = decode(policy, recording, list(range(EPISODES)), context)
    for step in range(STEPS):
        seen = slice(max(0, step + 1 - context), step + 1)
        timesteps = torch.arange(STEPS)[seen].expand(EPISODES, -1)
        arrays = recording.observations[:, seen], recording.actions[:, seen], recording.returns_to_go[:, seen]
        with torch.no_grad():
            expected = policy(*arrays, timesteps).mode[:, -1]
        torch.testing.assert_close(decoded[:, step], expected, rtol=1e-4, atol=1e-5)


def check_episodes_may_be_at_different_steps(policy: Policy, context: int) -> None:
    recording = make_recording(policy)
    together = decode(policy, recording, [0, 1], context)
    decoder, histories = build_policy_decoder(policy, context), [History(), History()]
    late = 4
    for step in range(STEPS):
        playing = [0] if step < late else [0, 1]
        at = torch.tensor([step, step - late][: len(playing)])
        arguments = (
            recording.observations[playing, at],
            recording.actions[playing, (at - 1).clamp(min=0)],
            recording.returns_to_go[playing, at],
        )
        mode = decoder.decide([histories[episode] for episode in playing], *arguments).mode
        for row, episode in enumerate(playing):
            assert torch.equal(mode[row], together[episode, at[row]])


def check_actions_are_those_of_the_environment(policy: Policy, context: int) -> None:
    """The mode and samples lie inside the box of a policy that is squashed into it, or are choices."""
    recording = make_recording(policy)
    decoder, histories = build_policy_decoder(policy, context), [History() for _ in range(EPISODES)]
    form = policy.normalizer
    observations = recording.observations[:, 0] if form.reads_images else 100 * recording.observations[:, 0]
    found = decoder.decide(histories, observations, recording.actions[:, 0], recording.returns_to_go[:, 0])
    rng = np.random.default_rng(0)
    noise = np.stack([draw_noise(rng, policy.action_dim, discrete=form.discrete) for _ in range(EPISODES)])
    for actions in (found.mode, found.sample(3 * torch.from_numpy(noise))):
        executed = form.denormalize_action(actions)
        if form.discrete:
            assert executed.shape == (EPISODES,) and executed.dtype == torch.int64
            assert torch.equal(form.normalize_action(executed), actions)
        else:
            assert (executed >= form.action_low - 1e-5).all() and (executed <= form.action_high + 1e-5).all()


def check_the_mode_draws_nothing(policy: Policy, context: int) -> None:
    recording = make_recording(policy)
    state = torch.get_rng_state()
    first = decode(policy, recording, [0], context)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(decode(policy, recording, [0], context), first)


CHECKS = [
    check_batched_equals_one_by_one,
    check_threads_change_nothing,
    check_decoding_equals_the_forward_pass_of_the_window,
    check_episodes_may_be_at_different_steps,
    check_actions_are_those_of_the_environment,
    check_the_mode_draws_nothing,
]
