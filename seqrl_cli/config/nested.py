"""Nested dictionaries: values by dotted keys, layers over each other, and differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def get_dotted(nested: Mapping[str, Any], dotted: str) -> Any:
    """``get_dotted({"train": {"seed": 1}}, "train.seed")`` → ``1``."""
    value: Any = nested
    for part in dotted.split("."):
        value = value[part]
    return value


def dotted_items(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; an empty mapping has none."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from dotted_items(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


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
