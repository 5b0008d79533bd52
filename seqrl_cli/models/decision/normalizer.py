"""Normalization for policies: standardized observations, and actions as numbers in [-1, 1] or as choices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

SMALLEST_STD = 1e-6  # a dimension that varies less is only centred


class Normalizer(nn.Module):
    """Converts between an environment's numbers and a network's; its buffers are saved with the weights.

    Vectors are standardized; images stay bytes, which their encoder scales. Continuous actions are scaled to [-1, 1].
    A discrete action becomes a vector that is 1 at the choice and 0 elsewhere.

    The buffers show what the network was made for, so that weights alone suffice to make it again.

    Args:
        observation_shape: shape of one observation; one axis for a vector, two or three for an image.
        action_dim: numbers per action as the network sees it: the number of choices if ``discrete``.
        discrete: whether an action is one of ``action_dim`` choices.
    """

    observation_mean: Tensor
    observation_std: Tensor
    image_shape: Tensor
    action_low: Tensor
    action_high: Tensor
    choices: Tensor

    def __init__(self, observation_shape: Sequence[int], action_dim: int, *, discrete: bool = False) -> None:
        super().__init__()
        self.observation_shape = tuple(observation_shape)
        self.action_dim = action_dim
        self.discrete = discrete
        if self.reads_images:
            self.register_buffer("image_shape", torch.tensor(self.observation_shape))
        else:
            self.register_buffer("observation_mean", torch.zeros(self.observation_shape))
            self.register_buffer("observation_std", torch.ones(self.observation_shape))
        if discrete:
            self.register_buffer("choices", torch.arange(action_dim))
        else:
            self.register_buffer("action_low", -torch.ones(action_dim))
            self.register_buffer("action_high", torch.ones(action_dim))

    @property
    def reads_images(self) -> bool:
        """Whether observations are images rather than vectors."""
        return len(self.observation_shape) > 1

    def fit_observations(self, observations: np.ndarray) -> None:
        """Set the statistics of vectors (rows, size) of the training data."""
        mean, std = observations.mean(axis=0, dtype=np.float64), observations.std(axis=0, dtype=np.float64)
        _fill(self.observation_mean, mean)
        _fill(self.observation_std, np.where(std > SMALLEST_STD, std, 1.0))

    def fit_actions(self, low: ArrayLike, high: ArrayLike) -> None:
        """Set the bounds of continuous actions, (action_dim,) each, finite, ``low`` below ``high``."""
        _fill(self.action_low, low)
        _fill(self.action_high, high)

    def normalize_observation(self, observations: Tensor) -> Tensor:
        """Vectors (..., size) with mean 0 and standard deviation 1 over the training data; images as they are."""
        if self.reads_images:
            return observations
        return (observations - self.observation_mean) / self.observation_std

    def normalize_action(self, actions: Tensor) -> Tensor:
        """The environment's actions as the network sees them, (..., action_dim) float32.

        Args:
            actions: (..., action_dim) in the environment's box, or choices (...) int64.
        """
        if self.discrete:
            return (actions.unsqueeze(-1) == self.choices).float()
        low, high = self.action_low, self.action_high
        return (actions - low) * (2 / (high - low)) - 1

    def denormalize_action(self, actions: Tensor) -> Tensor:
        """The inverse of ``normalize_action``."""
        if self.discrete:
            return actions.argmax(dim=-1)
        low, high = self.action_low, self.action_high
        return low + (actions + 1) * ((high - low) / 2)


def _fill(buffer: Tensor, values: ArrayLike) -> None:
    buffer.copy_(torch.as_tensor(np.asarray(values), dtype=torch.float32))
