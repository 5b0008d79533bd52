"""Windows drawn from the episodes of several tasks, by stated rules and reproducible from a saved state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.task_data import TaskData

Group: TypeAlias = tuple[str, int, int | None]

Mixing: TypeAlias = Literal["joined", "alternating", "weighted"]
"""Domains of an update: a batch of each, one after the other, or one drawn by weight."""

EpisodeRule: TypeAlias = Literal["length", "uniform", "return", "success"]
"""Probability of an episode within its task: by its length, equal, by its return, or equal among successes."""


@dataclass(frozen=True)
class WindowBatch:
    """Windows of one group of tasks; real steps come first, and padding repeats the last.

    Attributes:
        group: their encoder, action dimensions and choices.
        observations: (batch, time, *shape).
        returns_to_go: (batch, time) float32, scaled.
        actions: (batch, time, action_dim) float32 in [-1, 1], or the index of a choice.
        rewards: (batch, time) float32, scaled.
        timesteps: (batch, time) int64.
        mask: (batch, time) bool, true at real steps.
        bodies: names of the bodies, one per window.
    """

    group: Group
    observations: NDArray[Any]
    returns_to_go: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    timesteps: NDArray[np.int64]
    mask: NDArray[np.bool_]
    bodies: tuple[str, ...]


@dataclass(frozen=True)
class SamplingRules:
    """How windows are drawn.

    Attributes:
        mixing: which domains an update has.
        weights: of domains, 1 where nothing is stated.
        episodes: probability of an episode within its task.
        tasks: probabilities of the tasks of a domain, by dataset, relative to each other; empty if they are equal.
    """

    mixing: Mixing = "joined"
    weights: Mapping[str, float] = field(default_factory=dict)
    episodes: EpisodeRule = "length"
    tasks: Mapping[str, float] = field(default_factory=dict)


class TaskSampler:
    """Draws batches of windows.

    Args:
        tasks: the data, at least one task.
        context: steps of a window.
        rules: how to draw.
        rng: the sampler owns it from now on.
    """

    def __init__(self, tasks: Sequence[TaskData], context: int, rules: SamplingRules, rng: np.random.Generator) -> None:
        self.tasks = tasks
        self.context = context
        self.rules = rules
        self._rng = rng
        self._drawn = 0  # updates
        self._domains: dict[str, list[int]] = defaultdict(list)
        for index, task in enumerate(tasks):
            self._domains[task.facts.input].append(index)
        self._sums = [np.cumsum(_episode_weights(task, rules.episodes)) for task in tasks]

    @property
    def domains_per_update(self) -> int:
        """How many domains each update has."""
        return len(self._domains) if self.rules.mixing == "joined" else 1

    def next_batches(self, batch_size: int) -> list[tuple[float, list[WindowBatch]]]:
        """The windows of the next update: for each domain in it, the weight of its loss and its batches.

        Args:
            batch_size: windows per domain.
        """
        chosen = self._next_domains()
        self._drawn += 1
        return [(weight, self._draw(self._domains[domain], batch_size)) for domain, weight in chosen]

    def state(self) -> dict[str, Any]:
        """The position in the stream, as plain JSON values."""
        return {"rng": self._rng.bit_generator.state, "drawn": self._drawn}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self._rng.bit_generator.state = state["rng"]
        self._drawn = state["drawn"]

    def _next_domains(self) -> list[tuple[str, float]]:
        names = list(self._domains)
        weights = np.array([self.rules.weights.get(name, 1.0) for name in names])
        if self.rules.mixing == "joined":
            return list(zip(names, weights.tolist(), strict=True))
        if self.rules.mixing == "alternating":
            turn = self._drawn % len(names)
            return [(names[turn], float(weights[turn]))]
        return [(names[self._rng.choice(len(names), p=weights / weights.sum())], 1.0)]

    def _draw(self, indices: Sequence[int], count: int) -> list[WindowBatch]:
        """Windows of some tasks, by group."""
        chosen = self._choose_tasks(indices, count)
        parts: dict[Group, list[tuple[TaskData, NDArray[np.int64]]]] = defaultdict(list)
        for place, index in enumerate(indices):
            wanted = int((chosen == place).sum())
            if wanted:
                task = self.tasks[index]
                parts[task.group].append((task, self._starts(index, wanted)))
        return [cut_windows(group, members, self.context) for group, members in parts.items()]

    def _choose_tasks(self, indices: Sequence[int], count: int) -> NDArray[np.int64]:
        """Places (count,) in ``indices`` of the tasks to draw from."""
        if not self.rules.tasks:
            return self._rng.integers(len(indices), size=count)
        weights = np.array([self.rules.tasks[self.tasks[index].facts.dataset] for index in indices])
        return self._rng.choice(len(indices), size=count, p=weights / weights.sum())

    def _starts(self, index: int, count: int) -> NDArray[np.int64]:
        """First rows (count,) of windows in a task."""
        offsets = self.tasks[index].episodes.offsets
        sums = self._sums[index]
        episodes = np.searchsorted(sums, self._rng.random(count) * sums[-1], side="right")
        lengths = offsets[episodes + 1] - offsets[episodes]
        starts: NDArray[np.int64] = offsets[episodes] + self._rng.integers(lengths)
        return starts


def cut_windows(group: Group, members: Sequence[tuple[TaskData, NDArray[np.int64]]], context: int) -> WindowBatch:
    """Cut windows out of tasks of one group.

    Args:
        group: of the tasks.
        members: tasks, each with the first rows of its windows.
        context: steps of a window.
    """
    columns: list[list[NDArray[Any]]] = [[] for _ in range(6)]
    for task, starts in members:
        episodes = task.episodes
        ends = episodes.offsets[np.searchsorted(episodes.offsets, starts, side="right")]
        rows = starts[:, None] + np.arange(context)
        real = rows < ends[:, None]
        rows = np.minimum(rows, ends[:, None] - 1)
        found = (
            episodes.observations[rows],
            task.returns_to_go[rows],
            scaled_actions(task, episodes.actions[rows]),
            (episodes.rewards[rows] / task.facts.reward_scale).astype(np.float32),
            task.timesteps[rows],
            real,
        )
        for column, values in zip(columns, found, strict=True):
            column.append(values)
    bodies = tuple(task.facts.body for task, starts in members for _ in starts)
    observations, returns, actions, rewards, timesteps, mask = (np.concatenate(column) for column in columns)
    return WindowBatch(group, observations, returns, actions, rewards, timesteps, mask, bodies)


def scaled_actions(task: TaskData, actions: NDArray[Any]) -> NDArray[np.float32]:
    """Continuous actions (..., action_dim) scaled to [-1, 1]; choices (...) as (..., 1)."""
    if task.facts.choices is not None:
        return np.asarray(actions[..., None], np.float32)
    low, high = np.array(task.facts.action_low), np.array(task.facts.action_high)
    scaled: NDArray[np.float32] = ((actions - low) * (2 / (high - low)) - 1).astype(np.float32)
    return scaled


def _episode_weights(task: TaskData, rule: EpisodeRule) -> NDArray[np.float64]:
    """Weights (episodes,), not all 0."""
    episodes = task.episodes
    if rule == "length":
        return episodes.lengths.astype(np.float64)
    if rule == "return":
        above: NDArray[np.float64] = episodes.returns - episodes.returns.min()
        return above + max(float(above.max()) * 0.01, 1e-9)  # the worst episode stays possible
    if rule == "success" and episodes.successes is not None:
        solved = np.logical_or.reduceat(episodes.successes, episodes.offsets[:-1])
        if solved.any():
            return solved.astype(np.float64)
    return np.ones(len(episodes))
