"""Datasets in memory: from arrays, episodes, files or names; to a file or into the run directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.facts import DatasetFile, carried_attributes, write_dataset
from seqrl_cli.artifacts.locate import dataset_config, locate
from seqrl_cli.artifacts.references import given_references
from seqrl_cli.artifacts.sources import say_how_it_was_read
from seqrl_cli.cli.options import default_store
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console, counted
from seqrl_cli.data.catalogue import DatasetSpec, named_datasets
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.arrays import read_arrays, read_episodes
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.data.suites import suites
from seqrl_cli.envs.fit import fit_environment
from seqrl_cli.envs.limits import own_step_limit
from seqrl_cli.envs.trust import accept
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.hdf5 import Scalar
from seqrl_cli.files.regular import user_path
from seqrl_cli.runs.layout import check_name
from seqrl_cli.runs.lock import locked
from seqrl_cli.scripting.keys import PathLike, below

FILE_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Episodes of one environment, with what is known of them.

    Make one with :meth:`from_arrays`, :meth:`from_episodes` or :func:`load_dataset`.

    Attributes:
        episodes: flat arrays with offsets, see :class:`~seqrl_cli.data.episodes.Episodes`.
        name: name of the dataset in the run directory; None until it has one.
        facts: what is known, such as ``env_id``, by the names that ``docs/run-directory.md`` lists.
    """

    episodes: Episodes
    name: str | None = None
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    _ref: DatasetRef | None = None

    @classmethod
    def from_arrays(
        cls,
        observations: ArrayLike,
        actions: ArrayLike,
        rewards: ArrayLike,
        terminated: ArrayLike | None = None,
        truncated: ArrayLike | None = None,
        *,
        env_id: str | None = None,
        name: str | None = None,
        reference_min: float | None = None,
        reference_max: float | None = None,
        **columns: ArrayLike,
    ) -> Dataset:
        """A dataset of flat arrays, all episodes one after the other.

        Args:
            observations: (n, observation_dim), images (n, height, width[, channels]) uint8, or states (n,).
            actions: (n, action_dim), or whole numbers (n,), which are discrete choices.
            rewards: the reward of each step, (n,).
            terminated: flags (n,) that are true where the environment ended the episode.
            truncated: flags (n,) that are true where a step limit or the recorder ended it.
            env_id: gymnasium id of the environment to play in.
            name: name of the dataset in the run directory, such as ``pendulum``.
            reference_min: return that scores 0.
            reference_max: return that scores 100.
            **columns: further columns by the names that files may use, such as ``next_observations`` or ``dones``.

        Raises:
            SeqrlError: the arrays do not fit together, are not finite, or are not of that environment.
        """
        given = {"observations": observations, "actions": actions, "rewards": rewards, **columns}
        flags = {"terminated": terminated, "truncated": truncated}
        given |= {key: column for key, column in flags.items() if column is not None}
        options = _options(env_id)
        return _described(read_arrays(given, options), options, env_id, name, reference_min, reference_max)

    @classmethod
    def from_episodes(
        cls,
        episodes: Iterable[Any],
        *,
        env_id: str | None = None,
        name: str | None = None,
        reference_min: float | None = None,
        reference_max: float | None = None,
    ) -> Dataset:
        """A dataset of episodes one by one.

        Args:
            episodes: a dictionary for each, with ``observations``, ``actions``, ``rewards`` and ``terminated``, which
                is an array or one flag for the episode; or Minari's or d3rlpy's episodes. The observation after the
                last action may be there.
            env_id: gymnasium id of the environment to play in.
            name: name of the dataset in the run directory, such as ``pendulum``.
            reference_min: return that scores 0.
            reference_max: return that scores 100.

        Raises:
            SeqrlError: as :meth:`from_arrays`.
        """
        options = _options(env_id)
        return _described(read_episodes(episodes, options), options, env_id, name, reference_min, reference_max)

    def __repr__(self) -> str:
        """The dataset in one line."""
        returns = self.returns
        size = f"{counted(len(self), 'episode')}, {self.transitions:,} transitions"
        spread = f"returns {returns.min():,.6g} to {returns.max():,.6g}"
        return f"Dataset({', '.join(filter(None, [self.name, self.env_id]))}: {size}, {spread})".replace("(: ", "(")

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.episodes)

    @overload
    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, NDArray[Any]]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, NDArray[Any]] | list[dict[str, NDArray[Any]]]:
        """One episode as a dictionary of arrays, as :meth:`from_episodes` takes it; a list of them for a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no episode {index}: the dataset has {len(self)}")
        number = range(len(self))[index]
        rows = slice(*self.episodes.offsets[number : number + 2].tolist())
        return {
            "observations": self.observations[rows],
            "actions": self.actions[rows],
            "rewards": self.rewards[rows],
            "terminated": self.episodes.terminals[rows],
            "truncated": self.episodes.timeouts[rows] & ~self.episodes.terminals[rows],
        }

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        """The episodes in order."""
        return (self[index] for index in range(len(self)))

    @property
    def observations(self) -> NDArray[Any]:
        """(n, observation_dim) float32, or images (n, height, width[, channels]) uint8."""
        return self.episodes.observations

    @property
    def actions(self) -> NDArray[Any]:
        """(n, action_dim) float32, or choices (n,) int64."""
        return self.episodes.actions

    @property
    def rewards(self) -> NDArray[np.float32]:
        """(n,) float32."""
        return self.episodes.rewards

    @property
    def returns(self) -> NDArray[np.float64]:
        """Return of each episode, (episodes,)."""
        return self.episodes.returns

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each episode, (episodes,)."""
        return self.episodes.lengths

    @property
    def transitions(self) -> int:
        """Steps of all episodes."""
        return self.episodes.transitions

    @property
    def spaces(self) -> Spaces:
        """Observations and actions: their shapes, and bounds where they are known."""
        return self.episodes.spaces

    @property
    def env_id(self) -> str | None:
        """Gymnasium id of the environment; None if it is not known."""
        env_id = self.facts.get("env_id")
        return env_id if isinstance(env_id, str) else None

    def save(self, path: PathLike) -> Path:
        """Write a file in D4RL's layout, which every command takes; a file of that name is replaced.

        Raises:
            UsageError: the file's name does not end in ``.h5`` or ``.hdf5``.
            SeqrlError: it cannot be written.
        """
        file = check_file(path)
        write_d4rl(file, self.episodes, dict(self.facts))
        return file

    def store(self, name: str | None = None, *, runs_dir: PathLike | None = None, force: bool = False) -> str:
        """Put it into the run directory, where it stays as it is if it exists already.

        Args:
            name: name to store the dataset under; None = its own.
            runs_dir: the run directory; None = ``$SEQRL_RUNS``, else ``runs``.
            force: replace another dataset of that name.

        Returns:
            Its name, which commands and :func:`train` take.

        Raises:
            UsageError: it has no name, or one that a dataset of the user's cannot have.
            SeqrlError: another dataset has the name.
        """
        return self.locate(name, runs_dir=runs_dir, force=force).id

    def locate(self, name: str | None = None, *, runs_dir: PathLike | None = None, force: bool = False) -> DatasetRef:
        """Store the dataset as :meth:`store` does, but return the reference that ``seqrl_cli.api`` takes."""
        store = default_store(runs_dir)
        if self._ref is not None and name in (None, self.name) and self._ref.store.root == store.root:
            return self._ref
        wanted = _own_name(name or self.name)
        folder = store.dataset(wanted)
        with locked(folder.path, Console(quiet=True)):
            if not folder.dataset.exists() or force:
                write_dataset(folder.dataset, self.episodes, {**self.facts, "dataset_id": wanted})
            elif DatasetFile(folder.dataset).read().episodes_sha256 != self.episodes.fingerprint():
                hint = "give this one another name=, or replace that one with force=True"
                raise SeqrlError(f"{folder.path} contains another dataset", hint)
        return locate(store, wanted)


