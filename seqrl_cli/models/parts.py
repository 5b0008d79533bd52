"""The parts of a block, by names that do not depend on the architecture."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = ("query", "key", "value", "projection", "feed-forward", "feed-forward-output", "activations")
"""``feed-forward`` is the first layer of the feed-forward half, ``feed-forward-output`` what comes out of it, and
``activations`` what goes into the last one."""


@dataclass(frozen=True)
class Part:
    """Where in a block a part is.

    Attributes:
        layer: name of the linear layer in the block.
        span: first and last (exclusive) output of the layer that belongs to the part; None for all.
    """

    layer: str
    span: tuple[int, int] | None = None
