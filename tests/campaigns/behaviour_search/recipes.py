"""How the shipped policies were searched for, so that the search can be run again."""

from __future__ import annotations

from dataclasses import dataclass

from tests.campaigns.behaviour_search.search import SearchSettings


@dataclass(frozen=True)
class Recipe:
    """One family's search and the exploration noise of its datasets.

    Attributes:
        settings: step sizes are those of the search paper's appendix.
        seed: the seed whose policies ship.
        steps: environment steps after which the search stopped.
        expert_noise: standard deviation of the expert's exploration noise; D4RL's experts are nearly deterministic.
        medium_noise: that of ``medium`` and ``medium-replay``: as much as the gait stands, so that a model sees what
            other actions lead to.
        medium_iteration: the iterate to be medium; None leaves the choice to ``selection.py``.
    """

    settings: SearchSettings
    seed: int
    steps: int
    expert_noise: float
    medium_noise: float
    medium_iteration: int | None = None


RECIPES = {
    # The rule would take iterate 142; 114 stays up longer and returns 14 % more, and it is the demo's teacher.
    "hopper": Recipe(SearchSettings("Hopper-v4", 0.01, 8, 4, 0.025, alive_bonus=1.0), 2, 3_000_000, 0.1, 0.3, 114),
    "halfcheetah": Recipe(SearchSettings("HalfCheetah-v4", 0.02, 32, 4, 0.03), 0, 12_000_000, 0.05, 0.1),
    "walker2d": Recipe(SearchSettings("Walker2d-v4", 0.03, 40, 30, 0.025, alive_bonus=1.0), 0, 9_370_000, 0.1, 0.1),
    "ant": Recipe(SearchSettings("Ant-v4", 0.015, 60, 20, 0.025, alive_bonus=1.0), 0, 9_000_000, 0.1, 0.2),
}