def load_dataset(
    dataset: PathLike,
    *,
    env_id: str | None = None,
    runs_dir: PathLike | None = None,
    quiet: bool = True,
    **settings: Any,
) -> Dataset:
    """Load a dataset, which is first simulated, downloaded or read where that is needed.

    Args:
        dataset: a name such as ``sim/hopper-medium``, ``hopper-medium-v2`` or ``minari/mujoco/hopper/medium-v0``; or
            the path of a file or folder, as ``seqrl download`` takes it.
        env_id: gymnasium id of a file's environment.
        runs_dir: the run directory; None = ``$SEQRL_RUNS``, else ``runs``.
        quiet: show no progress.
        **settings: keys of ``data``, such as ``transitions=5000`` of a simulated dataset.

    Raises:
        UsageError: there is no such dataset or key.
        SeqrlError: it cannot be made, fetched or read.
    """
    store = default_store(runs_dir)
    overrides = below("data", {**settings, "env_id": env_id})
    ref, config = dataset_config(store, str(dataset), overrides=overrides)
    ref.ensure(config.data, Console(quiet=quiet))
    episodes = ref.load_episodes()
    return Dataset(episodes, ref.id, carried_attributes(ref.stated), ref)


def check_file(path: PathLike) -> Path:
    """The path of a file to write.

    Raises:
        UsageError: its name does not end as one of HDF5 does.
    """
    file = user_path(path)
    if file.suffix.lower() not in FILE_SUFFIXES:
        raise UsageError(f"{file} is not the name of an HDF5 file", f"choose {file.with_suffix('.h5')}")
    return file


def _own_name(name: str | None) -> str:
    """A name that a dataset of the user's can have.

    Raises:
        UsageError: there is none, or it is another kind of name.
    """
    if name is None:
        raise UsageError("the dataset has no name", "give it one: name='pendulum'")
    for part in name.split("/"):
        check_name("dataset", part)
    if name in named_datasets() or name in suites():
        raise UsageError(f"{name!r} is the name of a known dataset", f"choose another, such as own/{name}")
    return name


def _options(env_id: str | None) -> ReadOptions:
    """How to read arrays: with the step limit of the environment that the user names."""
    if env_id is None:
        return ReadOptions()
    accept(env_id, [Path.cwd()])
    return ReadOptions(step_limit=own_step_limit(env_id))


def _described(
    episodes: Episodes,
    options: ReadOptions,
    env_id: str | None,
    name: str | None,
    reference_min: float | None,
    reference_max: float | None,
) -> Dataset:
    """A dataset of episodes from memory, checked against its environment."""
    facts: dict[str, Any] = {"source": "collected", **options.log.facts}
    if name is not None:
        _own_name(name)
    if env_id is not None:
        episodes, about = fit_environment(episodes, env_id, name or "the dataset")
        facts |= about
    given = DataConfig(reference_min=reference_min, reference_max=reference_max)
    facts |= given_references(DatasetSpec("the dataset", "file"), given, facts)
    say_how_it_was_read(episodes, options, name or "the dataset", env_id, Console(quiet=True))
    return Dataset(episodes, name, facts)
