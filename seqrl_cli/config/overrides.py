"""``key=value`` on the command line: the keys that there are, how values are read, and what they override."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any, get_args

from pydantic import BaseModel

from seqrl_cli.config.value_text import SHORT
from seqrl_cli.errors import UsageError, nearest
from seqrl_cli.files.yaml_text import parse_yaml

_LISTING = "`seqrl presets show base --arch ARCH --explain` lists those of an architecture."


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

    Of several values of one key the last counts, so that a script's own come before its user's.

    Args:
        arguments: the arguments as they were typed.
        keys: the keys that exist.
        listing: a sentence that says where they are listed.

    Raises:
        UsageError: no equals sign, an unknown key (the nearest is named), or a value that is not YAML.
    """
    known = list(keys)
    overrides: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise UsageError(
                f"{SHORT.repr(argument)} is not of the form key=value", "for example train.learning_rate=3e-4"
            )
        check_key(key, known, listing)
        if not text.strip():
            raise UsageError(f"{key} has no value", f"{key}=null sets none, {key}=\"''\" an empty text")
        try:
            overrides[key] = parse_yaml(text)
        except ValueError as error:
            shown = SHORT.repr(text)
            message = f"the value of {key!r} cannot be read: {shown} ({error})"
            raise UsageError(message, "quote it for the shell") from error
    return overrides


def check_key(key: str, known: list[str], listing: str = _LISTING) -> None:
    """Stop at a key that does not exist.

    Args:
        key: the key as it was typed.
        known: the keys that exist.
        listing: a sentence that says where they are listed.

    Raises:
        UsageError: there is no such key; the nearest is named.
    """
    if key not in known:
        raise UsageError(f"unknown key {SHORT.repr(key)}", _meant(key, known) + listing)


def _meant(key: str, known: list[str]) -> str:
    """A sentence about what an unknown key may be meant to be, with a space after it; empty if there is none."""
    if inside := [one for one in known if one.startswith(f"{key}.")]:
        return f"it is a section; name one of its keys, for example {inside[0]}. "
    close = nearest_key(key, known)
    return f"did you mean {close!r}? " if close else ""


def nearest_key(key: str, known: list[str]) -> str | None:
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
        values: the configuration as nested mappings.
        overrides: the overrides, by dotted key.
    """
    undone = {"plan.target_return": None} if "plan.target_multiple" in overrides else {}
    changed = dict(values)
    for key, value in {**undone, **overrides}.items():
        *sections, leaf = key.split(".")
        section = changed
        for name in sections:
            known = section.get(name)
            section[name] = dict(known) if isinstance(known, Mapping) else {}
            section = section[name]
        section[leaf] = value  # a mapping, too, takes the place of what was there
    return changed
