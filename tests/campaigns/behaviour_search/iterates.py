"""The file between search and selection: every iterate of one search, as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqrl_cli.behaviour.library import rounded
from seqrl_cli.behaviour.policies import LinearPolicy
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import atomic_path
from tests.campaigns.behaviour_search.search import Iterate


@dataclass(frozen=True)
class Iterates:
    """Every policy of one search, in order.

    Attributes:
        weight: ``(iterates, action_dim, observation_dim)``.
        bias: ``(iterates, action_dim)``.
        steps: ``(iterates,)`` environment steps taken until then.
        sampled_return: ``(iterates,)`` mean return of that iteration's perturbed episodes.
    """

    weight: np.ndarray
    bias: np.ndarray
    steps: np.ndarray
    sampled_return: np.ndarray

    def __len__(self) -> int:
        """Number of iterates, the all-zero policy included."""
        return len(self.steps)

    def policy(self, index: int, noise_std: float) -> LinearPolicy:
        """One iterate as it will ship, with six significant digits."""
        return rounded(LinearPolicy(self.weight[index], self.bias[index], noise_std))


def save_iterates(path: Path, iterates: Sequence[Iterate]) -> None:
    """Write a search's iterates, numbered from 0, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            weight=np.array([iterate.policy.weight for iterate in iterates]),
            bias=np.array([iterate.policy.bias for iterate in iterates]),
            steps=np.array([iterate.steps for iterate in iterates]),
            sampled_return=np.array([iterate.sampled_return for iterate in iterates]),
        )


def load_iterates(path: Path) -> Iterates:
    """Read what :func:`save_iterates` wrote.

    Raises:
        SeqrlError: the file is missing or is something else.
    """
    try:
        with np.load(path) as arrays:
            return Iterates(*(arrays[name] for name in ("weight", "bias", "steps", "sampled_return")))
    except (OSError, ValueError, KeyError) as error:
        raise SeqrlError(
            f"{path} does not hold the iterates of a search: {error}",
            "make one with `python -m tests.campaigns.behaviour_search search FAMILY`.",
        ) from error
