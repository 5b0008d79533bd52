"""What every part of the configuration is, and what a key of one may declare about itself beside type and default."""

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
        OWNER: the trait of the architectures that have the keys without a mark of their own; None = all have them.
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
    """How the name of a plan's folder tells the key; one without a mark is told by its own name.

    Attributes:
        prefix: what is written before the value.
        always: whether the name begins with the key, at its default too; else it tells only what is not the default.
        spelled: how some values are written, where not as themselves.
    """

    prefix: str
    always: bool = False
    spelled: Mapping[str, str] = dataclass_field(default_factory=dict)


@dataclass(frozen=True)
class NotInName:
    """The name of a plan's folder does not tell the key, because it changes no episode.

    Attributes:
        why: the reason, for readers.
    """

    why: str


def marks(section: type[Section], kind: type[Mark]) -> dict[str, Mark]:
    """The keys of a section that carry a mark of one kind, in the section's order, and the mark."""
    found: dict[str, Mark] = {}
    for key, field in section.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, kind):
                found[key] = mark
    return found
