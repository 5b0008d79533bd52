"""``seqrl import`` of a folder of peft: LoRA for a trained run, as a run of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from seqrl_cli.artifacts.adapter_file import base_hash
from seqrl_cli.artifacts.families import load_merged
from seqrl_cli.artifacts.fine_tuning import refuse_name_of_base
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.artifacts.trained_run import SavedRun, TrainedRun
from seqrl_cli.config.finetune import FinetuneConfig
from seqrl_cli.config.presets import dump_config
from seqrl_cli.config.recipe import recipe_of
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.data.tokens_file import save_tokens
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import write_text_atomic
from seqrl_cli.files.hashes import file_sha256
from seqrl_cli.interop.peft_folder import CONFIG_FILE, WEIGHTS_FILE, attach_peft_folder, named_base
from seqrl_cli.models.adapters import AdapterSet, LoRASpec
from seqrl_cli.runs import record as records
from seqrl_cli.runs.layout import RunFolder, check_name
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.replace import attached_results, finish_replacement, replacing
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoints import Checkpoint, saved_states, write_checkpoint
from seqrl_cli.training.optimizer import trainable_parameters

_OTHER_NAME = "give this one a --name, or replace the other with --force"


@dataclass(frozen=True)
class AdapterImportRequest:
    """Options of ``seqrl import`` for a folder of peft.

    Attributes:
        store: the run directory.
        path: the folder.
        base: the run that it adapts; None = the one that the folder names.
        name: name of the new run; None = the base's name with ``-peft``.
        force: replace a run that exists.
        argv: the command line, for the record.
    """

    store: RunStore
    path: Path
    base: str | None = None
    name: str | None = None
    force: bool = False
    argv: Sequence[str] = ()


@dataclass(frozen=True)
class AdapterImportReport:
    """Result of the import of an adapter."""

    run: str
    base: str
    trainable: int
    parameters: int
    fresh: bool

    def text(self) -> str:
        """Two lines for a person."""
        return f"LoRA of {self.trainable:,} numbers for {self.base}, of {self.parameters:,} parameters\n{self.run}"


@dataclass(frozen=True)
class _AdaptedRun:
    """An adapter in its base, before it is written."""

    folder: RunFolder
    config: Config
    trained: TrainedRun
    base: records.BaseRecord
    adapters: AdapterSet

    def report(self, *, fresh: bool) -> AdapterImportReport:
        share = self.adapters.share()
        return AdapterImportReport(str(self.folder.path), self.base.run, share.trainable, share.total, fresh)


def is_adapter(path: Path) -> bool:
    """Whether a folder is one of peft."""
    return (path / CONFIG_FILE).is_file()


def run(request: AdapterImportRequest, console: Console) -> AdapterImportReport:
    """Turn a folder of peft into a run beside the run that it adapts.

    Raises:
        UsageError: the name is that of the run that it adapts.
        SeqrlError: the folder is damaged or does not fit the run, or another run has the name.
    """
    adapted = _adapted(request, console)
    folder = adapted.folder
    with locked(folder.path, console):
        finish_replacement(folder)
        if folder.record.exists() and not request.force:
            if not _is_same(adapted, request):
                raise SeqrlError(f"{folder.path} is another run", _OTHER_NAME)
            console.note(f"{folder.path} is already imported; --force imports it again")
            return adapted.report(fresh=False)
        if removed := attached_results(folder):
            console.note(f"the new run replaces {folder.path}, and its {removed} are removed with it")
        with replacing(folder) as new:
            _write(adapted, request, new)
    return adapted.report(fresh=True)


def dry_run(request: AdapterImportRequest, console: Console) -> None:
    """Print what ``import`` would do.

    Raises:
        SeqrlError: as :func:`run` before it writes.
    """
    adapted = _adapted(request, console)
    if adapted.folder.record.exists() and not request.force and not _is_same(adapted, request):
        raise SeqrlError(f"{adapted.folder.path} is another run", _OTHER_NAME)
    facts = {**asdict(adapted.report(fresh=False)), "already exists": adapted.folder.record.exists()}
    del facts["fresh"]
    console.emit(facts)
    console.show_facts(facts)


def _adapted(request: AdapterImportRequest, console: Console) -> _AdaptedRun:
    """The adapter in its base."""
    named = request.base or named_base(request.path)
    if named is None:
        raise SeqrlError(f"{request.path} does not name the model that it adapts", "name its run: --base RUN")
    saved = SavedRun.read(request.store.find(named, console.warn))
    trained = load_merged(saved, torch.device("cpu"), None, console.warn)
    name = request.store.name_of(saved.folder.path)
    base = records.BaseRecord(run=name, step=trained.step, sha256=base_hash(trained.model))
    adapters = attach_peft_folder(request.path, trained.model)
    spec = adapters.spec
    assert isinstance(spec, LoRASpec)
    tuned = FinetuneConfig(
        parent=name,
        parent_recipe=recipe_of(saved.config, fine_tuned=saved.record.parent is not None),
        adapter="lora",
        rank=spec.rank,
        alpha=spec.alpha,
        dropout=spec.dropout,
        targets=spec.targets,
    )
    folder = RunFolder(saved.folder.path.parent / check_name("run", request.name or f"{saved.folder.path.name}-peft"))
    refuse_name_of_base(folder, saved.folder, saved.record)
    return _AdaptedRun(folder, saved.config.model_copy(update={"finetune": tuned}), trained, base, adapters)


def _is_same(adapted: _AdaptedRun, request: AdapterImportRequest) -> bool:
    """Whether the run that is there was imported from the same files for the same base."""
    record, states = records.read_record(adapted.folder.record), saved_states(adapted.folder.checkpoints)
    imported = states[-1].get("imported") if states else None
    known = imported.get("sha256") if isinstance(imported, dict) else None
    return record.base == adapted.base and known == file_sha256(request.path / WEIGHTS_FILE)


def _write(adapted: _AdaptedRun, request: AdapterImportRequest, folder: RunFolder) -> None:
    """Write the run's files to a folder, the record last."""
    model, known = adapted.trained.model, adapted.trained.record
    if isinstance(adapted.trained, TrainedModel):
        save_tokens(folder.own_tokens, adapted.trained.tokens)
    write_text_atomic(folder.config, dump_config(adapted.config))
    for parameter in adapted.adapters.parameters():
        parameter.requires_grad_(True)
    learned = {name: parameter.detach() for name, parameter in trainable_parameters(model).items()}
    weights = request.path / WEIGHTS_FILE
    origin = {"project": "peft", "weights": str(weights.resolve()), "sha256": file_sha256(weights)}
    checkpoint = Checkpoint(adapted.base.step, learned, {}, {"imported": origin})
    write_checkpoint(folder.checkpoints, checkpoint, keep=1)
    kept = known.model_dump(exclude={"git", "versions", "host", "created", "updated", "dataset", "schema_version"})
    changed = {
        "name": adapted.folder.path.name,
        "status": "finished",
        "argv": list(request.argv),
        "parameters": adapted.adapters.share().total,
        "parent": None,
        "online_seed": None,
        "base": adapted.base,
    }
    records.write_record(folder.record, records.new_record(**{**kept, **changed}))
