"""The methods: what learns in a task, what protects earlier tasks, and how an adapter is chosen in play."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqrl_cli.config.continual import ContinualConfig
from seqrl_cli.errors import unknown

Learns = Literal["all", "head", "lora", "ia3", "prefix"]
Members = Literal["one", "per-task", "pool"]
Choice = Literal["none", "only", "task", "inferred", "keys"]


@dataclass(frozen=True)
class Method:
    """One way to learn tasks one after the other.

    Attributes:
        name: name of the method, as the user types it.
        summary: the method in a few words.
        learns: all weights, the action head, or adapters of a kind.
        members: number of adapters: one, one per task, or a pool with keys.
        choice: how play chooses an adapter: there is none, there is only one, by the true task, by the inferred task,
            or by the nearest key.
        learning_rate: learning rate that is used unless the user sets another.
        penalty: ``l2`` or ``ewc``, which holds weights near their values after earlier tasks.
        separate: whether the penalty has an anchor per earlier task rather than one for all.
        penalty_weight: weight of the penalty that is used unless the user sets another.
        replays: whether windows of earlier tasks are mixed in.
        top_k: adapters of a pool per window.
        joint: whether all tasks are learned at once, as an upper bound.
        restarts: whether each task is learned from the backbone, as a reference for transfer.
    """

    name: str
    summary: str
    learns: Learns
    members: Members = "one"
    choice: Choice = "none"
    learning_rate: float = 1e-3
    penalty: Literal["l2", "ewc"] | None = None
    separate: bool = True
    penalty_weight: float = 0.0
    replays: bool = False
    joint: bool = False
    restarts: bool = False
    top_k: int = 1

    @property
    def adapts(self) -> bool:
        """Whether the backbone stays as it is."""
        return self.learns not in ("all", "head")


_LORA_RATE = 5e-3
_IA3_RATE = 2e-2

_ENTRIES = (
    Method("full", "all weights learn, and nothing protects earlier tasks", "all"),
    Method("single", "all weights learn each task from the backbone, the reference of transfer", "all", restarts=True),
    Method("head", "the action head learns", "head"),
    Method("l2", "all weights learn, held near those after earlier tasks", "all", penalty="l2", penalty_weight=1.0),
    Method(
        "ewc",
        "the same, weighted by the Fisher information of each earlier task",
        "all",
        penalty="ewc",
        penalty_weight=1e4,
    ),
    Method(
        "ewc-online",
        "the same with one anchor for all earlier tasks",
        "all",
        penalty="ewc",
        separate=False,
        penalty_weight=1e4,
    ),
    Method("replay", "all weights learn, with windows of earlier tasks mixed in", "all", replays=True),
    Method("lora", "one LoRA learns all tasks", "lora", choice="only", learning_rate=_LORA_RATE),
    Method("ia3", "one IA3 learns all tasks", "ia3", choice="only", learning_rate=_IA3_RATE),
    Method("lora-per-task", "a LoRA per task, and play is told the task", "lora", "per-task", "task", _LORA_RATE),
    Method("ia3-per-task", "an IA3 per task, and play is told the task", "ia3", "per-task", "task", _IA3_RATE),
    Method("l2m", "a pool of LoRAs with keys", "lora", "pool", "keys", _LORA_RATE),
    Method("l2m-ia3", "a pool of IA3s with keys", "ia3", "pool", "keys", _IA3_RATE),
    Method("l2p", "a pool of prefixes with keys", "prefix", "pool", "keys", _IA3_RATE, top_k=5),
    Method("hide-lora", "a LoRA per task, and play infers the task", "lora", "per-task", "inferred", _LORA_RATE),
    Method("hide-ia3", "an IA3 per task, and play infers the task", "ia3", "per-task", "inferred", _IA3_RATE),
    Method("joint", "all weights learn all tasks at once: the upper bound", "all", joint=True),
)

METHODS = {method.name: method for method in _ENTRIES}
"""The methods by name."""


def settled(settings: ContinualConfig, method: Method) -> ContinualConfig:
    """The settings with the method's own answer to whether the pretraining's tasks keep the backbone, unless given."""
    if settings.none_of_these is not None:
        return settings
    return settings.model_copy(update={"none_of_these": method.choice == "inferred"})


def method_named(name: str) -> Method:
    """A method by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]
