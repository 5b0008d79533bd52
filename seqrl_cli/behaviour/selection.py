"""Which iterates of a search become ``expert``, ``medium`` and ``replay``, and what their datasets are worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from seqrl_cli.behaviour.collect import play_episode, worker_env
from seqrl_cli.behaviour.iterates import Iterates
from seqrl_cli.behaviour.library import Behaviour
from seqrl_cli.behaviour.policies import LinearPolicy
from seqrl_cli.behaviour.qualities import DEFAULT_TRANSITIONS, collect_behaviour
from seqrl_cli.behaviour.recipes import Recipe
from seqrl_cli.behaviour.workers import OrderedMap, worker_map
from seqrl_cli.errors import SeqrlError

_SCREENING_EPISODES = 5
_FINALISTS = 16
_FINAL_EPISODES = 40
# A third to a half is the rule; the margin keeps the dataset inside it, whatever its seed.
_MEDIUM_SHARE = (0.37, 0.47)
_REPLAY_ITERATES = 16


@dataclass(frozen=True)
class Evaluation:
    """One iterate's worth with exploration noise: means over episodes."""

    iteration: int
    mean_return: float
    mean_length: float


@dataclass(frozen=True)
class _Task:
    env_id: str
    iteration: int
    policy: LinearPolicy
    episodes: int
    seed: int


def select(
    family: str, recipe: Recipe, iterates: Iterates, workers: int, report: Callable[[str], None] = lambda line: None
) -> Behaviour:
    """Choose the policies of one family and measure its datasets.

    The expert is the iterate with the highest mean return. Medium is, among those that earn 37 to 47 % of it, the one
    with the highest reward a step: that is a policy which moves well and falls, not one that stands still.

    Args:
        family: for example ``hopper``.
        recipe: settings and noise.
        iterates: the search's result.
        workers: processes.
        report: called with a line of text when something is known.

    Raises:
        SeqrlError: no iterate is fit to be medium.
    """
    with worker_map(workers) as ordered_map:
        expert = _best(_evaluate(ordered_map, recipe, iterates, recipe.expert_noise))
        report(f"expert: {expert}")
        medium = _medium(_evaluate(ordered_map, recipe, iterates, recipe.medium_noise, expert.mean_return), expert)
        report(f"medium: {medium}")
    replay = np.unique(np.linspace(0, medium.iteration, _REPLAY_ITERATES).round().astype(int)).tolist()
    behaviour = Behaviour(
        family=family,
        env_id=recipe.settings.env_id,
        search=asdict(recipe.settings) | {"seed": recipe.seed, "steps": int(iterates.steps[-1])},
        expert=iterates.policy(expert.iteration, recipe.expert_noise),
        medium=iterates.policy(medium.iteration, recipe.medium_noise),
        replay=tuple(iterates.policy(iteration, recipe.medium_noise) for iteration in replay),
        iterations={"expert": expert.iteration, "medium": medium.iteration, "replay": replay},
    )
    return replace(behaviour, datasets=_measure(behaviour, workers, report))


def _evaluate(
    ordered_map: OrderedMap, recipe: Recipe, iterates: Iterates, noise: float, expert_return: float | None = None
) -> list[Evaluation]:
    """All iterates by few episodes, then the most promising of them by many."""

    def play(iterations: Sequence[int], episodes: int, seed: int) -> list[Evaluation]:
        tasks = [_Task(recipe.settings.env_id, i, iterates.policy(i, noise), episodes, seed) for i in iterations]
        return list(ordered_map(_play, tasks))

    screened = play(range(len(iterates)), _SCREENING_EPISODES, 0)
    if expert_return is None:
        promising = sorted(screened, key=lambda one: -one.mean_return)
    else:
        promising = _by_speed(screened, expert_return)
    return play([one.iteration for one in promising[:_FINALISTS]], _FINAL_EPISODES, 1)


def _play(task: _Task) -> Evaluation:
    env = worker_env(task.env_id)
    rngs = [np.random.default_rng([task.seed, task.iteration, episode]) for episode in range(task.episodes)]
    episodes = [play_episode(env, task.policy, rng) for rng in rngs]
    returns = [float(episode.returns[0]) for episode in episodes]
    lengths = [episode.transitions for episode in episodes]
    return Evaluation(task.iteration, float(np.mean(returns)), float(np.mean(lengths)))


def _best(evaluations: Sequence[Evaluation]) -> Evaluation:
    return max(evaluations, key=lambda one: one.mean_return)


def _by_speed(evaluations: Sequence[Evaluation], expert_return: float) -> list[Evaluation]:
    """Those whose return is medium, the highest reward a step first."""
    low, high = (share * expert_return for share in _MEDIUM_SHARE)
    fit = [one for one in evaluations if low <= one.mean_return <= high]
    return sorted(fit, key=lambda one: -one.mean_return / one.mean_length)


def _medium(evaluations: Sequence[Evaluation], expert: Evaluation) -> Evaluation:
    fit = _by_speed(evaluations, expert.mean_return)
    if not fit:
        low, high = _MEDIUM_SHARE
        raise SeqrlError(
            f"no iterate earns {low:.0%} to {high:.0%} of the expert's {expert.mean_return:.0f}",
            "search longer, with another seed, or change medium_noise in seqrl_cli/behaviour/recipes.py.",
        )
    return fit[0]


def _measure(behaviour: Behaviour, workers: int, report: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Default size of each dataset, and what its default seed gives."""
    datasets = {}
    for quality, transitions in DEFAULT_TRANSITIONS.items():
        facts = collect_behaviour(behaviour, quality, transitions, workers=workers).attributes
        datasets[quality] = {
            "transitions": transitions,
            "mean_return": round(float(facts["mean_return"]), 1),
            "standard_error": round(float(facts["mean_return_standard_error"]), 1),
            "mean_length": round(float(facts["mean_length"]), 1),
            "score": round(100 * float(facts["normalized_score"]), 1),
        }
        report(f"{quality}: {datasets[quality]}")
    return datasets
