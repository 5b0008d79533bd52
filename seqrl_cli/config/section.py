"""The base class of the configuration's sections, and the marks that a key may carry beside its type and default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, ClassVar, TypeVar, get_args

from annotated_types import Le, Lt
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from seqrl_cli.config.architectures import Trait
from seqrl_cli.config.limits import MAX_COUNT


class Section(BaseModel):
    """A part of the configuration: immutable, and unknown keys are errors.

    Attributes:
        OWNER: the trait of the architectures that have the section's unmarked keys; None = all have them.
    """

    OWNER: ClassVar[Trait | None] = None

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_flag_is_a_number(cls, values: Any) -> Any:
        """Turn true and false into text where a key is no flag, since pydantic would read 1 and 0."""
        if not isinstance(values, dict):
            return values
        types = {key: _types(field.annotation) for key, field in cls.model_fields.items()}
        wrong = {
            key: str(value).lower()
            for key, value in values.items()
            if isinstance(value, bool) and bool not in types.get(key, ()) and {int, float} & types.get(key, set())
        }
        return {**values, **wrong}

    @field_validator("*")
    @classmethod
    def _countable(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse whole numbers that nothing has, where a key states no limit of its own."""
        if isinstance(value, int) and value > MAX_COUNT and not _has_limit(cls.model_fields[str(info.field_name)]):
            raise PydanticCustomError(
                "less_than_equal", "Input should be less than or equal to {le}", {"le": MAX_COUNT}
            )
        return value


def _has_limit(field: FieldInfo) -> bool:
    return any(isinstance(mark, Le | Lt) for mark in field.metadata)


def _types(annotation: Any) -> set[Any]:
    """The types that a type consists of, and the types of a Literal's values."""
    parts = get_args(annotation)
    return {annotation}.union(
        *(_types(part) if isinstance(part, type) or get_args(part) else {type(part)} for part in parts)
    )


Mark = TypeVar("Mark")


@dataclass(frozen=True)
class Owned:
    """Only architectures with this trait, or with the other one, have the key."""

    trait: Trait
    other: Trait | None = None


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
