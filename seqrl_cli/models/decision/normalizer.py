"""Normalization for policies: standardised observations, and actions scaled to [-1, 1]."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

SMALLEST_STD = 1e-6  # a dimension that varies less is only centred


class Normalizer(nn.Module):
    """Converts between an environment's numbers and a network's; its buffers are saved with the weights.

    Args:
        observation_dim: numbers per observation.
        action_dim: numbers per action.
    """

    observation_mean: Tensor
    observation_std: Tensor
    action_low: Tensor
    action_high: Tensor

    def __init__(self, observation_dim: int, action_dim: int) -> None:
        super().__init__()
        self.register_buffer("observation_mean", torch.zeros(observation_dim))
        self.register_buffer("observation_std", torch.ones(observation_dim))
        self.register_buffer("action_low", -torch.ones(action_dim))
        self.register_buffer("action_high", torch.ones(action_dim))

    def fit(self, observations: np.ndarray, action_low: ArrayLike, action_high: ArrayLike) -> None:
        """Set the statistics and bounds.

        Args:
            observations: (rows, observation_dim), the training data.
            action_low: (action_dim,), finite and below ``action_high``.
            action_high: (action_dim,).
        """
        mean, std = observations.mean(axis=0, dtype=np.float64), observations.std(axis=0, dtype=np.float64)
        values = (mean, np.where(std > SMALLEST_STD, std, 1.0), action_low, action_high)
        for buffer, value in zip(self.buffers(), values, strict=True):
            buffer.copy_(torch.as_tensor(np.asarray(value), dtype=torch.float32))

    def normalize_observation(self, observations: Tensor) -> Tensor:
        """Observations (..., observation_dim) with mean 0 and standard deviation 1 over the training data."""
        return (observations - self.observation_mean) / self.observation_std

    def normalize_action(self, actions: Tensor) -> Tensor:
        """Actions (..., action_dim) of the environment's box, scaled to [-1, 1]."""
        low, high = self.action_low, self.action_high
        return (actions - low) * (2 / (high - low)) - 1

    def denormalize_action(self, actions: Tensor) -> Tensor:
        """The inverse of ``normalize_action``."""
        low, high = self.action_low, self.action_high
        return low + (actions + 1) * ((high - low) / 2)
