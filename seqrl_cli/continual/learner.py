"""Learns the tasks of a suite one after the other with one method, and keeps what it needs to play them all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from seqrl_cli.config.continual import ContinualConfig
from seqrl_cli.config.sections import TasksConfig
from seqrl_cli.continual.action_replay import ActionStatistics, adapt_head
from seqrl_cli.continual.adapter_specs import adapter_spec
from seqrl_cli.continual.anchors import Anchor
from seqrl_cli.continual.choosers import Chooser, FixedChoice, Gate, InferredTask, NearestKey, TrueTask
from seqrl_cli.continual.guides import Anchored, Contrast, KeyedAdapters, OneAdapter, window_queries
from seqrl_cli.continual.inference import Known, TaskInference, train_head
from seqrl_cli.continual.methods import Method, settled
from seqrl_cli.continual.protection import action_features, draw_windows, importance, state_features
from seqrl_cli.continual.statistics import TaskStatistics
from seqrl_cli.data.task_data import TaskData
from seqrl_cli.models.adapters import AdapterSet, attach
from seqrl_cli.models.adapters.keyed_pool import KeyedPool
from seqrl_cli.models.adapters.selection import NONE
from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer
from seqrl_cli.runs.record import TaskRecord
from seqrl_cli.training.guide import Guide

_STATISTICS, _INFERENCE, _ACTIONS, _FISHER, _REPLAY, _MEMBER = range(101, 107)
"""Streams of random numbers of a stage, by purpose."""

_WINDOWS = 256  # of a task, which show what adapter it has chosen


class Learner:
    """A trained model that learns more tasks.

    Args:
        model: the model of the pretraining, on its device; changed in place.
        method: what learns, and how.
        settings: the numbers.
        tasks: the tasks to learn, in order.
        recipe: how the pretraining drew and weighted windows, which goes on.

    Raises:
        SeqrlError: the adapters do not fit the model.
    """

    def __init__(
        self,
        model: MultiDomainTransformer,
        method: Method,
        settings: ContinualConfig,
        tasks: Sequence[TaskRecord],
        recipe: TasksConfig,
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.method = method
        self.settings = settled(settings, method)
        self.tasks = tuple(tasks)
        self.backbone = {name: one.detach().clone() for name, one in model.named_parameters() if method.restarts}
        self.known: list[Known] = []
        self.chosen = 0
        self.anchors: list[Anchor] = []
        self.earlier: list[TaskData] = []
        self.actions: list[ActionStatistics] = []
        generator = torch.Generator().manual_seed(settings.seed)
        self.adapters = self._attach(generator) if method.adapts else None
        self.keys: KeyedPool | None = None
        if method.members == "pool":
            self.keys = KeyedPool(settings.pool, model.head.in_features, method.top_k, generator)
            self.keys.to(model.head.weight.device)
            model.add_module("keys", self.keys)

    def _attach(self, generator: torch.Generator) -> AdapterSet:
        members = {"one": 1, "per-task": len(self.tasks), "pool": self.settings.pool}[self.method.members]
        return attach(self.model, adapter_spec(self.method, self.settings), members, generator)

    def begin(self, task: int, data: TaskData | None = None) -> Guide | None:
        """Free what learns in a task, freeze the rest, and say what accompanies the training.

        Args:
            task: number of the task, from 0.
            data: data of the task; by it a whole task chooses one adapter of a pool. None if nothing will be trained.
        """
        self.model.requires_grad_(False)
        for name, weight in self.backbone.items():
            self.model.get_parameter(name).data.copy_(weight)
        for parameter in self._learning(task):
            parameter.requires_grad_(True)
        if self.adapters is None:
            return self._anchored() if self.method.penalty else None
        if self.keys is not None:
            if task > 0:
                self.keys.begin_task()
            return KeyedAdapters(self.model, self.adapters, self.keys, self.settings.pull, self._may_use(task, data))
        member = task if self.method.members == "per-task" else 0
        if self.method.members == "per-task" and task > 0:
            self.adapters.copy_member(task - 1, task)
        if self.method.choice == "inferred" and self.actions:
            means = torch.cat([one.means for one in self.actions])
            contrast, temperature = self.settings.contrast, self.settings.temperature
            return Contrast(self.model, self.adapters, member, means, contrast, temperature)
        return OneAdapter(self.adapters, member)

    def _may_use(self, task: int, data: TaskData | None) -> torch.Tensor | None:
        """The members (members,) bool of a pool that a task may choose; None for all."""
        if self.settings.task_id == "oracle":
            return self._own_members(task)
        if self.settings.keys == "windows" or data is None:
            return None
        self.chosen = self._most_wanted(task, data)
        return torch.arange(self.settings.pool, device=self.model.head.weight.device) == self.chosen

    def _learning(self, task: int) -> list[nn.Parameter]:
        if self.method.learns == "all":
            return list(self.model.parameters())
        if self.method.learns == "head":
            return list(self.model.head.parameters())
        assert self.adapters is not None
        if self.keys is not None:
            return [*self.adapters.parameters(), *self.keys.parameters()]
        head = self.model.head.parameters() if self.learns_head else ()
        return [*self.adapters.parameters(task if self.method.members == "per-task" else 0), *head]

    @property
    def learns_head(self) -> bool:
        """Whether the action head learns beside the adapters."""
        return self.method.choice == "inferred" and self.settings.head == "shared"

    def _anchored(self) -> Anchored:
        weight = self.settings.penalty
        weight = self.method.penalty_weight if weight is None else weight
        return Anchored(self.learned_parameters(), self.anchors, weight)

    def learned_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that a method without adapters changes, by name."""
        prefix = "" if self.method.learns == "all" else "head."
        return {name: one for name, one in self.model.named_parameters() if name.startswith(prefix)}

    def recognize(self, data: TaskData, member: int, stage: int) -> None:
        """Keep statistics of a task's features, by which play infers it."""
        features = state_features(self.model, data, self._generator(stage, _STATISTICS, len(self.known)))
        self.known.append(Known(data.facts.input, member, TaskStatistics.of(features)))

    @property
    def trainable(self) -> int:
        """Numbers that learn in the present task; of a pool, those of one adapter and its key."""
        count = sum(one.numel() for one in self.model.parameters() if one.requires_grad)
        return count // self.settings.pool if self.method.members == "pool" else count

    @property
    def infers(self) -> bool:
        """Whether play infers the task, or at least whether it is one of the pretraining's."""
        if self.method.choice == "keys":
            by_task = self.settings.none_of_these or self.settings.keys == "tasks"
            return by_task and self.settings.task_id == "inferred"
        return self.method.choice == "inferred"

    @property
    def right_members(self) -> dict[str, int] | None:
        """The adapter that play should infer for each task, by dataset; None for methods that infer no task.

        Of a pool, the one that each task learned so far has chosen.
        """
        if not self.infers or self.settings.task_id == "oracle":
            return None
        if self.method.choice == "inferred":
            return {task.dataset: number for number, task in enumerate(self.tasks)}
        if self.settings.keys == "windows":
            return None
        members = [one.member for one in self.known if one.member != NONE]
        return {task.dataset: member for task, member in zip(self.tasks, members, strict=False)}

    def protect_pretraining(self, data: TaskData, member: int) -> None:
        """Protect and recognize a task that the backbone was trained on; before the first task.

        A task that is also to be learned is not recognized, since its own adapter should act in it.
        """
        self.protect(data, stage=0)
        if self.infers and all(task.dataset != data.facts.dataset for task in self.tasks):
            self.recognize(data, member, stage=0)
        self.remember(data, stage=0)

    def remember(self, data: TaskData, stage: int) -> None:
        """Keep some episodes of a task, the same ones each time, if the method replays.

        A task of the pretraining that is also to be learned is kept once, after it was learned.
        """
        again = stage == 0 and any(task.dataset == data.facts.dataset for task in self.tasks)
        if self.method.replays and not again:
            rng = self._generator(stage, _REPLAY, len(self.earlier))
            self.earlier.append(data.some_episodes(self.settings.replay_transitions, rng))

    def protect(self, data: TaskData, stage: int) -> None:
        """Keep an anchor of the weights after learning a task, if the method has a penalty."""
        if not self.method.penalty:
            return
        parameters = self.learned_parameters()
        measured = None
        if self.method.penalty == "ewc":
            rng = self._generator(stage, _FISHER, len(self.anchors))
            for parameter in parameters.values():
                parameter.requires_grad_(True)
            measured = importance(self.model, data, parameters, self.settings.fisher_windows, rng)
        anchor = Anchor.at(parameters, measured)
        if self.anchors and not self.method.separate:
            self.anchors = [anchor.joined(self.anchors[0])]
        else:
            self.anchors.append(anchor)

    def finish(self, task: int, data: TaskData) -> None:
        """Keep what later stages and play need of a task that was learned."""
        stage = task + 1
        self.model.eval()
        self.protect(data, stage)
        if self.method.choice == "inferred":
            self.recognize(data, task, stage)
            self._replay_actions(task, data, stage)
        elif self.infers:
            self.recognize(data, self.chosen, stage)
        self.remember(data, stage)

    def _most_wanted(self, task: int, data: TaskData) -> int:
        """The member of a pool whose key has the largest mean score for a task's windows in training."""
        assert self.keys is not None
        name, windows, _ = draw_windows(self.model, data, _WINDOWS, self._generator(task + 1, _MEMBER))
        scores = self.keys.training_scores(window_queries(self.model, name, windows))
        return int(scores.mean(dim=0).argmax())

    def _replay_actions(self, task: int, data: TaskData, stage: int) -> None:
        """Keep statistics of what predicts a task's actions; a head that learns adapts to all tasks so far."""
        assert self.adapters is not None
        self.adapters.select(task)
        features, ids = action_features(self.model, data, self._generator(stage, _ACTIONS))
        self.actions.append(ActionStatistics.of(features, ids))
        if self.learns_head:
            allowed = [self.model.tokens.allowed(one.choices) for one in self.tasks[: len(self.actions)]]
            generator = torch.Generator().manual_seed(self._seed(stage, _ACTIONS))
            adapt_head(self.model.head, self.actions, allowed, generator)

    def _seed(self, *purpose: int) -> int:
        return int(np.random.SeedSequence([self.settings.seed, *purpose]).generate_state(1)[0])

    def _generator(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, *purpose])

    def chooser(self) -> Chooser:
        """How play chooses adapters now."""
        choice = self.method.choice
        is_oracle = self.settings.task_id == "oracle"
        if choice == "task" or (choice == "inferred" and is_oracle):
            return TrueTask({task.dataset: number for number, task in enumerate(self.tasks)})
        if choice == "inferred":
            return self._inferring()
        if choice == "keys":
            assert self.keys is not None
            own = {task.dataset: self._own_members(number) for number, task in enumerate(self.tasks)}
            nearest = NearestKey(self.keys, own if is_oracle else None)
            if not self.infers:
                return nearest
            return self._inferring() if self.settings.keys == "tasks" else Gate(self._inferring(), nearest)
        return FixedChoice(NONE if choice == "none" else 0)

    def present_chooser(self, task: int) -> Chooser:
        """How play chooses adapters in the task that is being learned, which cannot be inferred yet."""
        if self.method.members == "per-task":
            return FixedChoice(task)
        if self.keys is None:
            return self.chooser()
        if self.settings.keys == "tasks" and self.settings.task_id == "inferred":
            return FixedChoice(self.chosen)
        own = {self.tasks[task].dataset: self._own_members(task)}
        return NearestKey(self.keys, own if self.settings.task_id == "oracle" else None)

    def _own_members(self, task: int) -> torch.Tensor:
        """A task's part (members,) bool of the pool, where the task is told (L2M-oracle)."""
        each = self.settings.pool // len(self.tasks)
        members = torch.arange(self.settings.pool, device=self.model.head.weight.device)
        return (members >= task * each) & (members < (task + 1) * each)

    def _inferring(self) -> Chooser:
        known = [one for one in self.known if one.member != NONE or self.settings.none_of_these]
        if not any(one.member != NONE for one in known):
            return FixedChoice(NONE)
        head = None
        if self.settings.inference == "head":
            head = train_head(known, torch.Generator().manual_seed(self._seed(_INFERENCE)))
        return InferredTask(TaskInference(known, head), self.settings.evidence == "episode")
