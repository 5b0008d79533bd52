"""Several datasets used as one: the episodes of all of them, one after the other.

A mixture is named by its parts, ``sim/hopper-medium+hopper-expert``, and its folder of that name holds tokens and runs.
There is no second copy of the data: facts and episodes come from the parts' own files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeVar

import numpy as np

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.facts import DatasetFacts, DatasetFile
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import DatasetSpec
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.envs.fit import LoadedDataset
from seqrl_cli.envs.limits import ActionBounds
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.hdf5 import Scalar
from seqrl_cli.runs.layout import mixture_name
from seqrl_cli.runs.store import RunStore

Stated = TypeVar("Stated")

_MISMATCH_HINT = "a mixture takes datasets of equal observations and actions"


@dataclass(frozen=True)
class DatasetMixture(DatasetRef):
    """Several datasets that a user named together.

    Attributes:
        parts: the datasets, at least two, each of them once.
    """

    parts: tuple[DatasetRef, ...] = ()

    @classmethod
    def of_parts(cls, parts: Iterable[DatasetRef], store: RunStore, suite: str | None = None) -> DatasetMixture:
        """The mixture of some datasets in a run directory.

        Args:
            parts: the datasets.
            store: the run directory.
            suite: name that the user typed, if a suite was part of it.

        Raises:
            UsageError: a dataset is named twice.
        """
        parts = tuple(parts)
        ids = [part.id for part in parts]
        twice = next((name for name in ids if ids.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"{twice} is named twice in {'+'.join(ids)}", "name each dataset of a mixture once")
        name = suite or mixture_name(ids)
        spec = DatasetSpec(name, "mixture", env_id=_agreed(part.env_id for part in parts))
        folder = store.dataset(name)
        return cls(name, spec, folder, store, DatasetFile(folder.dataset), suite, parts)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The ids of the parts."""
        return tuple(part.id for part in self.parts)

    @property
    def exists(self) -> bool:
        """Whether all parts are in the run directory."""
        return all(part.exists for part in self.parts)

    @property
    def modified_ns(self) -> int:
        """When the newest of the parts was written, in nanoseconds."""
        return max(part.modified_ns for part in self.parts)

    @property
    def facts(self) -> DatasetFacts | None:
        """The facts of all parts together; None while one of them is missing."""
        known = [part.facts for part in self.parts]
        facts = [one for one in known if one is not None]
        return combined_facts(facts) if len(facts) == len(known) else None

    @property
    def own_settings(self) -> dict[str, Scalar]:
        """The settings that all parts were made with."""
        first, *others = (part.own_settings for part in self.parts)
        return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}

    def environment(self) -> str:
        """The gymnasium id to evaluate the mixture's models in.

        Raises:
            SeqrlError: the parts are from different environments, or do not state one.
        """
        if self.env_id is None:
            names = sorted({part.env_id or "an unknown environment" for part in self.parts})
            unnamed = next((part.id for part in self.parts if part.env_id is None), None)
            hint = f"name it: seqrl download {unnamed} data.env_id=ID" if unnamed else "join data of one environment"
            raise SeqrlError(f"{self.id} joins data of {' and '.join(names)}", hint)
        return self.env_id

    @property
    def reference_scores(self) -> tuple[float, float] | None:
        """The returns that score 0 and 1, where all parts agree on them."""
        return _agreed(part.reference_scores for part in self.parts)

    @property
    def observation_size(self) -> int | None:
        """How many dimensions of the environment's observations the episodes keep, where all parts agree."""
        return _agreed(part.observation_size for part in self.parts)

    @property
    def observation_slice(self) -> int | None:
        """How many dimensions of longer observations were kept, where all parts agree."""
        return _agreed(part.observation_slice for part in self.parts)

    @property
    def step_limit(self) -> int:
        """Most steps of an episode in the environments of the parts."""
        return max(part.step_limit for part in self.parts)

    def load_episodes(self, *, whole: bool = False, mapped: bool = False) -> Episodes:
        """The episodes of all parts, in order; in memory, since several files cannot be mapped as one array.

        Raises:
            SizeMismatchError: two parts have different observations or actions.
            SeqrlError: a part is damaged.
        """
        loaded = [part.load_episodes(whole=whole) for part in self.parts]
        first = loaded[0].spaces
        for part, episodes in zip(self.parts[1:], loaded[1:], strict=True):
            episodes.spaces.require_fit(part.id, first, self.parts[0].id, _MISMATCH_HINT)
            first.require_fit(self.parts[0].id, episodes.spaces, part.id, _MISMATCH_HINT)
        return replace(Episodes.concatenate(loaded), declared=reduce(Spaces.union, (one.spaces for one in loaded)))

    @property
    def members(self) -> tuple[DatasetRef, ...]:
        """The parts."""
        return self.parts

    def inspect(self, console: Console) -> tuple[Episodes, dict[str, Scalar]]:
        """The episodes of all parts, with NaN and infinities, and what the parts agree on.

        Raises:
            SeqrlError: a part is missing or damaged, or two have different observations or actions.
        """
        return Episodes.concatenate([part.inspect(console)[0] for part in self.parts]), dict(self.stated)

    @property
    def target(self) -> str:
        """Where the files of the parts are, or will be."""
        return ", ".join(part.target for part in self.parts)

    @property
    def stated(self) -> Mapping[str, Scalar]:
        """What the parts agree on."""
        return self.facts.attributes if self.facts else {}

    @property
    def location(self) -> str:
        """The files of the parts."""
        return ", ".join(part.location for part in self.parts)

    def ensure(self, data: DataConfig, console: Console, *, force: bool = False) -> bool:
        """Make the parts that are missing; arguments and errors as for a single dataset.

        Returns:
            Whether any was made now.
        """
        made = [part.ensure(data, console, force=force) for part in self.parts]
        return any(made)

    def check(self, data: DataConfig) -> LoadedDataset | None:
        """Stop when a part that exists was made with other settings.

        Raises:
            SeqrlError: it was.
        """
        for part in self.parts:
            if part.exists:
                part.check(data)
        return None


