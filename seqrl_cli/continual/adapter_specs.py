"""The adapters that a method's settings ask for, and how many of them a pool needs."""

from __future__ import annotations

from seqrl_cli.config.continual import ContinualConfig
from seqrl_cli.continual.methods import Method
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.adapters import IA3Spec, LoRASpec, PrefixSpec, Spec


def check_pool(method: Method, settings: ContinualConfig, tasks: int) -> None:
    """Raise SeqrlError if a pool has too few adapters for some tasks."""
    if method.members != "pool":
        return
    each = method.top_k if settings.task_id == "oracle" else 1
    least = max(each * tasks, method.top_k)
    if settings.pool < least:
        needs = f"{method.name} needs {least} for {tasks} tasks"
        raise SeqrlError(
            f"a pool of {settings.pool} adapters is too small: {needs}", f"use continual.pool={max(3 * tasks, least)}"
        )


def adapter_spec(method: Method, settings: ContinualConfig) -> Spec:
    """The adapters of a method.

    Raises:
        SeqrlError: the settings make none.
    """
    if method.learns == "lora":
        return LoRASpec(settings.rank, settings.alpha, settings.dropout, settings.targets)
    if method.learns == "ia3":
        return IA3Spec()
    return PrefixSpec(settings.prompt_length)
