"""A dataset that a user named: what it is, where its file is, and how it is made if it is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seqrl_cli.artifacts.dataset_settings import check_made_with, check_same_file, made_with, refuse_other_environment
from seqrl_cli.artifacts.facts import DatasetFacts, DatasetFile, finite_bounds, write_dataset
from seqrl_cli.artifacts.old_reading import is_old, read_anew
from seqrl_cli.artifacts.other_environment import in_environment
from seqrl_cli.artifacts.references import references_of, take_references
from seqrl_cli.artifacts.sources import inspect_user_file, load_source, remove_download
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console, counted
from seqrl_cli.data.catalogue import EPISODE_STEPS, DatasetSpec
from seqrl_cli.data.domains import is_scaled_by_data
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.d4rl import StoredSize, read_d4rl, stored_size
from seqrl_cli.data.formats.read import read_attributes, read_dataset
from seqrl_cli.envs.fit import LoadedDataset, describe_misfit
from seqrl_cli.envs.limits import ActionBounds, environment_limits, known_step_limit
from seqrl_cli.envs.scores import percent_score
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.hdf5 import Scalar
from seqrl_cli.runs.layout import DatasetFolder
from seqrl_cli.runs.lock import FOREVER, locked
from seqrl_cli.runs.store import RunStore


@dataclass(frozen=True)
class DatasetRef:
    """A dataset that a user named; its file need not exist yet.

    Attributes:
        id: id of the dataset; that of a user's file is ``local/<stem>``.
        spec: source, environment, reference scores.
        folder: the dataset's folder in the run directory.
        store: the run directory, with its network access.
        file: the dataset's ``dataset.h5``.
        suite: what the user typed, if a suite was part of it; it names the folder of several datasets.
    """

    id: str
    spec: DatasetSpec
    folder: DatasetFolder
    store: RunStore
    file: DatasetFile
    suite: str | None = None

    @classmethod
    def of(cls, name: str, spec: DatasetSpec, store: RunStore) -> DatasetRef:
        """The dataset of this name in a run directory."""
        folder = store.dataset(name)
        return cls(name, spec, folder, store, DatasetFile(folder.dataset))

    @property
    def datasets(self) -> tuple[str, ...]:
        """The ids of the datasets that it consists of."""
        return (self.id,)

    @property
    def members(self) -> tuple[DatasetRef, ...]:
        """The datasets that it consists of."""
        return (self,)

    @property
    def exists(self) -> bool:
        """Whether it is in the run directory."""
        return self.folder.dataset.exists()

    @property
    def modified_ns(self) -> int:
        """When its file was written, in nanoseconds."""
        return self.folder.dataset.stat().st_mtime_ns

    @property
    def facts(self) -> DatasetFacts | None:
        """The facts that ``dataset.h5`` states about itself, read once; None while there is no file."""
        return self.file.read() if self.exists else None

    @property
    def env_id(self) -> str | None:
        """The gymnasium id that the dataset states, else the catalogue's, else None."""
        return (self.facts.env_id if self.facts else None) or self.spec.env_id

    @property
    def own_settings(self) -> dict[str, Scalar]:
        """The keys of ``data.`` that it was made with: size and seed of a simulated one, the meaning of a file."""
        return made_with(self.spec, self.facts.attributes) if self.facts else {}

    def environment(self) -> str:
        """The gymnasium id to evaluate the dataset's models in.

        Raises:
            SeqrlError: neither the catalogue nor the file states one.
        """
        env_id = self.env_id
        if env_id is None:
            hint = f"only download adds it to the dataset: seqrl download {self.id} data.env_id=Hopper-v4"
            raise SeqrlError(f"{self.id} does not state which environment it is from", hint)
        return env_id

    @property
    def reference_scores(self) -> tuple[float, float] | None:
        """The returns that score 0 and 1: see :func:`references_of`."""
        return references_of(self.spec, self.facts)

    def percent_score(self, return_: float) -> float | None:
        """A normalized score in percent, or None without reference scores."""
        return percent_score(return_, self.reference_scores)

    def own_score(self, mean_return: float) -> float | None:
        """The normalized score of the data in percent; None where they score 100 by definition, as in DMControl."""
        return None if is_scaled_by_data(self.env_id) else self.percent_score(mean_return)

    @property
    def observation_size(self) -> int | None:
        """How many dimensions of its environment's observations the episodes keep; None: all."""
        return self.spec.observation_size

    @property
    def observation_slice(self) -> int | None:
        """How many dimensions of longer observations were kept, by the catalogue or when a file was read."""
        if self.spec.observation_size is not None or self.facts is None:
            return self.spec.observation_size
        return self.facts.observation_slice

    @property
    def step_limit(self) -> int:
        """Most steps of an episode in the dataset's environment.

        Datasets of older versions do not state it; for them it is the limit known for the environment, else
        ``EPISODE_STEPS``.
        """
        stated = self.facts.step_limit if self.facts else None
        known = known_step_limit(self.env_id) if self.env_id else None
        return stated or known or EPISODE_STEPS

    def action_bounds(self, episodes: Episodes) -> ActionBounds:
        """The bounds between which a policy's actions lie, finite, (action_dim,) each.

        Datasets of older versions, and those that do not exist yet, do not state them. For them they are the bounds of
        the environment if it can be made here, and the range of the data where it has none.

        Args:
            episodes: the dataset's episodes; their actions are vectors.
        """
        stated = self.facts.action_bounds if self.facts else None
        if stated is not None and len(stated[0]) == episodes.action_dim:
            return stated
        box = environment_limits(self.env_id, episodes.action_dim).action_bounds if self.env_id else None
        return finite_bounds(episodes.actions, box)

    def describe_misfit(self, episodes: Episodes, *, within_bounds: bool = False) -> str | None:
        """What is odd about the actions in the dataset's environment: see :func:`describe_misfit`.

        Args:
            episodes: the dataset's episodes.
            within_bounds: whether they are for a model that predicts no action outside the bounds.
        """
        if self.env_id is None or not episodes.spaces.action.is_vector:
            return None
        return describe_misfit(episodes.actions, self.action_bounds(episodes), self.env_id, within_bounds=within_bounds)

    def load_episodes(self, *, whole: bool = False, mapped: bool = False) -> Episodes:
        """The episodes of an existing dataset, with their spaces.

        Args:
            whole: keep all observation dimensions, even if its environment has fewer.
            mapped: leave observations and actions on the disk, and read them as they are indexed.

        Raises:
            SeqrlError: the file is damaged or not in D4RL's layout, or its arrays are not those that were written.
        """
        limit = self.spec.max_episode_steps if self.spec.source == "d4rl" else None
        size = None if whole else self.spec.observation_size
        episodes = read_d4rl(self.folder.dataset, size, limit, mapped=mapped)
        if size is None and not mapped:
            self._require_unchanged(episodes)
        return replace(episodes, declared=self.file.read().spaces_of(episodes.spaces, size))

    def _require_unchanged(self, episodes: Episodes) -> None:
        """Stop at arrays other than those whose hash was stored with them; what is mapped is never read as a whole."""
        stated = self.file.read().episodes_sha256
        if stated is None or stated == episodes.fingerprint() or stated == _as_written(episodes).fingerprint():
            return
        hint = f"make it again: seqrl download {self.id} --force, or the command that made it"
        raise SeqrlError(f"{self.folder.dataset} is damaged: its arrays are not those that were written", hint)

    def stored_size(self) -> StoredSize:
        """How large an existing dataset is, without reading its episodes.

        Raises:
            SeqrlError: the file is damaged or not in D4RL's layout.
        """
        return stored_size(self.folder.dataset, self.spec.observation_size)

    def load_whole(self) -> Episodes:
        """Load the episodes as :meth:`load_episodes` does, with all observation dimensions."""
        return self.load_episodes(whole=True)

    def inspect(self, console: Console) -> tuple[Episodes, dict[str, Scalar]]:
        """The episodes with NaN and infinities, which every other reader refuses, and what is known about them.

        They are read from the user's file if they are not in the run directory; then it says how it was read.

        Raises:
            SeqrlError: there is no file, it is damaged, or it is another than that of the dataset of its name.
        """
        path = self.readable_path
        if path is None:
            raise SeqrlError(f"{self.id} is not in {self.store.root} yet", f"seqrl download {self.id}")
        if self.exists:
            check_same_file(self.spec, self.folder.dataset, self.stated)
            options = ReadOptions(self.spec.observation_size, finite=False, reset_rows=False)
            return read_dataset(path, options), dict(self.stated)
        episodes, facts = inspect_user_file(self.spec, path, self.env_id, console)
        return episodes, {**self.stated, **facts}

    @property
    def readable_path(self) -> Path | None:
        """Path of the file in the run directory, else of the user's own file, else None."""
        return self.folder.dataset if self.exists else self.spec.path

    @property
    def target(self) -> str:
        """Where its file is, or will be, in the run directory."""
        return str(self.folder.dataset)

    @property
    def stated(self) -> Mapping[str, Scalar]:
        """All that its file states about itself, by name; empty where there is no file."""
        if self.facts is not None:
            return self.facts.attributes
        return read_attributes(self.readable_path) if self.readable_path else {}

    @property
    def location(self) -> str:
        """The file or files that hold its episodes, as text."""
        return str(self.readable_path or self.folder.dataset)

    def load_readable(self, *, images: bool) -> Episodes:
        """Load the episodes as :meth:`load_episodes` does, for models.

        Args:
            images: whether the models read images.

        Raises:
            UnsupportedSpacesError: no model, or none of these, reads such observations or predicts such actions.
            SeqrlError: the file is damaged or not in D4RL's layout.
        """
        episodes = self.load_episodes()
        episodes.spaces.require_readable(self.id, images=images)
        return episodes

    def ensure(self, data: DataConfig, console: Console, *, force: bool = False) -> bool:
        """Make ``dataset.h5`` if it is missing; wait for another process that is making it.

        Args:
            data: size and seed of a simulated dataset, environment of a file.
            console: shows progress.
            force: make it again.

        Returns:
            Whether it was made now.

        Raises:
            SeqrlError: it cannot be made, or the existing one was made with other settings.
        """
        path = self.folder.dataset
        if force or not path.exists():
            with locked(self.folder.path, console, FOREVER):
                if force or not path.exists():
                    episodes, attributes = load_source(self.spec, self.folder, data, console, self.store)
                    write_dataset(path, episodes, {**attributes, "dataset_id": self.id})
                    remove_download(self.folder)
                    self._explain_name(console)
                    return True
        if is_old(self.file.read()):
            with locked(self.folder.path, console, FOREVER):
                read_anew(self.id, self.spec, self.file, self.store, console)
        new = self.check(data)
        take_references(self.spec, self.file, data, self.load_whole, console)
        if new:
            episodes, attributes = new
            write_dataset(path, episodes, attributes)
            cut = f", whose limit of {attributes['cut_after']:,} steps cuts it" if "cut_after" in attributes else ""
            console.note(f"{self.id} now states that it is from {data.env_id}{cut}")
        return False

    def check(self, data: DataConfig) -> LoadedDataset | None:
        """Stop when the existing dataset was made with other settings.

        Returns:
            The episodes and attributes to store when a file's environment changes, else None.

        Raises:
            UsageError: another environment was named for a catalogue dataset.
            SeqrlError: it was made with other settings, or the environment does not fit it.
        """
        check_made_with(self.spec, self.folder.dataset, self.file.read().attributes, data)
        if data.env_id is None or data.env_id == self.env_id:
            return None
        if self.spec.source != "file":
            refuse_other_environment(self.spec, data.env_id)
        self._refuse_to_change_what_runs_share(data.env_id)
        return in_environment(self.folder.dataset, self.file.read().attributes, self.env_id, data.env_id)

    def _refuse_to_change_what_runs_share(self, env_id: str) -> None:
        """Stop at another environment than the stated one where runs were trained on the dataset, for whom it changes.

        Raises:
            SeqrlError: there are such runs.
        """
        if self.env_id is None:
            return
        runs = [folder for folder, record in self.store.runs() if self.id in record.datasets]
        if runs:
            count = counted(len(runs), "run")
            message = f"{self.id} is data of {self.env_id}; {count} trained on it would then be for {env_id}"
            change = f"seqrl download FILE data.env_id={env_id} --force"
            hint = f"copy the file under another name, or change it for all of them: {change}"
            raise SeqrlError(message, hint)

    def _explain_name(self, console: Console) -> None:
        """Say why a file's dataset has a hash in its name."""
        plain = re.fullmatch(r"(local/.+)-[0-9a-f]{8}", self.id)
        if self.spec.path is not None and plain and self.store.dataset(plain[1]).dataset.exists():
            console.note(f"{plain[1]} is another file's dataset, so that of {self.spec.path} is {self.id}")


def _as_written(episodes: Episodes) -> Episodes:
    """Episodes with images as those that were written with colours first, which reading moves behind."""
    images = episodes.observations
    if images.ndim != 4:
        return episodes
    return replace(episodes, observations=np.ascontiguousarray(np.moveaxis(images, 3, 1)))
