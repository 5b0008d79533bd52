"""Statistics of a task's features: a Gaussian with full covariance, which tells tasks apart without their data.

HiDe keeps such statistics of the frozen backbone's features, and infers tasks from them (Wang et al. 2023, arXiv
2310.07234, section 4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

RIDGE = 0.01  # of the mean variance, added to each variance: features may depend on each other


@dataclass(frozen=True)
class TaskStatistics:
    """The Gaussian of a task's features.

    Attributes:
        mean: (features,) float64.
        root: (features, features) float64, the lower Cholesky factor of the covariance.
    """

    mean: Tensor
    root: Tensor

    @classmethod
    def of(cls, features: Tensor) -> TaskStatistics:
        """Fit features (rows, features)."""
        rows = features.double()
        mean = rows.mean(dim=0)
        centred = rows - mean
        covariance = centred.T @ centred / len(rows)
        ridge = RIDGE * covariance.diagonal().mean().clamp(min=1e-8)
        root = torch.linalg.cholesky(covariance + ridge * torch.eye(len(mean), dtype=torch.float64))
        return cls(mean, root)

    def log_density(self, features: Tensor) -> Tensor:
        """Log densities (rows,) of features (rows, features), in nats.

        Each row is computed alone, so that its bits do not depend on the others.
        """
        return torch.stack([self._log_density(row) for row in features.double()])

    def _log_density(self, row: Tensor) -> Tensor:
        solved = torch.linalg.solve_triangular(self.root, (row - self.mean).unsqueeze(1), upper=False)
        log_volume = self.root.diagonal().log().sum()
        return -0.5 * (solved.square().sum() + len(row) * math.log(2 * math.pi)) - log_volume

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Features (count, features) float64."""
        noise = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        return self.mean + noise @ self.root.T

    def tensors(self) -> dict[str, Tensor]:
        """What :meth:`from_tensors` needs."""
        return {"mean": self.mean, "root": self.root}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> TaskStatistics:
        """The statistics that :meth:`tensors` described."""
        return cls(tensors["mean"], tensors["root"])


class Densities:
    """Log densities of one vector of features under several Gaussians, faster than one after the other.

    Args:
        gaussians: the Gaussians, at least one, all over features of one size.
    """

    def __init__(self, gaussians: Sequence[TaskStatistics]) -> None:
        identity = torch.eye(len(gaussians[0].mean), dtype=torch.float64)
        self._means = torch.stack([one.mean for one in gaussians])
        inverses = [torch.linalg.solve_triangular(one.root, identity, upper=False) for one in gaussians]
        self._inverses = torch.stack(inverses)
        volumes = torch.stack([one.root.diagonal().log().sum() for one in gaussians])
        self._constants = -volumes - 0.5 * len(identity) * math.log(2 * math.pi)

    def at(self, features: Tensor) -> Tensor:
        """Log densities (gaussians,) of features (features,), in nats; see :meth:`TaskStatistics.log_density`."""
        centred = (features.double() - self._means).unsqueeze(2)
        return self._constants - 0.5 * torch.bmm(self._inverses, centred).square().sum(dim=(1, 2))
