"""What a fine-tuning adds to a model or lets learn, and the run whose model it is.

The checkpoints of a fine-tuned run contain what learned; ``run.json`` names the base model by run, update and hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from seqrl_cli.artifacts.adapter_file import base_hash
from seqrl_cli.config.finetune import FinetuneConfig
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.models.adapters import AdapterSet, HoulsbySpec, IA3Spec, LoRASpec, PrefixSpec, PromptSpec, Spec, attach
from seqrl_cli.models.adapters.partial import train_only
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import BaseRecord, RunRecord, read_record
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.training.optimizer import trainable_parameters

_AGAIN = "copy it back, or fine-tune again with --force"


def spec_of(settings: FinetuneConfig) -> Spec | None:
    """The adapter that the settings describe; None for none.

    Raises:
        SeqrlError: there is no such adapter.
    """
    targets = {"targets": settings.targets} if settings.targets else {}
    match settings.adapter:
        case "none":
            return None
        case "lora":
            return LoRASpec(settings.rank, settings.alpha, settings.dropout, **targets)
        case "ia3":
            return IA3Spec(**targets)
        case "houlsby":
            return HoulsbySpec(settings.reduction)
        case "prompt":
            return PromptSpec(settings.length)
        case "prefix":
            return PrefixSpec(settings.length, settings.reparametrize)


def adapt(model: nn.Module, settings: FinetuneConfig, seed: int) -> AdapterSet | None:
    """Prepare a model for a fine-tuning: afterwards exactly what learns needs gradients, and the adapter is in use.

    Args:
        model: the model, without adapters; changed in place.
        settings: what learns.
        seed: seed of the adapter's initial weights.

    Returns:
        The adapter, if there is one.

    Raises:
        SeqrlError: the model cannot take the adapter, or has no such parameters.
    """
    spec = spec_of(settings)
    groups = settings.groups or (() if spec else ("all",))
    if groups:
        train_only(model, groups)
    if spec is None:
        return None
    own = list(trainable_parameters(model).values()) if groups else []
    adapters = attach(model, spec, 1, torch.Generator().manual_seed(seed))
    for parameter in own:
        parameter.requires_grad_(True)
    adapters.select(0)
    return adapters


def put_learned(model: nn.Module, weights: Mapping[str, Tensor], source: object) -> None:
    """Put what was learned into an adapted model.

    Raises:
        SeqrlError: the weights are of another model.
    """
    own = trainable_parameters(model)
    fits = own.keys() == weights.keys() and all(own[name].shape == weights[name].shape for name in own)
    if not fits:
        raise SeqrlError(f"{source} does not hold what its run.json says was learned", _AGAIN)
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])


def refuse_name_of_base(new: RunFolder, trained: RunFolder, record: RunRecord) -> None:
    """Stop before a new run replaces the run that it is made from, or a run that this was made from.

    Args:
        new: the new run.
        trained: the run that it is made from.
        record: the record of that run.

    Raises:
        UsageError: it would.
    """
    for run in (trained, *_bases(trained, record)):
        if new.path.resolve() == run.path.resolve():
            what = "the trained run itself" if run is trained else "a run that the trained run was made from"
            raise UsageError(f"{new.path.name!r} is the name of {what}", "give the new run another --name")


def refuse_circle(run: RunFolder, record: RunRecord) -> None:
    """Stop at a run that was made from itself, as its files say.

    Raises:
        SeqrlError: it was.
    """
    for base in _bases(run, record):
        if base.path.resolve() == run.path.resolve():
            raise SeqrlError(f"{run.path} says that it was fine-tuned from itself", "restore it, or delete it")


def _bases(run: RunFolder, record: RunRecord) -> Iterator[RunFolder]:
    """The runs that a run was fine-tuned from, one after the other, as far as they are there."""
    seen: set[Path] = set()
    with suppress(SeqrlError):  # one that is gone or damaged is told by whoever reads it
        while record.base is not None:
            run = base_folder(run, record)
            if run.path.resolve() in seen:
                return
            seen.add(run.path.resolve())
            yield run
            record = read_record(run.record)


def base_folder(run: RunFolder, record: RunRecord) -> RunFolder:
    """The folder of the run whose model was fine-tuned, which also exists and has the checkpoint.

    Raises:
        SeqrlError: the run or its checkpoint is gone.
    """
    assert record.base is not None
    root = Path(run.path).absolute().parents[len(record.dataset.split("/"))]
    folder = RunFolder(root / record.base.run)
    if not folder.record.exists():
        raise SeqrlError(f"{run.path} was fine-tuned from {record.base.run}, which is not in {root}", _AGAIN)
    steps = saved_steps(folder.checkpoints)
    if record.base.step not in steps:
        has = f"has {', '.join(f'{step:,}' for step in steps)}" if steps else "has no checkpoint"
        message = f"{run.path} was fine-tuned from update {record.base.step:,} of {record.base.run}, which now {has}"
        raise SeqrlError(message, _AGAIN)
    return folder


def check_base(model: nn.Module, base: BaseRecord, run: RunFolder) -> None:
    """Raise SeqrlError if a model is not the one that a run fine-tuned."""
    found = base_hash(model)
    if found != base.sha256:
        message = (
            f"{run.path} was fine-tuned from {base.run} with the weights {base.sha256[:12]}, but update {base.step:,} "
            f"now has {found[:12]}"
        )
        raise SeqrlError(message, _AGAIN)
