"""How play chooses an adapter for each step: not at all, by the true task, by inferring the task, or by keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from seqrl_cli.continual.inference import TaskInference
from seqrl_cli.models.adapters.keyed_pool import KeyedPool
from seqrl_cli.models.adapters.selection import NONE
from seqrl_cli.models.decision.task_history import TaskHistory


class Chooser(Protocol):
    """Sets the adapter of each episode's current step, whose state the decoder has embedded."""

    def choose(self, histories: Sequence[TaskHistory]) -> None:
        """Set ``adapter`` of each history; it must not depend on the other histories."""


class FixedChoice:
    """The same adapter in every step.

    Args:
        member: number of the adapter; ``NONE`` for no adapter.
    """

    def __init__(self, member: int) -> None:
        self.member = member

    def choose(self, histories: Sequence[TaskHistory]) -> None:
        """See :class:`Chooser`."""
        for history in histories:
            history.adapter = self.member


class TrueTask:
    """The adapter of the task that an episode plays; none for tasks that have none.

    Args:
        members: numbers of adapters by dataset.
    """

    def __init__(self, members: Mapping[str, int]) -> None:
        self.members = members

    def choose(self, histories: Sequence[TaskHistory]) -> None:
        """See :class:`Chooser`."""
        for history in histories:
            history.adapter = self.members.get(history.task, NONE)


class InferredTask:
    """The adapter of the most likely task; none for states that the encoder of no known task reads.

    Args:
        inference: gives the log probabilities of the tasks.
        accumulate: whether the evidence of all steps of an episode counts, or only the latest step's.
    """

    def __init__(self, inference: TaskInference, accumulate: bool) -> None:
        self.inference = inference
        self.accumulate = accumulate

    def choose(self, histories: Sequence[TaskHistory]) -> None:
        """See :class:`Chooser`."""
        for history in histories:
            evidence = self.inference.evidence(history.name, history.observed)
            if self.accumulate and history.evidence is not None:
                evidence = evidence + history.evidence
            history.evidence = evidence
            known = float(evidence.max()) > -torch.inf  # else no task has states like these
            history.adapter = self.inference.member(int(evidence.argmax())) if known else NONE


class Gate:
    """No adapter where the pretraining's tasks are more likely, and another chooser's adapter elsewhere.

    Args:
        inferred: the adapter of the most likely task; none in the pretraining's tasks.
        chooser: chooses the adapter in all other tasks.
    """

    def __init__(self, inferred: Chooser, chooser: Chooser) -> None:
        self.inferred = inferred
        self.chooser = chooser

    def choose(self, histories: Sequence[TaskHistory]) -> None:
        """See :class:`Chooser`."""
        self.inferred.choose(histories)
        self.chooser.choose([history for history in histories if history.adapter != NONE])


class NearestKey:
    """The adapters whose keys are nearest to the window's states, as in L2M.

    Args:
        keys: one per adapter, in evaluation mode.
        allowed: (members,) bool by dataset, those that a task may use; None if all tasks may use all.
    """

    def __init__(self, keys: KeyedPool, allowed: Mapping[str, Tensor] | None = None) -> None:
        self.keys = keys
        self.allowed = allowed

    def choose(self, histories: Sequence[TaskHistory]) -> None:
        """See :class:`Chooser`."""
        for history in histories:
            history.adapter = NONE
        known = [history for history in histories if self.allowed is None or history.task in self.allowed]
        if not known:
            return
        allowed = None if self.allowed is None else torch.stack([self.allowed[history.task] for history in known])
        chosen = self.keys.choose(torch.stack([query_of(history) for history in known]), allowed)
        for history, own in zip(known, chosen.tolist(), strict=True):
            history.adapter = tuple(own) if isinstance(own, list) else own


def query_of(history: TaskHistory) -> Tensor:
    """The mean (width,) of the embedded states in an episode's window."""
    states = [step[0] for step in (*history.tokens, history.current)]
    return torch.stack(states).mean(dim=0)
