"""Windows drawn from the episodes of several tasks, by stated rules and reproducible from a saved state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.shards import WHOLE, Shards
from seqrl_cli.data.task_data import TaskData
from seqrl_cli.files.json_fields import count_field
from seqrl_cli.files.mapped import expect_random_reads, read_soon

Group: TypeAlias = tuple[str, int, int | None]

Mixing: TypeAlias = Literal["joined", "alternating", "weighted", "sized"]
"""Domains of an update: a batch of each, one after the other, or one drawn by weight, or by its transitions as well."""

EpisodeRule: TypeAlias = Literal["length", "uniform", "return", "success"]
"""Probability of an episode within its task: by its length, equal, by its return, or equal among successes."""


@dataclass(frozen=True)
class WindowBatch:
    """Windows of one group of tasks; real steps come first, and padding repeats the last.

    Attributes:
        group: the group: encoder, action dimensions and choices.
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
        mixing: rule for which domains an update has.
        weights: weights of domains, 1 where nothing is stated.
        episodes: probability of an episode within its task.
        tasks: probabilities of the tasks of a domain, by dataset, relative to each other; empty if they are equal.
        early_starts: fraction of windows whose start is uniform on a logarithmic scale of time, so that the first ten
            steps of an episode count as much as the next ninety. The others are uniform.
        image_batch: windows of a domain whose observations are images, which cost more; None: as of other domains.
    """

    mixing: Mixing = "joined"
    weights: Mapping[str, float] = field(default_factory=dict)
    episodes: EpisodeRule = "length"
    tasks: Mapping[str, float] = field(default_factory=dict)
    early_starts: float = 0.0
    image_batch: int | None = None


Starts: TypeAlias = list[tuple[int, NDArray[np.int64]]]
"""Tasks by index, with the first rows of their windows."""


@dataclass(frozen=True)
class DomainDraw:
    """Windows of one domain that are drawn and not read yet, those of all shards.

    Attributes:
        weight: weight of the domain's loss.
        starts: first rows of the windows, by task.
    """

    weight: float
    starts: Starts

    def shard(self, shards: Shards, number: int) -> Starts:
        """The windows of one shard; tasks without any are left out."""
        found, before = [], 0
        for index, starts in self.starts:
            own = starts[(number - before) % shards.count :: shards.count]
            before += len(starts)
            if len(own):
                found.append((index, own))
        return found


@dataclass(frozen=True)
class _Draw:
    """Windows of an update that are drawn and not read yet.

    Attributes:
        before: position in the stream before they were drawn.
        batch_size: windows per domain.
        domains: the domains of the update.
    """

    before: Mapping[str, Any]
    batch_size: int
    domains: list[DomainDraw]


class TaskSampler:
    """Draws batches of windows.

    It is one draw ahead of what it returns, so that the disk can read what comes next while the model computes.

    Args:
        tasks: the data, at least one task.
        context: steps of a window.
        rules: the rules by which windows are drawn.
        rng: the sampler owns it from now on.
        shards: the shards whose windows the disk shall read ahead; all are drawn.
    """

    def __init__(
        self,
        tasks: Sequence[TaskData],
        context: int,
        rules: SamplingRules,
        rng: np.random.Generator,
        shards: Shards = WHOLE,
    ) -> None:
        self.tasks = tasks
        self.shards = shards
        self.context = context
        self.rules = rules
        self._rng = rng
        self._drawn = 0  # updates
        self._next: _Draw | None = None
        self._domains: dict[str, list[int]] = defaultdict(list)
        for index, task in enumerate(tasks):
            self._domains[task.facts.input].append(index)
            expect_random_reads(task.stored.observations)
        self._sums = [np.cumsum(_episode_weights(task, rules.episodes)) for task in tasks]

    def windows_per_draw(self, batch_size: int) -> float:
        """How many windows a draw has, on average.

        Args:
            batch_size: windows per domain.
        """
        sizes = np.array([self._batch_of(domain, batch_size) for domain in self._domains])
        if self.rules.mixing == "joined":
            return float(sizes.sum())
        if self.rules.mixing == "alternating":
            return float(sizes.mean())
        weights = self._domain_weights()
        return float((sizes * weights).sum() / weights.sum())

    def next_batches(self, batch_size: int) -> list[tuple[float, list[WindowBatch]]]:
        """The windows of the next update: for each domain in it, the weight of its loss and its batches.

        Args:
            batch_size: windows per domain.
        """
        return [(draw.weight, self.read(draw.starts)) for draw in self.next_draws(batch_size)]

    def next_draws(self, batch_size: int) -> list[DomainDraw]:
        """The windows of the next update by domain, for :meth:`read`.

        Args:
            batch_size: windows per domain.
        """
        if self._next is None or self._next.batch_size != batch_size:
            self.restore(self.state())
            self._next = self._draw(batch_size)
        current, self._next = self._next, self._draw(batch_size)
        return current.domains

    def real_steps(self, starts: Starts, context: int) -> list[tuple[int, NDArray[np.int64]]]:
        """Steps that are not padding, without reading them.

        Args:
            starts: first rows of windows, by task.
            context: steps of a window.

        Returns:
            Tasks by index, with the real steps (windows,) of each window.
        """
        found = []
        for index, rows in starts:
            offsets = self.tasks[index].offsets
            ends = offsets[np.searchsorted(offsets, rows, side="right")]
            found.append((index, np.minimum(ends - rows, context)))
        return found

    def state(self) -> dict[str, Any]:
        """The position in the stream, as plain JSON values."""
        return dict(self._next.before) if self._next else self._position()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Raises:
            JsonFieldError: the number of draws is not one.
            TypeError: the state of the generator is something else.
            ValueError: it is of another kind of generator.
        """
        self._rng.bit_generator.state = state["rng"]
        self._drawn = count_field(state, "drawn")
        self._next = None

    def _position(self) -> dict[str, Any]:
        return {"rng": self._rng.bit_generator.state, "drawn": self._drawn}

    def _next_domains(self) -> list[tuple[str, float]]:
        names = list(self._domains)
        weights = self._domain_weights()
        if self.rules.mixing == "joined":
            return list(zip(names, weights.tolist(), strict=True))
        if self.rules.mixing == "alternating":
            turn = self._drawn % len(names)
            return [(names[turn], float(weights[turn]))]
        return [(names[self._rng.choice(len(names), p=weights / weights.sum())], 1.0)]

    def _domain_weights(self) -> NDArray[np.float64]:
        """Weights of the domains, (domains,)."""
        weights = np.array([self.rules.weights.get(name, 1.0) for name in self._domains])
        if self.rules.mixing == "sized":
            sizes = [sum(self.tasks[index].transitions for index in indices) for indices in self._domains.values()]
            weights = weights * sizes
        return weights

    def _batch_of(self, domain: str, batch_size: int) -> int:
        """Windows of a domain in a draw."""
        is_image = len(self.tasks[self._domains[domain][0]].facts.shape) > 1
        return self.rules.image_batch or batch_size if is_image else batch_size

    def _draw(self, batch_size: int) -> _Draw:
        """Draw the windows of an update, and let the disk start to read those that are mapped."""
        before = self._position()
        chosen = self._next_domains()
        self._drawn += 1
        domains = [
            DomainDraw(weight, self._draw_starts(self._domains[name], self._batch_of(name, batch_size)))
            for name, weight in chosen
        ]
        own = (draw.shard(self.shards, number) for draw in domains for number in self.shards.own)
        for index, starts in (part for parts in own for part in parts):
            read_windows_soon(self.tasks[index], starts, self.context)
        return _Draw(before, batch_size, domains)

    def _draw_starts(self, indices: Sequence[int], count: int) -> Starts:
        """Windows of some tasks."""
        chosen = self._choose_tasks(indices, count)
        counts = [int((chosen == place).sum()) for place in range(len(indices))]
        return [(index, self._starts(index, wanted)) for index, wanted in zip(indices, counts, strict=True) if wanted]

    def _choose_tasks(self, indices: Sequence[int], count: int) -> NDArray[np.int64]:
        """Places (count,) in ``indices`` of the tasks to draw from."""
        if not self.rules.tasks:
            return self._rng.integers(len(indices), size=count)
        weights = np.array([self.rules.tasks[self.tasks[index].facts.dataset] for index in indices])
        return self._rng.choice(len(indices), size=count, p=weights / weights.sum())

    def _starts(self, index: int, count: int) -> NDArray[np.int64]:
        """First rows (count,) of windows in a task."""
        offsets = self.tasks[index].offsets
        sums = self._sums[index]
        episodes = np.searchsorted(sums, self._rng.random(count) * sums[-1], side="right")
        lengths = offsets[episodes + 1] - offsets[episodes]
        steps = self._rng.integers(lengths)
        if self.rules.early_starts:
            early = (np.power(lengths + 1.0, self._rng.random(count)) - 1).astype(np.int64)
            chosen = self._rng.random(count) < self.rules.early_starts
            steps = np.where(chosen, np.minimum(early, lengths - 1), steps)
        starts: NDArray[np.int64] = offsets[episodes] + steps
        return starts

    def read(self, parts: Starts) -> list[WindowBatch]:
        """Windows of some tasks, by group."""
        members: dict[Group, list[tuple[TaskData, NDArray[np.int64]]]] = defaultdict(list)
        for index, starts in parts:
            task = self.tasks[index]
            members[task.group].append((task, starts))
        return [cut_windows(group, found, self.context) for group, found in members.items()]


