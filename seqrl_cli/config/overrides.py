"""``key=value`` on the command line, nested dictionaries, and sentences from pydantic's errors."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.errors import UsageError, nearest
from seqrl_cli.files.yaml_text import parse_yaml

_LISTING = "`seqrl presets show base --arch ARCH --explain` lists those of an architecture."

_SHORT = reprlib.Repr()  # of values that may be huge
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 120
_SHORT.maxlevel = 2


def dotted_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every key of a configuration, as written on the command line: ``seed``, ``train.learning_rate``, ….

    A section that is one of several kinds has the keys of all of them.
    """
    keys: list[str] = []
    for name, field in model.model_fields.items():
        sections = sections_of(field.annotation)
        keys += [key for section in sections for key in dotted_keys(section, f"{prefix}{name}.")]
        if not sections:
            keys.append(prefix + name)
    return list(dict.fromkeys(keys))


def sections_of(annotation: Any) -> list[type[BaseModel]]:
    """The sections among the types that a key may have; none for a plain value."""
    kinds = (annotation, *get_args(annotation))
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def parse_overrides(arguments: Iterable[str], keys: Iterable[str], listing: str = _LISTING) -> dict[str, Any]:
    """Read ``["train.learning_rate=3e-4", …]``; values are YAML, so ``null``, ``true`` and lists work.

    Args:
        arguments: what was typed.
        keys: those that exist.
        listing: a sentence that says where they are listed.

    Raises:
        UsageError: no equals sign, an unknown key (the nearest is named), or a value that is not YAML.
    """
    known = list(keys)
    overrides = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise UsageError(
                f"{_SHORT.repr(argument)} is not of the form key=value", "for example train.learning_rate=3e-4"
            )
        if key not in known:
            close = _nearest_key(key, known)
            raise UsageError(f"unknown key {key!r}", (f"did you mean {close!r}? " if close else "") + listing)
        try:
            overrides[key] = parse_yaml(text)
        except ValueError as error:
            shown = _SHORT.repr(text)
            raise UsageError(f"the value of {key!r} cannot be read: {shown}", "quote it for the shell") from error
    return overrides


def _nearest_key(key: str, known: list[str]) -> str | None:
    """The key whose last part is spelt most like that of ``key``; of several, the one that is most like it as a whole.

    People know what a key is called better than which section it is in.
    """
    leaves = [one.rpartition(".")[2] for one in known]
    leaf = nearest(key.rpartition(".")[2], leaves)
    return max(
        (one for one, its_leaf in zip(known, leaves, strict=True) if its_leaf == leaf),
        key=lambda one: SequenceMatcher(None, key, one).ratio(),
        default=None,
    )


def overridden(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with overrides, which are the strongest.

    A multiple of the data's best return also takes the place of a target return that is already a number.

    Args:
        values: nested.
        overrides: by dotted key.
    """
    undone = {"plan.target_return": None} if "plan.target_multiple" in overrides else {}
    return merge(values, _nested({**undone, **overrides}))


def _nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """``{"train.seed": 1}`` → ``{"train": {"seed": 1}}``."""
    nested: dict[str, Any] = {}
    for key, value in dotted.items():
        *parents, leaf = key.split(".")
        section = nested
        for parent in parents:
            section = section.setdefault(parent, {})
        section[leaf] = value
    return nested


def get_dotted(nested: Mapping[str, Any], dotted: str) -> Any:
    """``get_dotted({"train": {"seed": 1}}, "train.seed")`` → ``1``."""
    value: Any = nested
    for part in dotted.split("."):
        value = value[part]
    return value


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries; later values win."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both else value
    return merged


def differences(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ between two nested dictionaries, among those that both have."""
    found = []
    for key in sorted(set(one) & set(other)):
        left, right = one[key], other[key]
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            found += differences(left, right, f"{prefix}{key}.")
        elif left != right:
            found.append(prefix + key)
    return found


def hint_of(error: ValidationError) -> str | None:
    """The hint of the first fault of a pydantic error, if the check that found it gives one."""
    context = error.errors()[0].get("ctx", {})
    return getattr(context.get("error"), "hint", None)


def sentence(error: ValidationError) -> str:
    """The first fault of a pydantic error as half a sentence: key, value, reason."""
    first = error.errors()[0]
    tags = (*ARCHITECTURES, "float", "int", "str")  # of a section, or of one of several types
    parts = (str(part) for part in first["loc"] if part not in tags)
    key = ".".join(part for part in parts if part.isidentifier()) or "configuration"  # without the types of a union
    reason = f"{first['msg'].removeprefix('Value error, '):.300}"
    if first["type"] == "literal_error":
        close = nearest(f"{_SHORT.repr(first['input'])}".strip("'"), re.findall("'([^']+)'", first["ctx"]["expected"]))
        reason += f"; did you mean {close!r}?" if close else ""
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "value_error":
        return reason
    return f"{key} = {_SHORT.repr(first['input'])}: {reason[0].lower()}{reason[1:]}"