def combined_facts(parts: list[DatasetFacts]) -> DatasetFacts:
    """The facts of several datasets together: what all of them agree on, and limits wide enough for all."""
    limits = [one.step_limit for one in parts if one.step_limit is not None]
    hashes = [one.episodes_sha256 for one in parts if one.episodes_sha256 is not None]
    spaces = [one.spaces for one in parts if one.spaces is not None]
    alike = len(spaces) == len(parts) and all(one.fits(spaces[0]) and spaces[0].fits(one) for one in spaces)
    digest = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    env_id = _agreed(one.env_id for one in parts)
    return DatasetFacts(
        env_id=env_id,
        source="mixture",
        reference_scores=_agreed(one.reference_scores for one in parts),
        observation_slice=_agreed(one.observation_slice for one in parts),
        step_limit=max(limits) if len(limits) == len(parts) else None,
        action_bounds=_widest([one.action_bounds for one in parts]),
        spaces=reduce(Spaces.union, spaces) if alike else None,
        episodes_sha256=digest if len(hashes) == len(parts) else None,
        attributes={"source": "mixture", **({"env_id": env_id} if env_id else {})},
    )


def split_mixture(name: str, is_known: Callable[[str], bool]) -> list[str]:
    """The datasets that a user joined with ``+``, or that a mixture's name stands for.

    A part without a folder, as in ``sim/hopper-medium+hopper-expert``, is first looked for in that of the first part.

    Args:
        name: the name that the user typed, with a ``+``.
        is_known: whether there is a dataset of some name.

    Raises:
        UsageError: a name is empty.
    """
    first, *others = name.split("+")
    if not all((first, *others)):
        raise UsageError(f"{name!r} joins a dataset with nothing", "for example sim/hopper-medium+sim/hopper-expert")
    folder = first.rpartition("/")[0]
    return [first, *(f"{folder}/{other}" if folder and is_known(f"{folder}/{other}") else other for other in others)]


def _agreed(values: Iterable[Stated | None]) -> Stated | None:
    """The value that all have in common; None if they differ."""
    first, *others = values
    return first if all(other == first for other in others) else None


def _widest(bounds: list[ActionBounds | None]) -> ActionBounds | None:
    known = [one for one in bounds if one is not None]
    if len(known) < len(bounds) or len({len(low) for low, _ in known}) > 1:
        return None
    return np.min([low for low, _ in known], axis=0), np.max([high for _, high in known], axis=0)
