"""What an observation or an action is: an array of one shape between bounds, or one of a number of choices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MAX_PLANES = 12  # four frames of three colours


@dataclass(frozen=True)
class BoxSpace:
    """Arrays of one shape and type.

    Attributes:
        shape: shape of one observation or action; a vector has one axis, an image three.
        dtype: NumPy's name of the type, for example ``float32``.
        low, high: bounds, one per entry in C order, or one for all entries; infinite where there is no bound.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: tuple[float, ...] = (-math.inf,)
    high: tuple[float, ...] = (math.inf,)

    def __post_init__(self) -> None:
        assert len(self.low) in (1, math.prod(self.shape)) and len(self.high) in (1, math.prod(self.shape))

    @classmethod
    def bounded(cls, shape: Sequence[int], dtype: str, low: ArrayLike, high: ArrayLike) -> BoxSpace:
        """The space between two arrays of its shape, or two numbers."""
        return cls(tuple(shape), dtype, _bounds(low), _bounds(high))

    @property
    def size(self) -> int:
        """Numbers per observation or action."""
        return math.prod(self.shape)

    @property
    def is_vector(self) -> bool:
        """Whether values have one axis."""
        return len(self.shape) == 1

    @property
    def is_image(self) -> bool:
        """Whether values are images of bytes, grey or with channels."""
        return self.dtype == "uint8" and len(self.shape) in (2, 3)

    @property
    def bounds(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Lowest and highest value of every entry, arrays of the space's shape and type."""
        low, high = (
            np.broadcast_to(_of_type(np.asarray(bound, np.float64), np.dtype(self.dtype)), self.size)
            for bound in (self.low, self.high)
        )
        return low.reshape(self.shape).copy(), high.reshape(self.shape).copy()

    @property
    def text(self) -> str:
        """The space in words, to follow "observations of"."""
        return f"size {self.size}" if self.is_vector else f"shape {self.shape} ({self.dtype})"

    @property
    def stored_dtype(self) -> str:
        """NumPy's name of the type that episodes store: images as bytes, all else as float32."""
        return "uint8" if self.is_image else "float32"

    def first(self, count: int | None) -> BoxSpace:
        """The space of the first ``count`` entries of a vector; None or a larger number keeps all."""
        if count is None or not self.is_vector or count >= self.size:
            return self
        low, high = self.bounds
        return BoxSpace.bounded((count,), self.dtype, low[:count], high[:count])

    def fits(self, other: Space) -> bool:
        """Whether values of this space have the shape and kind of another's; bounds and a vector's type may differ."""
        if not isinstance(other, BoxSpace) or self.shape != other.shape:
            return False
        return self.is_vector or np.dtype(self.dtype).kind == np.dtype(other.dtype).kind

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no infinity: null stands for no bound."""
        return {
            "kind": "box",
            "shape": list(self.shape),
            "dtype": self.dtype,
            "low": [bound if math.isfinite(bound) else None for bound in self.low],
            "high": [bound if math.isfinite(bound) else None for bound in self.high],
        }


@dataclass(frozen=True)
class DiscreteSpace:
    """One of ``n`` choices, numbered from 0."""

    n: int

    shape: tuple[int, ...] = ()
    dtype: str = "int64"

    @property
    def size(self) -> int:
        """Numbers per observation or action: 1, the index of the choice."""
        return 1

    @property
    def is_vector(self) -> bool:
        """Never: a choice is a single number."""
        return False

    @property
    def is_image(self) -> bool:
        """Never."""
        return False

    @property
    def text(self) -> str:
        """The space in words, to follow "actions of"."""
        return f"{self.n} discrete choices"

    @property
    def stored_dtype(self) -> str:
        """NumPy's name of the type that episodes store."""
        return self.dtype

    def first(self, count: int | None) -> DiscreteSpace:
        """The space itself: it has no entries to choose from."""
        return self

    def fits(self, other: Space) -> bool:
        """Whether each of the choices exists in another space."""
        return isinstance(other, DiscreteSpace) and self.n <= other.n

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"kind": "discrete", "n": self.n}


Space: TypeAlias = BoxSpace | DiscreteSpace


def space_of_rows(rows: NDArray[Any]) -> Space:
    """The space that a dataset's values show: single integers are choices, everything else is a box.

    Args:
        rows: ``(count, *shape)``, at least one row.
    """
    if rows.ndim == 1 and rows.dtype.kind in "iu":
        return DiscreteSpace(int(rows.max()) + 1)
    return BoxSpace(rows.shape[1:], rows.dtype.name)


def has_colours_first(shape: Sequence[int]) -> bool:
    """Whether images of a shape have a few planes before rows and columns, as PyTorch wants them.

    One plane that stands there alone may as well be a row, and so may planes of small images.
    """
    return len(shape) == 3 and 1 < shape[0] <= _MAX_PLANES < min(shape[1:])


def bounded_by(space: Space, other: Space) -> Space:
    """A space with the bounds and choices of another, which it must fit."""
    assert space.fits(other)
    if isinstance(space, BoxSpace) and isinstance(other, BoxSpace):
        return replace(space, low=other.low, high=other.high)
    return other


def wider(space: Space, other: Space) -> Space:
    """A space with bounds wide enough for its own values and those of another, which it must fit."""
    assert space.fits(other)
    if isinstance(space, BoxSpace) and isinstance(other, BoxSpace):
        low, high = space.bounds
        other_low, other_high = other.bounds
        return BoxSpace.bounded(space.shape, space.dtype, np.minimum(low, other_low), np.maximum(high, other_high))
    return other


def space_from_dict(values: Mapping[str, Any]) -> Space:
    """The inverse of ``as_dict``."""
    if values["kind"] == "discrete":
        return DiscreteSpace(int(values["n"]))
    low = tuple(-math.inf if bound is None else float(bound) for bound in values["low"])
    high = tuple(math.inf if bound is None else float(bound) for bound in values["high"])
    return BoxSpace(tuple(int(size) for size in values["shape"]), np.dtype(values["dtype"]).name, low, high)


def _bounds(values: ArrayLike) -> tuple[float, ...]:
    """Bounds as plain numbers; a single one if they are all equal."""
    numbers = np.asarray(values, np.float64).ravel().tolist()
    return tuple(numbers[:1] if len(set(numbers)) == 1 else numbers)


def _of_type(bounds: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Bounds as another type; for whole numbers, those at or beyond the type's range become its own bounds."""
    if dtype.kind not in "iu":
        return bounds.astype(dtype)
    limits = np.iinfo(dtype)
    inside = (bounds > limits.min) & (bounds < limits.max)
    found = np.where(bounds > 0, np.array(limits.max, dtype), np.array(limits.min, dtype))
    found[inside] = bounds[inside].astype(dtype)
    return found
