"""Small policies and windows for the tests of policies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from seqrl_cli.data.policy_windows import PolicyBatch, PolicyWindows, Trajectory
from seqrl_cli.models.decision.build import build_policy
from seqrl_cli.models.decision.decoder import Policy

OBSERVATION_DIM, ACTION_DIM, CONTEXT = 4, 2, 6
CHOICES, IMAGE = 3, (9, 9)
SMALL = {"n_layer": 2, "n_head": 2, "width": 16, "context": CONTEXT}


def make_policy(
    arch: str,
    seed: int = 0,
    observation_shape: tuple[int, ...] = (OBSERVATION_DIM,),
    action_dim: int = ACTION_DIM,
    discrete: bool = False,
    **changes,
) -> Policy:
    """A small policy whose weights, biases and units too, are random."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {"n_layer": 2, "width": 16} if arch == "bc" else {**SMALL, **changes}
    sizes |= {"observation_shape": observation_shape, "action_dim": action_dim, "discrete": discrete}
    policy = build_policy(arch, generator=generator, **sizes)
    for parameter in policy.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    rng = np.random.default_rng(seed)
    if len(observation_shape) == 1:
        policy.normalizer.fit_observations(rng.normal(1, 2, (50, *observation_shape)))
    if not discrete:
        policy.normalizer.fit_actions([-2.0] * action_dim, [1.0] * action_dim)
    return policy.eval()


def make_trajectories(count: int = 5, seed: int = 0, longest: int = 15) -> list[Trajectory]:
    """Episodes whose actions follow their observations, linearly and with a little noise."""
    rng = np.random.default_rng(seed)
    gain = np.random.default_rng(7).normal(size=(OBSERVATION_DIM, ACTION_DIM))
    trajectories = []
    for _ in range(count):
        length = int(rng.integers(1, longest + 1))
        observations = rng.normal(size=(length, OBSERVATION_DIM)).astype(np.float32)
        actions = np.tanh(observations @ gain + 0.1 * rng.normal(size=(length, ACTION_DIM))).astype(np.float32)
        trajectories.append(Trajectory(observations, actions, rng.normal(1, 1, length).astype(np.float32)))
    return trajectories


def make_choices(count: int = 5, seed: int = 0, shape: tuple[int, ...] = (OBSERVATION_DIM,)) -> list[Trajectory]:
    """Episodes of ``CHOICES`` discrete actions that follow their observations, which are vectors or images."""
    rng = np.random.default_rng(seed)
    trajectories = []
    for one in make_trajectories(count, seed):
        actions = rng.integers(CHOICES, size=len(one))
        observations = rng.normal(size=(len(one), *shape)).astype(np.float32)
        if len(shape) > 1:
            observations = rng.integers(256, size=observations.shape).astype(np.uint8)
        observations[:, 0] = actions.reshape(-1, *[1] * (len(shape) - 1))
        trajectories.append(Trajectory(observations, actions, one.rewards))
    return trajectories


def make_batch(seed: int = 0, count: int = 8, trajectories: Sequence[Trajectory] | None = None) -> PolicyBatch:
    windows = PolicyWindows(trajectories or make_trajectories(seed=seed), CONTEXT)
    return windows.batch(np.random.default_rng(seed).integers(len(windows), size=count))


def tensors(batch: PolicyBatch) -> tuple[torch.Tensor, ...]:
    """A batch as the arguments of a policy."""
    arrays = (batch.observations, batch.actions, batch.returns_to_go, batch.timesteps)
    return tuple(torch.from_numpy(array) for array in arrays)
