"""``seqrl export RUN``: a run's model as another project's checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import torch

from seqrl_cli.artifacts.token_model import TrainedModel, load_model
from seqrl_cli.artifacts.trained_run import SavedRun, warn_unfinished
from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.model_sections import TokenModelSection
from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError, unknown
from seqrl_cli.interop.trajectory_transformer_folder import write_folder
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.runs.store import RunStore

FORMATS = ("trajectory-transformer",)


@dataclass(frozen=True)
class ExportRequest:
    """Options of ``seqrl export RUN``.

    Attributes:
        store: the run directory.
        run: a run's path or name, or a dataset; None = the latest run.
        format: one of ``FORMATS``.
        output: folder to write to; None = one in the run's folder.
        checkpoint: updates of the checkpoint; None = the newest.
        force: replace an existing export.
    """

    store: RunStore
    run: str | None
    format: str
    output: Path | None = None
    checkpoint: int | None = None
    force: bool = False


@dataclass(frozen=True)
class ExportReport:
    """Result of ``export``."""

    folder: str
    weights: str
    fresh: bool

    def text(self) -> str:
        """One line for a person."""
        return self.folder


def run(request: ExportRequest, console: Console) -> ExportReport:
    """Write a run's model in another project's checkpoint format.

    Raises:
        UsageError: an unknown format.
        SeqrlError: there is no such run, or the other project has no such model.
    """
    folder, model, trained = _load(request, console)
    planned = _report(folder, trained)
    if Path(planned.weights).exists() and not request.force:
        console.note(f"{planned.weights} already exists; --force writes it again")
        return planned
    write_folder(folder, model, trained.config, trained.step)
    return replace(planned, fresh=True)


def dry_run(request: ExportRequest, console: Console) -> None:
    """Print where ``export`` would write.

    Raises:
        SeqrlError: as :func:`run` before it writes.
    """
    folder, _, trained = _load(request, console)
    planned = _report(folder, trained)
    if Path(planned.weights).exists() and not request.force:
        console.note(f"{planned.weights} already exists; --force writes it again")
    console.show(planned.text())
    console.emit(asdict(planned))


def _report(folder: Path, trained: TrainedModel) -> ExportReport:
    """The report of an export that wrote nothing."""
    return ExportReport(str(folder), str(folder / f"state_{trained.step}.pt"), fresh=False)


def _load(request: ExportRequest, console: Console) -> tuple[Path, GPT, TrainedModel]:
    """The folder to write, the model, and its run.

    Raises:
        UsageError: an unknown format.
        SeqrlError: there is no such run, or the other project has no such model.
    """
    if request.format not in FORMATS:
        raise unknown("format", request.format, FORMATS)
    folder = request.store.find(request.run, console.warn)
    saved = SavedRun.read(folder)
    architecture = ARCHITECTURES[saved.config.model.arch]
    if request.format not in architecture.exports:
        message = f"{folder.path} is {architecture}, which cannot be exported as a {request.format}"
        raise SeqrlError(message, "export another run")
    trained = load_model(saved, torch.device("cpu"), request.checkpoint, console.warn)
    if request.checkpoint is None:
        warn_unfinished(folder, trained.record, trained.step, console.warn)
    section = trained.config.model
    if isinstance(section, TokenModelSection) and not section.stop_token:
        message = f"{folder.path} is a model without a stop token, which cannot be exported as a {request.format}"
        raise SeqrlError(message, "export another run")
    if trained.tokens.discretizer.strategy != "quantile":
        console.warn(
            f"a {request.format} expects quantile bins, but {folder.path} uses uniform ones; "
            "its tokens would be decoded wrongly"
        )
    return request.output or folder.path / request.format, cast(GPT, trained.model), trained
