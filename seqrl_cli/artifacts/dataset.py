"""A dataset that a user named: what it is, where it lies, and how it is made when it is missing."""

from __future__ import annotations

from dataclasses import dataclass

from seqrl_cli.artifacts.facts import DatasetFacts, DatasetFile, finite_bounds, write_dataset
from seqrl_cli.artifacts.sources import load_source, refuse_other_environment, remove_download
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import EPISODE_STEPS, DatasetSpec, scores_of_environment
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import read_d4rl
from seqrl_cli.data.formats.read import content_sha256
from seqrl_cli.envs.fit import LoadedDataset, fit_environment
from seqrl_cli.envs.limits import ActionBounds, environment_limits, known_step_limit
from seqrl_cli.envs.scores import percent_score
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.layout import DatasetFolder
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.store import RunStore


@dataclass(frozen=True)
class DatasetRef:
    """A dataset that a user named: what it is and where it belongs, there already or not.

    Attributes:
        id: its name from now on; a file becomes ``local/<stem>``.
        spec: source, environment, reference scores.
        folder: its folder in the run directory.
        store: the run directory, and what may be fetched into it.
        file: its ``dataset.h5``.
    """

    id: str
    spec: DatasetSpec
    folder: DatasetFolder
    store: RunStore
    file: DatasetFile

    @classmethod
    def of(cls, name: str, spec: DatasetSpec, store: RunStore) -> DatasetRef:
        """The dataset of this name in a run directory."""
        folder = store.dataset(name)
        return cls(name, spec, folder, store, DatasetFile(folder.dataset))

    @property
    def facts(self) -> DatasetFacts | None:
        """What ``dataset.h5`` states of itself, read once; None while it is not there."""
        return self.file.read() if self.folder.dataset.exists() else None

    @property
    def env_id(self) -> str | None:
        """The gymnasium id that the dataset states about itself, else the catalogue's, else None."""
        return (self.facts.env_id if self.facts else None) or self.spec.env_id

    def environment(self) -> str:
        """The gymnasium id to evaluate the dataset's models in.

        Raises:
            SeqrlError: neither the catalogue nor the file says.
        """
        env_id = self.env_id
        if env_id is None:
            hint = f"say which one: seqrl download {self.id} data.env_id=Hopper-v4"
            raise SeqrlError(f"{self.id} does not say which environment it is from", hint)
        return env_id

    @property
    def reference_scores(self) -> tuple[float, float] | None:
        """Returns that score 0 and 1: the dataset's own, else its environment's; None when neither is known."""
        if self.spec.reference_min is not None and self.spec.reference_max is not None:
            return self.spec.reference_min, self.spec.reference_max
        facts = self.facts
        if facts is None:
            return None
        return facts.reference_scores or scores_of_environment(facts.env_id)

    def percent_score(self, return_: float) -> float | None:
        """A normalised score in percent, or None without reference scores."""
        return percent_score(return_, self.reference_scores)

    @property
    def observation_slice(self) -> int | None:
        """How many observation dimensions were kept of longer ones, by the catalogue or when a file was read."""
        if self.spec.observation_size is not None or self.facts is None:
            return self.spec.observation_size
        return self.facts.observation_slice

    @property
    def step_limit(self) -> int:
        """Most steps of an episode in the dataset's environment.

        A dataset of an older version does not say: then it is what is known of its environment here, else
        ``EPISODE_STEPS``.
        """
        stated = self.facts.step_limit if self.facts else None
        known = known_step_limit(self.env_id) if self.env_id else None
        return stated or known or EPISODE_STEPS

    def action_bounds(self, episodes: Episodes) -> ActionBounds:
        """The bounds between which a policy's actions lie, finite, (action_dim,) each.

        A dataset of an older version, or one that is not there yet, does not say: then they are those of its
        environment if that can be made here, and what the data span where it has none.

        Args:
            episodes: the dataset's.

        Raises:
            SeqrlError: the environment's actions are not a box.
        """
        stated = self.facts.action_bounds if self.facts else None
        if stated is not None and len(stated[0]) == episodes.action_dim:
            return stated
        box = environment_limits(self.env_id, episodes.action_dim).action_bounds if self.env_id else None
        return finite_bounds(episodes.actions, box)

    def load_episodes(self, *, whole: bool = False) -> Episodes:
        """The episodes of a dataset that is there, observations cut as its environment needs, or whole.

        Raises:
            SeqrlError: the file is damaged or not in D4RL's layout.
        """
        limit = self.spec.max_episode_steps if self.spec.source == "d4rl" else None
        return read_d4rl(self.folder.dataset, None if whole else self.spec.observation_size, limit)

    def ensure(self, data: DataConfig, console: Console, *, force: bool = False) -> bool:
        """Make ``dataset.h5`` if it is missing; waits for another process that is making it.

        Args:
            data: size and seed of a simulated one, environment of a file.
            console: hears what happens.
            force: make it again.

        Returns:
            Whether it was made now.

        Raises:
            SeqrlError: it cannot be had, or what is there was made with other settings.
        """
        path = self.folder.dataset
        if force or not path.exists():
            with locked(self.folder.path, on_wait=console.note):
                if force or not path.exists():
                    episodes, attributes = load_source(self.spec, self.folder, data, console, self.store)
                    write_dataset(path, episodes, {**attributes, "dataset_id": self.id})
                    remove_download(self.folder)
                    return True
        new = self.check(data)
        if new:
            episodes, attributes = new
            write_dataset(path, episodes, {**self.file.read().attributes, **attributes})
            console.note(f"{self.id} is from now on data of {data.env_id}")
        return False

    def check(self, data: DataConfig) -> LoadedDataset | None:
        """Stop when the dataset that is there is not the one asked for.

        Returns:
            Where a file's environment is to be named anew, the episodes and the attributes that say so; else None.

        Raises:
            UsageError: another environment was named for a dataset of the catalogue, which knows better.
            SeqrlError: it was made with other settings, or the environment does not fit it.
        """
        self._check_settings(data)
        if data.env_id is None or data.env_id == self.env_id:
            return None
        if self.spec.source != "file":
            refuse_other_environment(self.spec, data.env_id)
        path = self.folder.dataset
        return fit_environment(read_d4rl(path), data.env_id, str(path))

    def _check_settings(self, data: DataConfig) -> None:
        """Stop when what is there is not what was asked for."""
        stated, path = self.file.read().attributes, self.spec.path
        if path is not None and stated.get("sha256") != content_sha256(path):
            hint = "rename the file to keep both, or replace the old one: seqrl download FILE --force"
            raise SeqrlError(f"{self.folder.dataset} was made from another {path.name}", hint)
        if self.spec.source != "sim":
            return
        asked = {"transitions": data.transitions, "seed": data.seed}
        for key, value in asked.items():
            if value is not None and key in stated and stated[key] != value:
                hint = f"leave data.{key} out, or make it anew: seqrl download {self.id} data.{key}={value} --force"
                raise SeqrlError(f"{self.id} is there with {key} {stated[key]}, not {value}", hint)
