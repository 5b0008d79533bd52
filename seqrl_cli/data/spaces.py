"""What observations and actions are: arrays of one shape between bounds, or one of a number of choices.

Episodes, datasets and environments all carry such a description, so that they can be compared before anything is read,
trained or played. Today's models take only vectors of numbers; everything else is refused here, in one place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrl_cli.config.architectures import ARCHITECTURES, names_with
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.json_text import parse_json


class SizeMismatchError(SeqrlError):
    """Observations or actions of two things that should belong together differ in shape or kind."""


class UnsupportedSpacesError(SeqrlError):
    """Observations or actions are of a kind that no model here can take."""


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
    def bounds(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Lowest and highest value of every entry, arrays of the space's shape and type."""
        low, high = (np.broadcast_to(np.array(bound, self.dtype), self.size) for bound in (self.low, self.high))
        return low.reshape(self.shape).copy(), high.reshape(self.shape).copy()

    @property
    def text(self) -> str:
        """The space in words, to follow "observations of"."""
        return f"size {self.size}" if self.is_vector else f"shape {self.shape} ({self.dtype})"

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
    def text(self) -> str:
        """The space in words, to follow "actions of"."""
        return f"{self.n} discrete choices"

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


@dataclass(frozen=True)
class Spaces:
    """The observations and the actions of a dataset or an environment."""

    observation: Space
    action: Space

    @classmethod
    def of_vectors(cls, observation_dim: int, action_dim: int) -> Spaces:
        """Vectors of these sizes, without bounds."""
        return cls(BoxSpace((observation_dim,)), BoxSpace((action_dim,)))

    @classmethod
    def from_json(cls, text: str) -> Spaces:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: the text describes no spaces.
        """
        try:
            spaces = parse_json(text)
            return cls(_space(spaces["observation"]), _space(spaces["action"]))
        except (TypeError, KeyError, AssertionError) as error:
            raise ValueError(f"not a description of spaces: {text:.80}") from error

    def to_json(self) -> str:
        """The spaces as text, for a file's attribute or another process."""
        return json.dumps({"observation": self.observation.as_dict(), "action": self.action.as_dict()})

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers per observation and per action."""
        return self.observation.size, self.action.size

    @property
    def are_vectors(self) -> bool:
        """Whether observations and actions are both vectors of numbers."""
        return self.observation.is_vector and self.action.is_vector

    @property
    def text(self) -> str:
        """The spaces in words."""
        return f"observations of {self.observation.text} and actions of {self.action.text}"

    def first_observations(self, count: int | None) -> Spaces:
        """The same spaces with only the first ``count`` entries of each observation; None keeps all."""
        return replace(self, observation=self.observation.first(count))

    def with_bounds_of(self, other: Spaces) -> Spaces:
        """The same shapes and types, with the bounds and choices of other spaces, which these must fit."""
        return Spaces(_bounded_by(self.observation, other.observation), _bounded_by(self.action, other.action))

    def union(self, other: Spaces) -> Spaces:
        """The same shapes, with bounds wide enough for both; these spaces must fit the others."""
        return Spaces(_wider(self.observation, other.observation), _wider(self.action, other.action))

    def fits(self, other: Spaces) -> bool:
        """Whether observations and actions of these spaces have the shape and kind of the others'."""
        return self.observation.fits(other.observation) and self.action.fits(other.action)

    def require_fit(self, name: str, other: Spaces, other_name: str, hint: str) -> None:
        """Stop unless these spaces fit others.

        Args:
            name: what has these spaces, for errors.
            other: the spaces to fit.
            other_name: what has the other spaces, for errors.
            hint: what the user can do.

        Raises:
            SizeMismatchError: they do not fit.
        """
        if self.fits(other):
            return
        if self.are_vectors and other.are_vectors:
            sizes = f"{self.sizes}, but {other_name} has sizes {other.sizes}"
            message = f"{name} has observations and actions of sizes {sizes}"
        else:
            message = f"{name} has {self.text}, but {other_name} has {other.text}"
        raise SizeMismatchError(message, hint)

    def require_vectors(self, name: str, hint: str) -> tuple[int, int]:
        """The sizes of observations and actions that the models can take.

        Args:
            name: what has these spaces, for errors.
            hint: what the user can do.

        Raises:
            UnsupportedSpacesError: observations or actions are not vectors of numbers.
        """
        if self.are_vectors:
            return self.sizes
        if isinstance(self.action, DiscreteSpace):
            what = f"the actions of {name} are discrete ({self.action.n} choices)"
        else:
            what = f"{name} has {self.text}"
        *first, last = (name for name in ARCHITECTURES if name not in names_with("multi-task"))
        models = f"{', '.join(first)} and {last}"
        raise UnsupportedSpacesError(f"{what}, but the models {models} take vectors of continuous numbers only", hint)


def space_of_rows(rows: NDArray[Any]) -> Space:
    """The space that a dataset's values show: single integers are choices, everything else is a box.

    Args:
        rows: ``(count, *shape)``, at least one row.
    """
    if rows.ndim == 1 and rows.dtype.kind in "iu":
        return DiscreteSpace(int(rows.max()) + 1)
    return BoxSpace(rows.shape[1:], rows.dtype.name)


def _bounded_by(space: Space, other: Space) -> Space:
    assert space.fits(other)
    if isinstance(space, BoxSpace) and isinstance(other, BoxSpace):
        return replace(space, low=other.low, high=other.high)
    return other


def _wider(space: Space, other: Space) -> Space:
    assert space.fits(other)
    if isinstance(space, BoxSpace) and isinstance(other, BoxSpace):
        low, high = space.bounds
        other_low, other_high = other.bounds
        return BoxSpace.bounded(space.shape, space.dtype, np.minimum(low, other_low), np.maximum(high, other_high))
    return other


def _bounds(values: ArrayLike) -> tuple[float, ...]:
    """Bounds as plain numbers; a single one if they are all equal."""
    numbers = np.asarray(values, np.float64).ravel().tolist()
    return tuple(numbers[:1] if len(set(numbers)) == 1 else numbers)


def _space(values: Mapping[str, Any]) -> Space:
    if values["kind"] == "discrete":
        return DiscreteSpace(int(values["n"]))
    low = tuple(-math.inf if bound is None else float(bound) for bound in values["low"])
    high = tuple(math.inf if bound is None else float(bound) for bound in values["high"])
    return BoxSpace(tuple(int(size) for size in values["shape"]), np.dtype(values["dtype"]).name, low, high)
