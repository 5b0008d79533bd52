"""``seqrl export RUN --format onnx``: a policy as a graph that plays without PyTorch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqrl_cli.artifacts.families import load_merged
from seqrl_cli.artifacts.policy import TrainedPolicy
from seqrl_cli.artifacts.trained_run import SavedRun, warn_unfinished
from seqrl_cli.config.architectures import ARCHITECTURES, POLICY, listed, names_with
from seqrl_cli.config.owners import has_key
from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.json_fields import JsonFieldError, read_object
from seqrl_cli.interop.onnx_file import FACTS_FILE, GRAPH_FILE, OnnxFacts, write_onnx
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoints import weights_hash

FORMAT = "onnx"


@dataclass(frozen=True)
class OnnxExportRequest:
    """Options of ``seqrl export RUN --format onnx``.

    Attributes:
        store: the run directory.
        run: a run's path or name, or a dataset; None = the latest run.
        output: folder to write; None = one in the run's folder.
        checkpoint: updates of the checkpoint; None = the newest.
        force: replace an existing export.
    """

    store: RunStore
    run: str | None
    output: Path | None = None
    checkpoint: int | None = None
    force: bool = False


@dataclass(frozen=True)
class OnnxExportReport:
    """Result of an export to ONNX."""

    folder: str
    graph: str
    fresh: bool

    def text(self) -> str:
        """The graph's path."""
        return self.graph


def run(request: OnnxExportRequest, console: Console) -> OnnxExportReport:
    """Write the graph of a policy, and what whoever runs it needs to know.

    Raises:
        SeqrlError: there is no such run, it is no policy, or the extra is not installed.
    """
    trained, planned, weights = _load(request, console)
    if Path(planned.graph).exists() and not request.force:
        console.note(f"{planned.graph} already exists; --force writes it again")
        return planned
    facts = replace(_facts(trained), weights=weights)
    write_onnx(Path(planned.folder), trained.model, facts)
    console.note(f"{planned.folder}/{FACTS_FILE} states its inputs' context, target return and bounds")
    return replace(planned, fresh=True)


def dry_run(request: OnnxExportRequest, console: Console) -> None:
    """Print where the export would write.

    Raises:
        SeqrlError: as :func:`run` before it writes.
    """
    _, planned, _ = _load(request, console)
    console.show(planned.text())
    console.emit(asdict(planned))


def _load(request: OnnxExportRequest, console: Console) -> tuple[TrainedPolicy, OnnxExportReport, str | None]:
    """The policy, where it goes, and the hash of its weights.

    Raises:
        SeqrlError: there is no such run, it is no policy, or the folder holds another checkpoint's graph.
    """
    saved = SavedRun.read(request.store.find(request.run, console.warn))
    architecture = ARCHITECTURES[saved.config.model.arch]
    if architecture.kind is not POLICY:
        message = f"{saved.folder.path} is {architecture}, whose play is not a single graph"
        raise SeqrlError(message, f"onnx exports {listed(names_with(POLICY.name))}; --format hub shares any run")
    trained = load_merged(saved, torch.device("cpu"), request.checkpoint, console.warn)
    assert isinstance(trained, TrainedPolicy)
    if request.checkpoint is None:
        warn_unfinished(saved.folder, saved.record, trained.step, console.warn)
    folder = request.output or saved.folder.path / FORMAT
    weights = weights_hash(saved.folder.checkpoints, trained.step)
    planned = OnnxExportReport(str(folder), str(folder / GRAPH_FILE), fresh=False)
    if Path(planned.graph).exists() and not request.force:
        _refuse_other_checkpoint(folder, saved.folder.path, trained.step, weights)
    return trained, planned, weights


def _refuse_other_checkpoint(folder: Path, run: Path, step: int, weights: str | None) -> None:
    """Stop at a graph that was written of another checkpoint, or of other weights.

    Raises:
        SeqrlError: names the update.
    """
    there: dict[str, Any] = {}
    with suppress(JsonFieldError):
        there = read_object(folder / FACTS_FILE)
    if there.get("checkpoint") != step or there.get("weights") not in (None, weights):
        message = f"{folder} was not written of the present update {step:,} of {run}"
        raise SeqrlError(message, "--force writes it again; -o writes another folder")


def _facts(trained: TrainedPolicy) -> OnnxFacts:
    config, form = trained.config, trained.model.normalizer
    arch = config.model.arch
    low, high = (None, None) if form.discrete else (np.asarray(form.action_low), np.asarray(form.action_high))
    return OnnxFacts(
        arch=arch,
        env_id=trained.record.env_id,
        context=config.plan.max_context_transitions if trained.model.max_context is not None else 1,
        target_return=config.plan.target_return if has_key(arch, "plan.target_return") else None,
        action_low=None if low is None else [float(number) for number in low],
        action_high=None if high is None else [float(number) for number in high],
        checkpoint=trained.step,
    )
