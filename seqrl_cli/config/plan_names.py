"""The name of a plan's folder, made of its settings, and the text of a target return."""

from __future__ import annotations

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.config.section import InName, NotInName, marks
from seqrl_cli.config.value_text import name_of_flag

_MARKS = marks(PlanConfig, InName)
_HARMLESS = marks(PlanConfig, NotInName)


def plan_name(config: PlanConfig, arch: str, seed: int, checkpoint: int | None = None) -> str:
    """The plan folder's name: ``H15-B128-ctx5-s0``, with every other setting that is not the default in between.

    A policy's is ``RTG3600-ctx5-s0``, or ``mode-s0`` without a target return.
    """
    parts = _required_parts(config, arch)
    for key, field in PlanConfig.model_fields.items():
        mark = _MARKS.get(key, InName(key))
        value = getattr(config, key)
        if not mark.always and key not in _HARMLESS and value != field.default:
            parts.append(f"{mark.prefix}{mark.spelled.get(value, _short(value))}")
    if checkpoint is not None:
        parts.append(f"step{checkpoint}")
    return "-".join([*parts, f"s{seed}"])


def _required_parts(config: PlanConfig, arch: str) -> list[str]:
    """The settings that are part of every name, even at their defaults; ``mode`` without a target return."""
    keys = ARCHITECTURES[arch].kind.named_by
    if getattr(config, keys[0]) is None:
        return ["mode"]
    return [f"{_MARKS[key].prefix}{_shown(getattr(config, key))}" for key in keys]


def _shown(value: float) -> str:
    """All digits, so that different targets have different folders."""
    return str(value).removesuffix(".0")


def _short(value: object) -> str:
    if value is None or isinstance(value, bool):
        return name_of_flag(value)
    return str(value)


def return_text(value: float) -> str:
    """A target return without digits that only rounding errors have: ``3,600``, ``2,965.2``, ``0.0484``."""
    return f"{value:,.12g}"
