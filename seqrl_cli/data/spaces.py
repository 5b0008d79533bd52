"""What observations and actions are together.

Episodes, datasets and environments all carry such a description, so that they can be compared before anything is read,
trained or played. What a kind of models cannot take is refused here, in one place.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqrl_cli.config.architectures import ARCHITECTURES, in_words, names_with
from seqrl_cli.data.space import BoxSpace, DiscreteSpace, Space, bounded_by, space_from_dict, wider
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.json_text import parse_json


class SizeMismatchError(SeqrlError):
    """Observations or actions of two things that should belong together differ in shape or kind."""


class UnsupportedSpacesError(SeqrlError):
    """Observations or actions are of a kind that no model here can take."""


@dataclass(frozen=True)
class Spaces:
    """The observations and the actions of a dataset or an environment."""

    observation: Space
    action: Space

    @classmethod
    def of_vectors(cls, observation_dim: int, action_dim: int) -> Spaces:
        """Vectors of these sizes, without bounds."""
        return cls.of_shapes((observation_dim,), action_dim)

    @classmethod
    def of_shapes(cls, observation: Sequence[int], action_dim: int, choices: int | None = None) -> Spaces:
        """Vectors or images of bytes, and actions of this size or one of ``choices``, all without bounds."""
        shape = tuple(observation)
        action = BoxSpace((action_dim,)) if choices is None else DiscreteSpace(choices)
        return cls(BoxSpace(shape, "float32" if len(shape) == 1 else "uint8"), action)

    @classmethod
    def from_json(cls, text: str) -> Spaces:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: the text describes no spaces.
        """
        try:
            spaces = parse_json(text)
            return cls(space_from_dict(spaces["observation"]), space_from_dict(spaces["action"]))
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
    def stored_bytes(self) -> int:
        """Bytes of an observation and an action as episodes store them."""
        return sum(space.size * np.dtype(space.stored_dtype).itemsize for space in (self.observation, self.action))

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
        return Spaces(bounded_by(self.observation, other.observation), bounded_by(self.action, other.action))

    def union(self, other: Spaces) -> Spaces:
        """The same shapes, with bounds wide enough for both; these spaces must fit the others."""
        return Spaces(wider(self.observation, other.observation), wider(self.action, other.action))

    def fits(self, other: Spaces) -> bool:
        """Whether observations and actions of these spaces have the shape and kind of the others'."""
        return self.observation.fits(other.observation) and self.action.fits(other.action)

    def require_fit(self, name: str, other: Spaces, other_name: str, hint: str) -> None:
        """Stop unless these spaces fit others.

        Args:
            name: name of what has these spaces, for errors.
            other: the spaces to fit.
            other_name: name of what has the other spaces, for errors.
            hint: advice on what the user can do.

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

    def require_alike(self, name: str, other: Spaces, other_name: str, hint: str) -> None:
        """As :meth:`require_fit`, but also in the number of choices.

        Raises:
            SizeMismatchError: they are not alike.
        """
        self.require_fit(name, other, other_name, hint)
        other.require_fit(other_name, self, name, hint)

    def require_vectors(self, name: str, hint: str) -> tuple[int, int]:
        """The sizes of observations and actions, for what takes only vectors.

        Args:
            name: name of what has these spaces, for errors.
            hint: advice on what the user can do.

        Raises:
            UnsupportedSpacesError: observations or actions are not vectors of numbers.
        """
        if self.are_vectors:
            return self.sizes
        if isinstance(self.action, DiscreteSpace):
            message = f"the actions of {name} are discrete ({self.action.n} choices), not vectors of numbers"
            raise UnsupportedSpacesError(message, hint)
        raise UnsupportedSpacesError(f"{name} has {self.text}, not vectors of numbers", hint)

    def require_readable(self, name: str, *, images: bool) -> None:
        """Stop unless models can read the observations and predict the actions.

        Args:
            name: name of what has these spaces, for errors.
            images: whether the models read images.

        Raises:
            UnsupportedSpacesError: they cannot.
        """
        action_fits = self.action.is_vector or isinstance(self.action, DiscreteSpace)
        if action_fits and (self.observation.is_vector or (images and self.observation.is_image)):
            return
        if action_fits and self.observation.is_image:
            *first, last = (arch for arch in ARCHITECTURES if arch not in names_with("planner"))
            message = f"the observations of {name} are images, which {in_words(names_with('planner'))} does not read"
            raise UnsupportedSpacesError(message, f"for images choose another --arch: {', '.join(first)} or {last}")
        message = f"{name} has {self.text}, but models read vectors or images of bytes and predict vectors or choices"
        raise UnsupportedSpacesError(message, "flatten them with a wrapper of the environment, and record again")
