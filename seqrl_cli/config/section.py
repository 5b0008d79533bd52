"""The base class of the configuration's sections, and the marks that a key may carry beside its type and default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from seqrl_cli.config.architectures import Trait


class Section(BaseModel):
    """A part of the configuration: immutable, and unknown keys are errors.

    Attributes:
        OWNER: the trait of the architectures that have the section's unmarked keys; None = all have them.
    """

    OWNER: ClassVar[Trait | None] = None

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Mark = TypeVar("Mark")


@dataclass(frozen=True)
class Owned:
    """Only architectures with this trait have the key."""

    trait: Trait


@dataclass(frozen=True)
class InName:
    """How a key appears in the name of a plan's folder; a key without a mark appears under its own name.

    Attributes:
        prefix: text before the value.
        always: whether the key is at the start of every name; otherwise it appears only if it is not at its default.
        spelled: values that are spelled differently in the name.
    """

    prefix: str
    always: bool = False
    spelled: Mapping[str, str] = dataclass_field(default_factory=dict)


@dataclass(frozen=True)
class NotInName:
    """The key is not part of the name of a plan's folder, because it changes no episode.

    Attributes:
        why: the reason, for readers.
    """

    why: str


def marks(section: type[Section], kind: type[Mark]) -> dict[str, Mark]:
    """The marks of one kind by key, in the section's order."""
    found: dict[str, Mark] = {}
    for key, field in section.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, kind):
                found[key] = mark
    return found
