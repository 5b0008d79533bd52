"""What an adapter is: its kind, size and place in a model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.checks import require_fractions


@dataclass(frozen=True)
class LoRASpec:
    """Low-rank adaptation: ``W x + alpha / rank * B A x`` (Hu et al. 2021, arXiv 2106.09685, section 4.1).

    Attributes:
        rank: rank of the added matrix.
        alpha: scale of what is added, before the division by ``rank``.
        dropout: dropout probability of the inputs of ``A``.
        targets: parts of a block (``query``, ``key``, ``value``, ``projection``, ``feed-forward``), or names of linear
            layers. ``feed-forward`` is the first layer of the feed-forward half; ``feed-forward-output`` puts
            ``B A`` on that layer's outputs instead of its inputs, as L2M does. A model without blocks, a ``bc``, has
            the default on its hidden layers.
    """

    kind: ClassVar[str] = "lora"
    mergeable: ClassVar[bool] = True
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("query", "value", "feed-forward")

    def __post_init__(self) -> None:
        """Check the numbers; raises SeqrlError."""
        if self.rank < 1:
            raise SeqrlError(f"an adapter of rank {self.rank} has no weights", "choose a rank of 1 or more, say 8")
        require_fractions(dropout=self.dropout)


@dataclass(frozen=True)
class IA3Spec:
    """Vectors that keys, values and activations are multiplied by (Liu et al. 2022, arXiv 2205.05638, section 3.3).

    Attributes:
        targets: parts of a block, or names of linear layers, whose outputs are multiplied; for ``activations``, what
            goes into the last layer of the feed-forward half.
    """

    kind: ClassVar[str] = "ia3"
    mergeable: ClassVar[bool] = True
    targets: tuple[str, ...] = ("key", "value", "activations")


@dataclass(frozen=True)
class HoulsbySpec:
    """A bottleneck after each half of a block (Houlsby et al. 2019, arXiv 1902.00751, section 2.1).

    Attributes:
        reduction: width of the model per number in the bottleneck.
    """

    kind: ClassVar[str] = "houlsby"
    mergeable: ClassVar[bool] = False
    targets: ClassVar[tuple[str, ...]] = ("projection", "mlp_out")
    reduction: int = 16

    def __post_init__(self) -> None:
        """Check the number; raises SeqrlError."""
        if self.reduction < 1:
            message = f"a bottleneck cannot be reduced {self.reduction} times"
            raise SeqrlError(message, "choose a reduction of 1 or more, say 16")


@dataclass(frozen=True)
class PromptSpec:
    """Prompt tuning: learned tokens before a sequence's own (Lester et al. 2021, arXiv 2104.08691, section 2).

    Attributes:
        length: tokens.
    """

    kind: ClassVar[str] = "prompt"
    mergeable: ClassVar[bool] = False
    length: int = 25

    def __post_init__(self) -> None:
        """Check the number; raises SeqrlError."""
        _require_length(self.length)


@dataclass(frozen=True)
class PrefixSpec:
    """Learned keys and values before a block's own.

    With ``reparametrize`` this is prefix tuning (Li and Liang 2021, arXiv 2101.00190, section 4.2); without it,
    P-tuning v2 (Liu et al. 2021, arXiv 2110.07602, section 3).

    Attributes:
        length: keys, and values, per block.
        reparametrize: learn them through a small network, ``width -> width / 2 -> width``.
        blocks: ``all``, or the ``first`` only.
    """

    kind: ClassVar[str] = "prefix"
    mergeable: ClassVar[bool] = False
    length: int = 25
    reparametrize: bool = False
    blocks: Literal["all", "first"] = "all"

    def __post_init__(self) -> None:
        """Check the settings; raises SeqrlError."""
        _require_length(self.length)
        if self.blocks not in ("all", "first"):
            raise SeqrlError(f"a prefix cannot be in the blocks {self.blocks!r:.40}", "choose all or first")


LinearSpec = LoRASpec | IA3Spec | HoulsbySpec
"""Adapters at linear layers."""

TokenSpec = PromptSpec | PrefixSpec
"""Adapters that every token of a sequence attends to."""

Spec = LinearSpec | TokenSpec


_MAX_SIZE = 10**6  # no rank, length or reduction is larger

SPECS: dict[str, type[Spec]] = {spec.kind: spec for spec in (LoRASpec, IA3Spec, HoulsbySpec, PromptSpec, PrefixSpec)}
"""The classes of specs, by kind."""


def spec_settings(spec: Spec) -> dict[str, Any]:
    """A spec as JSON: its kind and its settings."""
    return {"kind": spec.kind, **asdict(spec)}


def spec_from(settings: Mapping[str, Any], source: object) -> Spec:
    """The spec that :func:`spec_settings` gave.

    Args:
        settings: the settings, possibly foreign.
        source: name of where the settings come from, for errors.

    Raises:
        SeqrlError: they describe no adapter.
    """
    rest = dict(settings)
    kind = rest.pop("kind", None)
    if not isinstance(kind, str) or kind not in SPECS:
        raise SeqrlError(f"{source} names the adapter {str(kind)[:40]!r}", f"known are {', '.join(SPECS)}")
    expected = {field.name: field.default for field in fields(SPECS[kind])}
    for name, value in rest.items():
        if name not in expected or not _fits(value, expected[name]):
            message = f"{source} gives a {kind} adapter the setting {name}={value!r:.60}"
            raise SeqrlError(message, "save the adapter again")
    make: Callable[..., Spec] = SPECS[kind]
    return make(**{name: tuple(value) if isinstance(value, list) else value for name, value in rest.items()})


def _fits(value: object, default: object) -> bool:
    """Whether a value from JSON has the type of a setting's default."""
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return type(value) is type(default) and (not isinstance(value, int) or value <= _MAX_SIZE)


def _require_length(length: int) -> None:
    if length < 1:
        raise SeqrlError(f"a prompt of {length} tokens is empty", "choose a length of 1 or more, say 25")
