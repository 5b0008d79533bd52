"""``seqrl export RUN``: a run's model as another project's checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import torch

from seqrl_cli.artifacts.families import load_adapted, load_merged
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.artifacts.trained_run import SavedRun, warn_unfinished
from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.model_sections import TokenModelSection
from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError, unknown
from seqrl_cli.interop.peft_folder import WEIGHTS_FILE, write_peft_folder
from seqrl_cli.interop.trajectory_transformer_folder import write_folder
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.runs.store import RunStore

_PEFT = "peft"
FORMATS = ("trajectory-transformer", _PEFT)


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
    export = _load(request, console)
    planned = export.report
    if Path(planned.weights).exists() and not request.force:
        console.note(f"{planned.weights} already exists; --force writes it again")
        return planned
    export.write()
    return replace(planned, fresh=True)


def dry_run(request: ExportRequest, console: Console) -> None:
    """Print where ``export`` would write.

    Raises:
        SeqrlError: as :func:`run` before it writes.
    """
    planned = _load(request, console).report
    if Path(planned.weights).exists() and not request.force:
        console.note(f"{planned.weights} already exists; --force writes it again")
    console.show(planned.text())
    console.emit(asdict(planned))


@dataclass(frozen=True)
class _Export:
    """What an export writes.

    Attributes:
        report: report of an export that wrote nothing.
        write: writes it.
    """

    report: ExportReport
    write: Callable[[], object]


def _load(request: ExportRequest, console: Console) -> _Export:
    """Load the model, and check that the other project has such models.

    Raises:
        UsageError: an unknown format.
        SeqrlError: there is no such run, or the other project has no such model.
    """
    if request.format not in FORMATS:
        raise unknown("format", request.format, FORMATS)
    saved = SavedRun.read(request.store.find(request.run, console.warn))
    load = _load_adapter if request.format == _PEFT else _load_model
    return load(request, saved, console)


def _load_adapter(request: ExportRequest, saved: SavedRun, console: Console) -> _Export:
    """A run's adapter for peft.

    Raises:
        SeqrlError: the run has none of LoRA alone.
    """
    path, settings, base = saved.folder.path, saved.config.finetune, saved.record.base
    if base is None or settings.adapter != "lora":
        message = f"{path} has no adapter of LoRA, which alone can be exported for peft"
        raise SeqrlError(message, "make one: seqrl finetune RUN DATASET --adapter lora")
    if settings.groups:
        message = f"beside its adapter, {path} learned {', '.join(settings.groups)}, which a folder of peft cannot hold"
        raise SeqrlError(message, "fine-tune without --groups")
    loaded = load_adapted(saved, torch.device("cpu"), request.checkpoint, console.warn)
    if request.checkpoint is None:
        warn_unfinished(saved.folder, saved.record, loaded.trained.step, console.warn)
    adapters = loaded.adapters
    assert adapters is not None
    folder = request.output or path / _PEFT
    report = ExportReport(str(folder), str(folder / WEIGHTS_FILE), fresh=False)
    return _Export(report, lambda: write_peft_folder(folder, adapters, 0, base.run))


def _load_model(request: ExportRequest, saved: SavedRun, console: Console) -> _Export:
    """A run's model for the Trajectory Transformer.

    Raises:
        SeqrlError: that has no such model.
    """
    folder = saved.folder
    architecture = ARCHITECTURES[saved.config.model.arch]
    if request.format not in architecture.exports:
        message = f"{folder.path} is {architecture}, which cannot be exported as a {request.format}"
        raise SeqrlError(message, "`--format hub` shares it as it is; or export another run")
    trained = cast(TrainedModel, load_merged(saved, torch.device("cpu"), request.checkpoint, console.warn))
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
    output, model = request.output or folder.path / request.format, cast(GPT, trained.model)
    report = ExportReport(str(output), str(output / f"state_{trained.step}.pt"), fresh=False)
    return _Export(report, lambda: write_folder(output, model, trained.config, trained.step))
