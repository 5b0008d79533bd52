"""Keys of the configuration as Python's keyword arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from seqrl_cli.config.overrides import dotted_keys
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import unknown

PathLike = str | os.PathLike[str]


def dotted(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Keys with dots: ``train__updates`` is ``train.updates``, as scikit-learn writes it.

    Keys that have dots already, as in ``**{"train.updates": 300}``, stay; None means that a value is not given.

    Raises:
        UsageError: there is no such key; the hint suggests the nearest.
    """
    given = {key.replace("__", "."): value for key, value in keys.items() if value is not None}
    return _known(given, [key for key in dotted_keys(Config) if key not in ("dataset", "size", "preset")])


def below(section: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of one section, given without its name: ``horizon`` is ``plan.horizon``.

    Raises:
        UsageError: there is no such key; the hint suggests the nearest.
    """
    known = [key for key in dotted_keys(Config) if key.startswith(f"{section}.")]
    return _known({f"{section}.{key}": value for key, value in keys.items() if value is not None}, known)


def _known(given: dict[str, Any], known: list[str]) -> dict[str, Any]:
    for key in given:
        if key not in known:
            raise unknown("key", key, known, "seqrl presets show")
    return given
