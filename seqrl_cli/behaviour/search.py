"""Augmented random search: how the shipped behaviour policies were found.

Mania, Guy and Recht, "Simple random search provides a competitive approach to reinforcement learning"
(arXiv 1803.07055), variant V2-t: linear policies, whitened observations, the best directions only.

Every direction draws from its own random stream, seeded by (seed, iteration, direction), and results are
combined in the order of the directions, so the outcome does not depend on how many processes run.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from seqrl_cli.behaviour.policies import LinearPolicy


@dataclass(frozen=True)
class SearchSettings:
    """One environment's search settings; the values per environment are those of the paper's appendix.

    Attributes:
        env_id: gymnasium id, for example ``Hopper-v4``.
        step_size: the paper's alpha.
        directions: random directions an iteration (N); each costs two episodes.
        top_directions: how many of them make the update (b).
        noise: standard deviation of a direction (nu).
        alive_bonus: subtracted from every reward, so that standing still earns nothing.
        max_steps: step limit of an episode.
    """

    env_id: str
    step_size: float
    directions: int
    top_directions: int
    noise: float
    alive_bonus: float = 0.0
    max_steps: int = 1000


@dataclass
class Whitening:
    """Running mean and variance of observations, merged by Chan's formula."""

    mean: np.ndarray
    sum_squares: np.ndarray
    count: int = 0

    def merge(self, mean: np.ndarray, sum_squares: np.ndarray, count: int) -> None:
        """Add ``count`` observations with the given mean and summed squared deviations, both ``(observation_dim,)``."""
        total = self.count + count
        delta = mean - self.mean
        self.mean = self.mean + delta * (count / total)
        self.sum_squares = self.sum_squares + sum_squares + delta**2 * (self.count * count / total)
        self.count = total

    def std(self) -> np.ndarray:
        """Standard deviation ``(observation_dim,)``; one where nothing varied, so that it can divide."""
        std = np.sqrt(self.sum_squares / max(self.count - 1, 1))
        return np.where(std < 1e-7, 1.0, std)


@dataclass(frozen=True)
class Iterate:
    """The policy after one iteration.

    Attributes:
        iteration: 0 is the all-zero policy.
        steps: environment steps taken so far.
        policy: the policy with the whitening folded in.
        sampled_return: mean return of this iteration's perturbed episodes, alive bonus included.
    """

    iteration: int
    steps: int
    policy: LinearPolicy
    sampled_return: float


@dataclass(frozen=True)
class _Episode:
    shaped_return: float
    true_return: float
    steps: int
    observation_mean: np.ndarray
    observation_sum_squares: np.ndarray


@dataclass
class _Worker:
    settings: SearchSettings
    env: Any = field(init=False)

    def __post_init__(self) -> None:
        self.env = gymnasium.make(self.settings.env_id).unwrapped

    def episode(self, policy: LinearPolicy, seed: int) -> _Episode:
        """Play one noiseless episode."""
        observation, _ = self.env.reset(seed=seed)
        seen, total, terminated = [], 0.0, False
        while not terminated and len(seen) < self.settings.max_steps:
            seen.append(observation)
            action = policy.mean_action(observation)
            observation, reward, terminated, _, _ = self.env.step(action)
            total += float(reward)
        observations = np.asarray(seen)
        mean = observations.mean(axis=0)
        shaped = total - self.settings.alive_bonus * len(seen)
        return _Episode(shaped, total, len(seen), mean, ((observations - mean) ** 2).sum(axis=0))


_worker: _Worker | None = None


def _start_worker(settings: SearchSettings) -> None:
    global _worker
    _worker = _Worker(settings)


def _direction(shape: tuple[int, int], seed: int, iteration: int, index: int) -> np.ndarray:
    return np.random.default_rng([seed, iteration, index]).standard_normal(shape)


def _evaluate(task: tuple[np.ndarray, np.ndarray, np.ndarray, int, int, int]) -> tuple[_Episode, _Episode]:
    """Both episodes of one direction: weights plus and minus the same noise, from the same start."""
    assert _worker is not None
    weights, mean, std, seed, iteration, index = task
    delta = _worker.settings.noise * _direction(weights.shape, seed, iteration, index)
    start = int(np.random.default_rng([seed, iteration, index, 1]).integers(2**31))
    plus, minus = (LinearPolicy.whitened(weights + sign * delta, mean, std) for sign in (1.0, -1.0))
    return _worker.episode(plus, start), _worker.episode(minus, start)


def search(settings: SearchSettings, seed: int, workers: int) -> Iterator[Iterate]:
    """Search without end; the caller stops when it has enough.

    Args:
        settings: environment and step sizes.
        seed: the same seed gives the same iterates on the same machine, whatever ``workers`` is.
        workers: processes that play episodes.

    Yields:
        The policy after each iteration, the all-zero policy first.
    """
    env = gymnasium.make(settings.env_id)
    assert env.action_space.shape is not None and env.observation_space.shape is not None
    weights = np.zeros((env.action_space.shape[0], env.observation_space.shape[0]))
    env.close()
    size = weights.shape[1]
    seen = Whitening(np.zeros(size), np.zeros(size))
    yield Iterate(0, 0, LinearPolicy.whitened(weights, seen.mean, np.ones(size)), 0.0)
    steps, iteration = 0, 0
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _start_worker, (settings,)) as pool:
        while True:
            iteration += 1
            std = seen.std() if seen.count else np.ones(size)
            tasks = [(weights, seen.mean, std, seed, iteration, i) for i in range(settings.directions)]
            pairs = pool.map(_evaluate, tasks, chunksize=1)
            weights = weights + _update(pairs, weights.shape, settings, seed, iteration)
            episodes = [episode for pair in pairs for episode in pair]
            for episode in episodes:
                seen.merge(episode.observation_mean, episode.observation_sum_squares, episode.steps)
            steps += sum(episode.steps for episode in episodes)
            policy = LinearPolicy.whitened(weights, seen.mean, seen.std())
            yield Iterate(iteration, steps, policy, float(np.mean([e.true_return for e in episodes])))


def _update(
    pairs: list[tuple[_Episode, _Episode]], shape: tuple[int, int], settings: SearchSettings, seed: int, iteration: int
) -> np.ndarray:
    """The step of equation (6): best directions, weighted by return difference over the returns' deviation."""
    returns = np.array([[plus.shaped_return, minus.shaped_return] for plus, minus in pairs])
    best = np.argsort(-returns.max(axis=1), kind="stable")[: settings.top_directions]
    deviation = returns[best].std() or 1.0
    step = np.zeros(shape)
    for index in best:
        step += (returns[index, 0] - returns[index, 1]) * _direction(shape, seed, iteration, int(index))
    return settings.step_size / (settings.top_directions * deviation) * step


def run_search(
    settings: SearchSettings, seed: int, workers: int, max_steps: int, on_iterate: Callable[[Iterate], None]
) -> list[Iterate]:
    """Search until ``max_steps`` environment steps are spent; returns every iterate in order."""
    iterates = []
    for iterate in search(settings, seed, workers):
        iterates.append(iterate)
        on_iterate(iterate)
        if iterate.steps >= max_steps:
            return iterates
    raise AssertionError("the search never ends by itself")
