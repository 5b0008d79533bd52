"""Runs to other projects' checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from seqrl_cli.artifacts.token_model import load_model
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
    """What ``seqrl export`` was asked for.

    Attributes:
        run: a run's path or name, or a dataset; None = the latest run.
        style: one of ``FORMATS``.
        output: folder to write to; None = one in the run's folder.
        checkpoint: updates of the checkpoint; None = the newest.
    """

    run: str | None
    style: str
    output: Path | None = None
    checkpoint: int | None = None


@dataclass(frozen=True)
class ExportReport:
    """What ``export`` says."""

    folder: str
    weights: str
    fresh: bool

    def text(self) -> str:
        """One line for a person."""
        return self.folder

    def as_dict(self) -> dict[str, Any]:
        """The same for --json."""
        return asdict(self)


def export_run(
    store: RunStore, request: ExportRequest, console: Console, *, force: bool = False, dry_run: bool = False
) -> ExportReport:
    """Write a run's model as another project saves its own.

    Raises:
        UsageError: an unknown format.
        SeqrlError: there is no such run, or the other project has no such model.
    """
    if request.style not in FORMATS:
        raise unknown("format", request.style, FORMATS)
    run = store.find(request.run, console.warn)
    saved = SavedRun.read(run)
    architecture = ARCHITECTURES[saved.config.model.arch]
    if request.style not in architecture.exports:
        message = f"{run.path} is {architecture}, which a {request.style} cannot be"
        raise SeqrlError(message, "export another run")
    trained = load_model(saved, torch.device("cpu"), request.checkpoint, console.warn)
    if request.checkpoint is None:
        warn_unfinished(run, trained.record, trained.step, console.warn)
    section, config = trained.config.model, trained.config
    if isinstance(section, TokenModelSection) and not section.stop_token:
        message = f"{run.path} is a model without a stop token, which a {request.style} cannot be"
        raise SeqrlError(message, "export another run")
    if trained.tokens.discretizer.strategy != "quantile":
        console.warn(
            f"a {request.style} places quantile bins, but {run.path} speaks uniform ones: it will misread them"
        )
    folder = request.output or run.path / request.style
    weights = folder / f"state_{trained.step}.pt"
    if weights.exists() and not force:
        console.note(f"{weights} is already there; --force writes it again")
    elif not dry_run:
        write_folder(folder, cast(GPT, trained.model), config, trained.step)
        return ExportReport(str(folder), str(weights), fresh=True)
    return ExportReport(str(folder), str(weights), fresh=False)
