"""What a run's folder tells of the episodes that were planned with it: its seed, and how far it was fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.artifacts.facts import DatasetFile
from seqrl_cli.config.presets import load_config
from seqrl_cli.config.recipe import is_current, recipe_of
from seqrl_cli.envs.limits import known_step_limit
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.layout import DatasetFolder, RunFolder
from seqrl_cli.runs.record import read_record
from seqrl_cli.tracking.metrics import OnlineLine, read_online_lines
from seqrl_cli.training.checkpoints import saved_steps


@dataclass(frozen=True)
class Origin:
    """The model behind an episode.

    Attributes:
        seed: that it was trained with; None when the run's record is not there.
        recipe: what its configuration makes; None when that is not there or cannot be read.
        step: updates of its newest checkpoint; None when there is none.
        log: its iterations of online fine-tuning; empty for a run that was trained from scratch.
    """

    seed: int | None = None
    log: Sequence[OnlineLine] = ()
    recipe: str | None = None
    step: int | None = None

    def recipe_of(self, stated: str | None, step: object) -> str | None:
        """The recipe of an episode that states one and was played with the checkpoint of update ``step``.

        An older version made other hashes. The run's own configuration tells the present one of its newest checkpoint;
        an earlier checkpoint may be of before the run was made longer, so its episodes keep what they state.
        """
        old = stated is not None and not is_current(stated)
        return self.recipe if old and self.recipe and step == self.step else stated

    def explored(self, step: int | None) -> tuple[int | None, int | None]:
        """Iterations, and environment steps explored, when the model had made ``step`` updates; None when unknown."""
        reached = [line for line in self.log if step is not None and line.step <= step]
        return (reached[-1].iteration, reached[-1].env_steps) if reached else (None, None)


def origin_folder(episode: Path) -> Path | None:
    """The run in whose ``plans/`` an episode file lies; None when it was moved out of it."""
    folder = episode.parent.parent
    return folder.parent if folder.name == "plans" else None


def read_origin(folder: Path | None) -> Origin:
    """What there is to know of a run; a damaged or missing record tells nothing."""
    if folder is None:
        return Origin()
    run = RunFolder(folder)
    try:
        record = read_record(run.record)
        log = read_online_lines(run.metrics) if record.parent else ()
    except SeqrlError:
        return Origin()
    step = max(saved_steps(run.checkpoints), default=None)
    return Origin(record.seed, log, _recipe(run, fine_tuned=record.parent is not None), step)


def _recipe(run: RunFolder, *, fine_tuned: bool) -> str | None:
    try:
        return recipe_of(load_config(run.config), fine_tuned=fine_tuned)
    except SeqrlError:
        return None


def step_limit_of(env_id: str, episode: Path) -> int | None:
    """The step limit of an episode's environment: what the run's dataset says, else what is known of it here."""
    run = origin_folder(episode)
    dataset = None if run is None else DatasetFolder(run.parent).dataset
    if dataset is not None and dataset.exists():
        with suppress(SeqrlError):
            facts = DatasetFile(dataset).read()
            if facts.env_id == env_id and facts.step_limit is not None:
                return facts.step_limit
    return known_step_limit(env_id)