def read_windows_soon(task: TaskData, starts: NDArray[np.int64], context: int) -> None:
    """Let the disk start to read some windows of a task, if it is mapped.

    Args:
        task: the data.
        starts: (windows,) first rows.
        context: steps of a window.
    """
    if task.pages is not None:
        rows = starts + task.shifts[np.searchsorted(task.offsets, starts, side="right") - 1]
        for array in (task.stored.observations, task.stored.actions):
            read_soon(array, rows, context)


def cut_windows(group: Group, members: Sequence[tuple[TaskData, NDArray[np.int64]]], context: int) -> WindowBatch:
    """Cut windows out of tasks of one group.

    Args:
        group: the group of the tasks.
        members: tasks, each with the first rows of its windows.
        context: steps of a window.
    """
    parts = [_cut_from(task, starts, context) for task, starts in members]
    bodies = tuple(task.facts.body for task, starts in members for _ in starts)
    observations, returns, actions, rewards, timesteps, mask = map(np.concatenate, zip(*parts, strict=True))
    return WindowBatch(group, observations, returns, actions, rewards, timesteps, mask, bodies)


def _cut_from(task: TaskData, starts: NDArray[np.int64], context: int) -> tuple[NDArray[Any], ...]:
    """The columns of a batch, in their order, for windows of one task."""
    episodes = np.searchsorted(task.offsets, starts, side="right") - 1
    firsts, ends = task.offsets[episodes][:, None], task.offsets[episodes + 1][:, None]
    wanted = starts[:, None] + np.arange(context)
    rows = np.minimum(wanted, ends - 1)
    stored_rows = rows + task.shifts[episodes][:, None]
    observations = task.stored.observations[stored_rows]
    actions = task.stored.actions[stored_rows]
    if task.pages is not None:
        task.pages.check()
    return (
        observations,
        task.returns_to_go[rows],
        scaled_actions(task, actions),
        (task.stored.rewards[stored_rows] / task.facts.reward_scale).astype(np.float32),
        rows - firsts,
        wanted < ends,
    )


def scaled_actions(task: TaskData, actions: NDArray[Any]) -> NDArray[np.float32]:
    """Continuous actions (..., action_dim) scaled to [-1, 1]; choices (...) as (..., 1)."""
    if task.facts.choices is not None:
        return np.asarray(actions[..., None], np.float32)
    low, high = np.array(task.facts.action_low), np.array(task.facts.action_high)
    scaled: NDArray[np.float32] = ((actions - low) * (2 / (high - low)) - 1).astype(np.float32)
    return scaled


def _episode_weights(task: TaskData, rule: EpisodeRule) -> NDArray[np.float64]:
    """Weights (episodes,), not all 0."""
    if rule == "length":
        return task.lengths.astype(np.float64)
    if rule == "return":
        above: NDArray[np.float64] = task.returns - task.returns.min()
        return above + max(float(above.max()) * 0.01, 1e-9)  # the worst episode stays possible
    if rule == "success" and task.solved is not None and task.solved.any():
        return task.solved.astype(np.float64)
    return np.ones(len(task.lengths))
