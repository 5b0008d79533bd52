"""A policy's distribution of actions: a point mass, a Gaussian, a Gaussian squashed into the box, or choices.

Continuous actions are in units of the action box scaled to [-1, 1]; a choice is a vector that is 1 at the choice and 0
elsewhere. Samples are made of given noise, which each distribution draws from an episode's own generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

LARGEST_ACTION = 1 - 1e-6
"""Actions nearer to the bounds have a pre-image under tanh that is too large to learn from (Zheng et al.'s release)."""

LOG_STD_RANGE = (-5.0, 2.0)


def bounded_log_std(raw: Tensor) -> Tensor:
    """Map any number smoothly into ``LOG_STD_RANGE``."""
    low, high = LOG_STD_RANGE
    return low + (high - low) / 2 * (torch.tanh(raw) + 1)


@dataclass(frozen=True)
class PointMass:
    """A deterministic policy's actions.

    Attributes:
        mode: (..., action_dim).
    """

    mode: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """The actions themselves."""
        return self.mode

    def squared_error(self, actions: Tensor) -> Tensor:
        """Mean over the dimensions of the squared distance to ``actions`` (..., action_dim), as (...)."""
        return (self.mode - actions).square().mean(dim=-1)


@dataclass(frozen=True)
class Gaussian:
    """Independent normal distributions, one per dimension; samples may lie outside the box.

    Attributes:
        mean: (..., action_dim) float32.
        log_std: (..., action_dim) float32.
    """

    mean: Tensor
    log_std: Tensor

    @property
    def mode(self) -> Tensor:
        """The most likely actions, (..., action_dim)."""
        return self.mean

    def sample(self, noise: Tensor) -> Tensor:
        """Actions (..., action_dim) from standard normal ``noise`` of that shape; gradients flow through them."""
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log density of ``actions`` (..., action_dim), summed over the dimensions, as (...)."""
        standard = (actions - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * standard.square() - self.log_std - 0.5 * math.log(2 * math.pi)).sum(dim=-1)

    def entropy(self, noise: Tensor) -> Tensor:
        """Entropy summed over the dimensions, as (...); exact, so ``noise`` is ignored."""
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(dim=-1)


@dataclass(frozen=True)
class SquashedGaussian:
    """``tanh`` of a Gaussian: samples lie in the box (Haarnoja et al. 2018, appendix C).

    Attributes:
        mean: (..., action_dim) float32, before the squashing.
        log_std: (..., action_dim) float32, before the squashing.
    """

    mean: Tensor
    log_std: Tensor

    @property
    def mode(self) -> Tensor:
        """The squashed mean, (..., action_dim), which is what the papers evaluate."""
        return torch.tanh(self.mean)

    def sample(self, noise: Tensor) -> Tensor:
        """Actions (..., action_dim) from standard normal ``noise`` of that shape; gradients flow through them."""
        return torch.tanh(self.mean + self.log_std.exp() * noise)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log density of ``actions`` (..., action_dim), summed over the dimensions, as (...).

        Actions are first clamped to ``LARGEST_ACTION``, so that those at the bounds have a finite pre-image.
        """
        inside = actions.clamp(-LARGEST_ACTION, LARGEST_ACTION)
        # as a product, since 1 - inside**2 would lose half of its digits near the bounds
        log_slope = torch.log((1 - inside) * (1 + inside)).sum(dim=-1)
        return Gaussian(self.mean, self.log_std).log_prob(torch.atanh(inside)) - log_slope

    def entropy(self, noise: Tensor) -> Tensor:
        """Entropy summed over the dimensions, as (...): the Gaussian's, plus the mean log slope of tanh at samples.

        Its gradient has the same expectation as that of the usual estimate, minus the mean log density of the samples,
        and less variance. No inverse of tanh clamps the samples at the bounds.

        Args:
            noise: (samples, ..., action_dim) standard normal.
        """
        before = self.mean + self.log_std.exp() * noise
        log_slope = 2 * (math.log(2) - before - functional.softplus(-2 * before))  # of 1 - tanh(before)**2
        return Gaussian(self.mean, self.log_std).entropy(noise) + log_slope.mean(dim=0).sum(dim=-1)


@dataclass(frozen=True)
class Categorical:
    """One of several choices.

    Attributes:
        logits: (..., choices) float32, log probabilities up to a constant.
    """

    logits: Tensor

    @property
    def mode(self) -> Tensor:
        """The most likely choices, (..., choices), the first among equals."""
        return self._at(self.logits)

    def sample(self, noise: Tensor) -> Tensor:
        """Choices (..., choices) from ``noise`` of that shape, drawn from the standard Gumbel distribution.

        The largest sum of a logit and such a number is a sample (Gumbel 1954). Noise that is multiplied by a factor
        samples at that temperature; none gives the mode.
        """
        return self._at(self.logits + noise)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log probability of choices (..., choices), as (...)."""
        return (functional.log_softmax(self.logits, dim=-1) * actions).sum(dim=-1)

    def entropy(self, noise: Tensor) -> Tensor:
        """Entropy, as (...); exact, so ``noise`` is ignored."""
        log_probabilities = functional.log_softmax(self.logits, dim=-1)
        return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)

    def _at(self, scores: Tensor) -> Tensor:
        """1 at the highest score and 0 elsewhere."""
        return functional.one_hot(scores.argmax(dim=-1), self.logits.shape[-1]).float()


ActionDistribution = PointMass | Gaussian | SquashedGaussian | Categorical


def draw_noise(generator: np.random.Generator, action_dim: int, *, discrete: bool) -> np.ndarray:
    """The noise of one sample, (action_dim,) float32: normal for numbers, Gumbel's for choices."""
    if discrete:
        return generator.gumbel(size=action_dim).astype(np.float32)
    return generator.standard_normal(action_dim, dtype=np.float32)
