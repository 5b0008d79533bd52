"""What a run's folder adds to its planned episodes: seed, recipe, and progress of online fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqrl_cli.artifacts.facts import DatasetFile
from seqrl_cli.config.presets import load_config
from seqrl_cli.config.recipe import is_current, numbers_of, recipe_of
from seqrl_cli.envs.limits import known_step_limit
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.layout import DatasetFolder, RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.tracking.metrics import OnlineLine, read_online_lines
from seqrl_cli.training.checkpoint_folders import saved_steps


@dataclass(frozen=True)
class RunProvenance:
    """The run whose model played an episode.

    Attributes:
        folder: the run's folder; None if its record is missing.
        seed: training seed; None if the run's record is missing.
        online_lines: logged iterations of the run's online fine-tuning; empty for a run that was trained from scratch.
        recipe: hash of its configuration; None if that is missing or cannot be read.
        newest_step: updates of its newest checkpoint; None if there is none.
        trained_on: the run's dataset, suite or mixture; None if the run's record is missing.
        numbers: the values behind the recipe, by configuration key; empty without one.
    """

    folder: Path | None = None
    seed: int | None = None
    online_lines: Sequence[OnlineLine] = ()
    recipe: str | None = None
    newest_step: int | None = None
    trained_on: str | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def run_name(self, stated: str) -> str:
        """The run's name; that of its folder, if it is a copy of the run whose name its episodes state."""
        is_copy = self.folder is not None and self.folder.name != stated and (self.folder.parent / stated).exists()
        return self.folder.name if self.folder is not None and is_copy else stated

    def episode_recipe(self, stated: str | None, step: object) -> str | None:
        """The recipe of an episode whose file states ``stated`` and whose checkpoint has ``step`` updates.

        Older versions computed other hashes. For the newest checkpoint, the run's configuration gives the current hash.
        An earlier checkpoint may date from before the run was extended, so its episodes keep the stated recipe, which
        ``read_results`` replaces where other episodes of the same recipe settle it.
        """
        old = stated is not None and not is_current(stated)
        return self.recipe if old and self.recipe and step == self.newest_step else stated

    def episode_numbers(self, recipe: str | None) -> Mapping[str, Any]:
        """The values behind an episode's recipe; empty where the run has another one, because it was extended since."""
        return self.numbers if recipe is not None and recipe == self.recipe else {}

    def online_progress(self, step: int | None) -> tuple[int | None, int | None]:
        """Iterations and explored environment steps after ``step`` updates; None when unknown."""
        reached = [line for line in self.online_lines if step is not None and line.step <= step]
        return (reached[-1].iteration, reached[-1].env_steps) if reached else (None, None)


def run_folder_of(episode: Path) -> Path | None:
    """The run whose ``plans/`` contains an episode file; None if the file was moved elsewhere."""
    folder = episode.parent.parent
    return folder.parent if folder.name == "plans" else None


def read_provenance(folder: Path | None) -> RunProvenance:
    """Read the provenance from a run's folder; everything is unknown if its record is damaged or missing."""
    if folder is None:
        return RunProvenance()
    run = RunFolder(folder)
    try:
        record = read_record(run.record)
        online_lines = read_online_lines(run.metrics) if record.parent else ()
    except SeqrlError:
        return RunProvenance()
    newest_step = max(saved_steps(run.checkpoints), default=None)
    recipe, numbers = _recipe_and_numbers(run, record)
    return RunProvenance(folder, record.seed, online_lines, recipe, newest_step, record.dataset, numbers)


def recipe_of_run(run: RunFolder, record: RunRecord) -> str | None:
    """The hash of a run's configuration; None if the configuration is missing or cannot be read."""
    return _recipe_and_numbers(run, record)[0]


def _recipe_and_numbers(run: RunFolder, record: RunRecord) -> tuple[str | None, Mapping[str, Any]]:
    """The hash of a run's configuration, and the values behind it."""
    try:
        config = load_config(run.config)
    except SeqrlError:
        return None, {}
    fine_tuned = record.parent is not None
    return recipe_of(config, fine_tuned=fine_tuned), numbers_of(config, fine_tuned=fine_tuned)


def step_limit_of(env_id: str, episode: Path) -> int | None:
    """The step limit of an episode's environment: as stored with the run's dataset, else as installed here."""
    run = run_folder_of(episode)
    dataset = None if run is None else DatasetFolder(run.parent).dataset
    if dataset is not None and dataset.exists():
        with suppress(SeqrlError):
            facts = DatasetFile(dataset).read()
            if facts.env_id == env_id and facts.step_limit is not None:
                return facts.step_limit
    return known_step_limit(env_id)
