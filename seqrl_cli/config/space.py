"""The space of a search: ranges of numbers, and choices, for configuration keys."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from seqrl_cli.config.grid import Texts, parse_axes
from seqrl_cli.config.overrides import check_key
from seqrl_cli.errors import UsageError

_RANGE = re.compile(r"(log:)?\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*\.\.\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)")
_HINT = "write log:1e-5..1e-2, 0..0.2, 1..6, or choices: 32,64,128"


@dataclass(frozen=True)
class Dimension:
    """What a search may choose for one key.

    Attributes:
        key: the configuration key.
        kind: kind of the key's values.
        low, high: lowest and highest number, both included.
        log: whether the logarithm is uniform.
        choices: the values that may be chosen, as they are typed; empty for numbers.
    """

    key: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[str, ...] = ()


def parse_space(arguments: Iterable[str], keys: Iterable[str]) -> tuple[list[Dimension], Texts]:
    """Read ``["train.learning_rate=log:1e-5..1e-2", "train.batch_size=32,64", "model.n_layer=2"]``.

    Whole bounds make whole numbers, ``0..1`` too; write ``0.0..1.0`` for real ones.

    Returns:
        The dimensions, and the values that are fixed.

    Raises:
        UsageError: an unknown key, or a range that is empty or has no logarithm.
    """
    known = list(keys)
    dimensions, rest = [], []
    for argument in arguments:
        key, _, text = argument.partition("=")
        if found := _RANGE.fullmatch(text.strip()):
            check_key(key, known)
            dimensions.append(_numbers(key, found))
        elif text.startswith("log:") or (".." in text and not set(text) & set(",/\\[{")):
            raise UsageError(f"{argument!r} is not a range", _HINT)
        else:
            rest.append(argument)
    texts = parse_axes(rest, known)
    names = [dimension.key for dimension in dimensions]
    if twice := [key for index, key in enumerate(names) if key in names[:index] or key in texts]:
        raise UsageError(f"{twice[0]} is given twice", "give it once")
    dimensions += [Dimension(key, "choice", choices=own) for key, own in texts.items() if len(own) > 1]
    return dimensions, {key: own for key, own in texts.items() if len(own) == 1}


def _numbers(key: str, found: re.Match[str]) -> Dimension:
    log, texts = bool(found[1]), (found[2], found[3])
    try:
        low, high = map(float, texts)
    except ValueError as error:
        raise UsageError(f"{key}={found[0]} is not a range", _HINT) from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"the range of {key} is empty: {found[0]}", _HINT)
    if log and low <= 0:
        raise UsageError(f"{key} begins at {texts[0]}, which has no logarithm", "begin above 0, or leave out log:")
    whole = all(re.fullmatch(r"[-+]?\d+", text) for text in texts)
    return Dimension(key, "int" if whole else "float", low, high, log)
