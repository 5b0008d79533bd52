"""Policies that make datasets: linear with Gaussian exploration, and uniform random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LinearPolicy:
    """``action = clip(weight @ observation + bias + noise_std * N(0, 1), low, high)``.

    Attributes:
        weight: ``(action_dim, observation_dim)``.
        bias: ``(action_dim,)``.
        noise_std: standard deviation of the exploration noise, in action units.
        low, high: action bounds; the four locomotion environments all use [-1, 1].
    """

    weight: np.ndarray
    bias: np.ndarray
    noise_std: float = 0.0
    low: float = -1.0
    high: float = 1.0

    @classmethod
    def whitened(cls, weight: np.ndarray, mean: np.ndarray, std: np.ndarray) -> LinearPolicy:
        """A policy on whitened observations, ``weight @ ((observation - mean) / std)``, with the whitening folded in."""
        folded = weight / std
        return cls(folded, -folded @ mean)

    def mean_action(self, observation: np.ndarray) -> np.ndarray:
        """The action ``(action_dim,)`` without exploration."""
        return np.clip(self.weight @ observation + self.bias, self.low, self.high)

    def act(self, observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """An action ``(action_dim,)`` for one observation ``(observation_dim,)``."""
        noise = self.noise_std * rng.standard_normal(len(self.bias))
        return np.clip(self.weight @ observation + self.bias + noise, self.low, self.high)


@dataclass(frozen=True)
class UniformPolicy:
    """Uniform in the action box; ``low`` and ``high`` are ``(action_dim,)``."""

    low: np.ndarray
    high: np.ndarray

    def act(self, observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """An action ``(action_dim,)``; the observation is not looked at."""
        return rng.uniform(self.low, self.high)
