"""Which architectures have which keys of the configuration, derived from the sections that declare the keys.

A key of ``model`` belongs to the architectures whose section has it. A key of another section belongs to those with the
trait, or one of two, that its mark names (see :class:`~seqrl_cli.config.section.Owned`), and to all if it has no mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from seqrl_cli.config.architectures import ARCHITECTURES, DEFAULT, in_words, names_with, with_article
from seqrl_cli.config.model_sections import model_sections
from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.config.section import Owned, Section, marks
from seqrl_cli.config.sections import DataConfig, OnlineConfig, PolicyConfig, TasksConfig, TrainConfig
from seqrl_cli.errors import nearest

_SECTIONS: dict[str, type[Section]] = {
    "data": DataConfig,
    "train": TrainConfig,
    "policy": PolicyConfig,
    "tasks": TasksConfig,
    "plan": PlanConfig,
    "online": OnlineConfig,
}


@cache
def owned_keys() -> dict[str, tuple[str, ...]]:
    """The keys outside ``model`` that not all architectures have, each with the architectures that have it."""
    found = {}
    for name, section in _SECTIONS.items():
        own = marks(section, Owned)
        for key in section.model_fields:
            mark = own.get(key) or (Owned(section.OWNER) if section.OWNER else None)
            if mark is not None:
                found[f"{name}.{key}"] = names_with(mark.trait, mark.other)
    return found


def owners(dotted: str) -> tuple[str, ...]:
    """The architectures that have a key, in the registry's order; none if ``model`` has no such key."""
    section, _, key = dotted.partition(".")
    if section == "model":
        return tuple(arch for arch, own in model_sections().items() if key in own.model_fields)
    return owned_keys().get(dotted, tuple(ARCHITECTURES))


def has_key(arch: str, dotted: str) -> bool:
    """Whether a key means something to an architecture."""
    return arch in owners(dotted)


def describe_foreign_key(arch: str, overrides: Mapping[str, Any]) -> str | None:
    """A sentence about the first dotted key that an architecture does not have; None if it has all of them."""
    for dotted, value in overrides.items():
        owning = owners(dotted)
        if owning and arch in ARCHITECTURES and arch not in owning:
            return f"{dotted} = {value!r}, but only {in_words(owning)} has it, not {with_article(arch)}"
    return None


def own_model_keys(model: Mapping[str, Any]) -> dict[str, Any]:
    """The section ``model`` with its ``arch``, and without other architectures' keys at their defaults.

    Configurations of earlier versions contain such keys, and so do those taken over from another architecture.

    Raises:
        ValueError: there is no such architecture, or another's key is not at its default.
    """
    arch = model.get("arch", DEFAULT)
    if not isinstance(arch, str) or arch not in ARCHITECTURES:
        raise ValueError(_no_such_architecture(arch))
    own = {"arch": arch}
    for key, value in model.items():
        owning = owners(f"model.{key}")
        if arch in owning or not owning:
            own[key] = value
        elif value != model_sections()[owning[0]].model_fields[key].default:
            raise ValueError(describe_foreign_key(arch, {f"model.{key}": value}))
    return own


def _no_such_architecture(arch: object) -> str:
    *first, last = (repr(name) for name in ARCHITECTURES)
    close = nearest(str(arch), list(ARCHITECTURES))
    suggestion = f"; did you mean {close!r}?" if close else ""
    return f"model.arch = {arch!r:.120}: input should be {', '.join(first)} or {last}{suggestion}"


def without_foreign_keys(values: Mapping[str, Any], arch: str) -> dict[str, Any]:
    """A configuration as nested dictionaries, without the keys that an architecture does not have."""
    own: dict[str, Any] = {}
    for section, content in values.items():
        if isinstance(content, Mapping):
            content = {key: value for key, value in content.items() if has_key(arch, f"{section}.{key}")}
        if content != {}:
            own[section] = content
    return own
