"""Which iterates of a search become ``expert``, ``medium`` and ``replay``, and what their datasets are worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from seqrl_cli.behaviour.collect import closed_worker_envs, play_episode, worker_env
from seqrl_cli.behaviour.library import Behaviour
from seqrl_cli.behaviour.policies import LinearPolicy
from seqrl_cli.behaviour.qualities import collect_behaviour
from seqrl_cli.behaviour.workers import worker_map
from seqrl_cli.errors import SeqrlError
from seqrl_cli.launch.ordered_map import OrderedMap
from tests.campaigns.behaviour_search.iterates import Iterates
from tests.campaigns.behaviour_search.recipes import Recipe

_FINALISTS = 16
# A third to a half is the rule; the margin keeps the dataset inside it, whatever its seed.
_MEDIUM_SHARE = (0.35, 0.48)
# Medium is a policy that was stopped early, as in D4RL, and not the expert made clumsy by noise.
_MEDIUM_PROGRESS = 2 / 3
_REPLAY_ITERATES = 16
_TRANSITIONS = {
    "random": 100_000,
    "medium": 100_000,
    "medium-replay": 200_000,
    "medium-expert": 200_000,
    "expert": 100_000,
}


@dataclass(frozen=True)
class Evaluation:
    """One iterate's worth with exploration noise, over several episodes."""

    iteration: int
    mean_return: float
    deviation: float
    mean_length: float

    @property
    def steady_speed(self) -> float:
        """Reward per step, one standard deviation below the mean."""
        return (self.mean_return - self.deviation) / self.mean_length


@dataclass(frozen=True)
class _Round:
    seed: int
    episodes: int


_SCREENING = _Round(seed=0, episodes=5)
_FINAL = _Round(seed=1, episodes=40)


@dataclass(frozen=True)
class _Task:
    env_id: str
    iteration: int
    policy: LinearPolicy
    round: _Round


Report = Callable[[str], None]


def choose(family: str, recipe: Recipe, iterates: Iterates, workers: int, report: Report) -> Behaviour:
    """Choose the policies of one family.

    The expert is the iterate with the highest mean return. Medium is, among the earlier ones that earn 35 to 48 % of
    it, the one with the highest reward per step in its worse episodes: a policy which moves well and falls, not one
    that stands still, nor one that either excels or fails. A recipe may name its medium iterate instead.

    Args:
        family: for example ``hopper``.
        recipe: settings and noise.
        iterates: the search's result.
        workers: processes.
        report: called with a line of text when something is known.

    Raises:
        SeqrlError: no iterate is fit to be medium.
    """
    with closed_worker_envs(), worker_map(workers) as ordered_map:
        contest = _Contest(ordered_map, recipe, iterates)
        expert = contest.expert()
        report(f"expert: {expert}")
        given = recipe.medium_iteration
        medium = contest.medium(expert) if given is None else contest.evaluate([given], recipe.medium_noise)[0]
        report(f"medium: {medium}")
    replay = np.unique(np.linspace(0, medium.iteration, _REPLAY_ITERATES).round().astype(int)).tolist()
    return Behaviour(
        family=family,
        env_id=recipe.settings.env_id,
        search=asdict(recipe.settings) | {"seed": recipe.seed, "steps": int(iterates.steps[-1])},
        expert=iterates.policy(expert.iteration, recipe.expert_noise),
        medium=iterates.policy(medium.iteration, recipe.medium_noise),
        replay=tuple(iterates.policy(iteration, recipe.medium_noise) for iteration in replay),
        iterations={"expert": expert.iteration, "medium": medium.iteration, "replay": replay},
    )


def measure(behaviour: Behaviour, workers: int, report: Report) -> Behaviour:
    """Collect every dataset at its default size and seed, and record its return, length and score.

    Arguments as for ``choose``.
    """
    datasets = {}
    for quality, transitions in _TRANSITIONS.items():
        facts = collect_behaviour(behaviour, quality, transitions, workers=workers).attributes
        datasets[quality] = {
            "transitions": transitions,
            "mean_return": round(float(facts["mean_return"]), 1),
            "standard_error": round(float(facts["mean_return_standard_error"]), 1),
            "mean_length": round(float(facts["mean_length"]), 1),
            "score": round(100 * float(facts["normalized_score"]), 1),
        }
        report(f"{quality}: {datasets[quality]}")
    return replace(behaviour, datasets=datasets)


@dataclass(frozen=True)
class _Contest:
    """Evaluates iterates in two rounds: all of them by few episodes, then the most promising by many."""

    ordered_map: OrderedMap
    recipe: Recipe
    iterates: Iterates

    def expert(self) -> Evaluation:
        noise = self.recipe.expert_noise
        screened = self._play(range(len(self.iterates)), noise, _SCREENING)
        finalists = sorted(screened, key=lambda one: -one.mean_return)[:_FINALISTS]
        again = self.evaluate([one.iteration for one in finalists], noise)
        return max(again, key=lambda one: one.mean_return)

    def medium(self, expert: Evaluation) -> Evaluation:
        noise = self.recipe.medium_noise
        earlier = range(round(_MEDIUM_PROGRESS * expert.iteration))
        finalists = _medium_by_speed(self._play(earlier, noise, _SCREENING), expert)[:_FINALISTS]
        fit = _medium_by_speed(self.evaluate([one.iteration for one in finalists], noise), expert)
        if not fit:
            low, high = _MEDIUM_SHARE
            raise SeqrlError(
                f"no iterate earns {low:.0%} to {high:.0%} of the expert's {expert.mean_return:.0f}",
                "search longer, with another seed, or change the recipe's medium_noise in recipes.py",
            )
        return fit[0]

    def evaluate(self, iterations: Sequence[int], noise: float) -> list[Evaluation]:
        return self._play(iterations, noise, _FINAL)

    def _play(self, iterations: Sequence[int], noise: float, round_: _Round) -> list[Evaluation]:
        env_id = self.recipe.settings.env_id
        tasks = [_Task(env_id, index, self.iterates.policy(index, noise), round_) for index in iterations]
        return list(self.ordered_map(_play, tasks))


def _play(task: _Task) -> Evaluation:
    env = worker_env(task.env_id)
    rngs = [np.random.default_rng([task.round.seed, task.iteration, n]) for n in range(task.round.episodes)]
    episodes = [play_episode(env, task.policy, rng) for rng in rngs]
    returns = [float(episode.returns[0]) for episode in episodes]
    lengths = [episode.transitions for episode in episodes]
    return Evaluation(task.iteration, float(np.mean(returns)), float(np.std(returns)), float(np.mean(lengths)))


def _medium_by_speed(evaluations: Sequence[Evaluation], expert: Evaluation) -> list[Evaluation]:
    """Those whose return is medium, the fastest first."""
    low, high = (share * expert.mean_return for share in _MEDIUM_SHARE)
    fit = [one for one in evaluations if low <= one.mean_return <= high]
    return sorted(fit, key=lambda one: -one.steady_speed)
