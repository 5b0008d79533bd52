"""A trained run: the contents of its folder, read once, and its model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from seqrl_cli.config.presets import load_config
from seqrl_cli.config.schema import Config
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.runs.status import unfinished
from seqrl_cli.training.best import read_best
from seqrl_cli.training.checkpoint_folders import saved_steps, step_folder
from seqrl_cli.training.checkpoints import newest_model, read_model, saved_states


@dataclass(frozen=True)
class SavedRun:
    """A run's folder with its record and its configuration."""

    folder: RunFolder
    record: RunRecord
    config: Config

    @classmethod
    def read(cls, folder: RunFolder) -> SavedRun:
        """Read both files.

        Raises:
            SeqrlError: one is missing or damaged.
        """
        return cls(folder, read_record(folder.record), load_config(folder.config))

    @classmethod
    def of(cls, run: RunFolder | SavedRun) -> SavedRun:
        """A run that may have been read already; raises SeqrlError like :meth:`read`."""
        return run if isinstance(run, SavedRun) else cls.read(run)

    def best_checkpoint(self) -> int:
        """The updates of the best checkpoint, by evaluation or else by the validation loss.

        Raises:
            SeqrlError: none is known, as in runs of earlier versions.
        """
        best = read_best(self.folder.checkpoints)
        if best is None:
            steps = ", ".join(map(str, saved_steps(self.folder.checkpoints))) or "none"
            hint = f"choose one of {steps} by its validation loss: seqrl plot -k loss"
            raise SeqrlError(f"{self.folder.path} does not know its best checkpoint", hint)
        return best.step

    def weights(
        self, wanted: int | None, on_warning: Callable[[str], None] | None
    ) -> tuple[int, dict[str, Tensor], object]:
        """Step, weights and origin of a checkpoint: the wanted one, or the newest that is whole.

        Raises:
            SeqrlError: there is none.
        """
        path, checkpoints = self.folder.path, self.folder.checkpoints
        steps = saved_steps(checkpoints)
        if not steps:
            why = unfinished(self.folder, self.record)
            hint = "let it train until its first checkpoint, or name another run: `seqrl runs` lists them"
            raise SeqrlError(f"{path}{f', which {why},' if why else ''} has no checkpoint yet", hint)
        if wanted is None:
            found = newest_model(checkpoints, on_warning)
            assert found is not None, "there are checkpoints"
            return *found, step_folder(checkpoints, found[0])
        if wanted not in steps:
            raise SeqrlError(f"{path} has no checkpoint {wanted}", f"choose one of {', '.join(map(str, steps))}")
        return wanted, read_model(step_folder(checkpoints, wanted)), step_folder(checkpoints, wanted)


def is_imported(run: RunFolder) -> bool:
    """Whether a run was not trained here but imported."""
    return any("imported" in state for state in saved_states(run.checkpoints))


class TrainedRun(Protocol):
    """A run's model, ready for use, whatever its architecture."""

    @property
    def model(self) -> nn.Module:
        """The model, on its device, in evaluation mode."""

    @property
    def step(self) -> int:
        """The checkpoint's updates."""

    @property
    def config(self) -> Config:
        """The run's configuration."""

    @property
    def record(self) -> RunRecord:
        """The run's record."""

    @property
    def spaces(self) -> Spaces:
        """The observations that it reads and the actions that it chooses."""

    def observation_size(self, of_dataset: Callable[[], int | None]) -> int | None:
        """How many dimensions of a longer observation the data keep; None for all.

        Args:
            of_dataset: returns the number that the dataset records; called only if the run does not record it.
        """


def warn_unfinished(run: RunFolder, record: RunRecord, step: int, on_warning: Callable[[str], None] | None) -> None:
    """Warn if the newest checkpoint, of update ``step``, is not the end of its run."""
    if on_warning and (why := unfinished(run, record)):
        on_warning(f"{run.path} {why}: its newest checkpoint, of update {step:,}, is used")
