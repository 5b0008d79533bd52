"""Set-up of ``seqrl finetune``: the trained model, the dataset, what learns, and whether they fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from seqrl_cli.artifacts.adapter_file import base_hash
from seqrl_cli.artifacts.families import load_base, load_merged
from seqrl_cli.artifacts.fine_tuning import adapt, refuse_name_of_base
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.artifacts.train_job import count_parameters, count_trainable
from seqrl_cli.artifacts.trained_run import SavedRun, TrainedRun, warn_unfinished
from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.overrides import overridden
from seqrl_cli.config.owners import has_key
from seqrl_cli.config.presets import refuse_foreign_keys, resolve_config, validate
from seqrl_cli.config.recipe import recipe_of
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.errors import RunConflictError, SeqrlError, UsageError
from seqrl_cli.models.adapters.share import Share
from seqrl_cli.models.device import choose_device
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import BaseRecord, RunRecord, read_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.train.setup import TrainRequest

_OF_THE_MODEL = (
    *("data.bins", "data.discretizer", "data.discount", "data.termination_penalty", "train.objective"),
    *("policy.return_scale", "policy.time_embedding", "policy.stochastic_tanh"),
    *("finetune.parent", "finetune.parent_recipe"),
)
"""Keys that the trained model has settled, beside those of its own section."""

_WARM_UP = ("policy.warmup_updates", "tasks.warmup_updates")
_WARM_UP_SHARE = 10


@dataclass(frozen=True)
class FinetuneRequest:
    """Options of ``seqrl finetune``.

    Attributes:
        store: the run directory.
        run: the trained run, by path or name; None = the latest run.
        dataset: what to learn.
        settings: dotted keys over the trained run's configuration.
        name: name of the new run; None = the trained run's with what learns, and with the seed if that differs.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        force: replace an existing run.
        argv: the command line, for the record.
        track: trackers that follow the new run.
    """

    store: RunStore
    run: str | None
    dataset: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    device: str = "auto"
    threads: int | None = None
    force: bool = False
    argv: Sequence[str] = ()
    track: Sequence[str] = ()


@dataclass(frozen=True)
class FinetuneJob:
    """A fine-tuning, resolved before anything is written.

    Attributes:
        train: the new run, its dataset and its configuration.
        parent: the trained model, prepared: what learns needs gradients.
        base: how the new run's record names it.
        share: how much of the model learns.
        device: the model's device.
    """

    train: TrainRequest
    parent: TrainedRun
    base: BaseRecord
    share: Share
    device: torch.device


def resolve(request: FinetuneRequest, console: Console) -> FinetuneJob:
    """Find the run and the dataset, load the model and prepare it.

    Raises:
        UsageError: an unknown dataset, or a key that fine-tuning does not accept, or a bad value.
        SeqrlError: there is no such run, it cannot take the adapter, or another run has the new run's name.
    """
    saved = SavedRun.read(request.store.find(request.run, console.warn))
    dataset = locate(request.store, request.dataset)
    parent = _below_root(request.store, saved.folder)
    config = _configuration(saved, dataset.id, parent, request.settings)
    train = TrainRequest(
        dataset,
        config,
        request.name or _usual_name(saved, config),
        request.device,
        request.threads,
        request.force,
        request.argv,
        track=request.track,
    )
    refuse_name_of_base(train.run, saved.folder, saved.record)
    device = choose_device(request.device)
    existing = None if request.force or not train.run.record.exists() else _existing(train.run, parent)
    if existing is not None:
        trained, base = load_base(train.run, existing, device), existing.base
    else:
        trained = load_merged(saved, device, None, console.warn)
        warn_unfinished(saved.folder, saved.record, trained.step, console.warn)
        base = BaseRecord(run=parent, step=trained.step, sha256=base_hash(trained.model))
    assert base is not None
    adapt(trained.model, config.finetune, config.seed)
    return FinetuneJob(train, trained, base, _share(trained), device)


def _share(trained: TrainedRun) -> Share:
    return Share(count_trainable(trained.model), count_parameters(trained.model))


def _configuration(saved: SavedRun, dataset: str, parent: str, given: Mapping[str, Any]) -> Config:
    """The trained run's configuration for other data, with the user's settings over it.

    Raises:
        UsageError: a key that the trained model has settled, or a bad value.
    """
    arch = saved.config.model.arch
    for key in given:
        if key in _OF_THE_MODEL or key.startswith(("model.", "online.")):
            raise UsageError(f"{key!r} cannot be changed when fine-tuning", "it keeps the value of the trained run")
    refuse_foreign_keys(arch, given)
    values = saved.config.model_dump()
    fresh = resolve_config(dataset, size=saved.config.size, overrides={"model.arch": arch})
    data = {**fresh.data.model_dump(), **{key: values["data"][key] for key in _data_of_the_model()}}
    tuned = {"parent": parent, "parent_recipe": recipe_of(saved.config, fine_tuned=saved.record.parent is not None)}
    values |= {"dataset": dataset, "preset": fresh.preset, "data": data, "finetune": tuned}
    if _share_is_the_presets(saved.config):
        values["policy"]["top_share"] = fresh.policy.top_share
    values["plan"] |= {"target_return": None, "target_multiple": fresh.plan.target_multiple}
    requested = validate(overridden(values, given))
    return _with_short_warm_up(requested, given)


def _share_is_the_presets(config: Config) -> bool:
    """Whether a run learned from the share of good episodes that its preset has for its data, not from a given one."""
    try:
        usual = resolve_config(
            config.dataset, size=config.size, preset=config.preset, overrides={"model.arch": config.model.arch}
        )
    except UsageError:  # a preset of another version
        return False
    return config.policy.top_share == usual.policy.top_share


def _data_of_the_model() -> list[str]:
    return [key.removeprefix("data.") for key in _OF_THE_MODEL if key.startswith("data.")]


def _with_short_warm_up(config: Config, given: Mapping[str, Any]) -> Config:
    """The configuration with a warm-up of at most a tenth of its updates, unless the user gave one."""
    if config.train.updates is None:
        return config
    longest = config.train.updates // _WARM_UP_SHARE
    values = config.model_dump()
    for key in _WARM_UP:
        section, own = key.split(".")
        if has_key(config.model.arch, key) and key not in given:
            values[section][own] = min(values[section][own], longest)
    return validate(values)


def _usual_name(saved: SavedRun, config: Config) -> str:
    """``dt-s42-lora``, or ``dt-s42-lora-s7`` with another seed."""
    seed = "" if config.seed == saved.config.seed else f"-s{config.seed}"
    return f"{saved.folder.path.name}-{config.finetune.label.replace('+', '-')}{seed}"


def _below_root(store: RunStore, folder: RunFolder) -> str:
    """The trained run's folder below the run directory.

    Raises:
        SeqrlError: it is elsewhere.
    """
    root, path = store.root.resolve(), folder.path.resolve()
    if not path.is_relative_to(root):
        message = f"{folder.path} is not in the run directory {store.root}, where its fine-tuned run would look for it"
        raise SeqrlError(message, "name its own run directory with --runs-dir, or copy the run into this one")
    return path.relative_to(root).as_posix()


def _existing(run: RunFolder, parent: str) -> RunRecord:
    """The record of an existing run that the same trained run was fine-tuned to.

    Raises:
        RunConflictError: it is another run.
    """
    record = read_record(run.record)
    if record.base is None or record.base.run != parent:
        what = f"was fine-tuned from {record.base.run}" if record.base else f"is {ARCHITECTURES[record.arch]}"
        message = f"{run.path} {what}, and was not fine-tuned from {parent}"
        raise RunConflictError(message, "give the new run another --name, or replace that one with --force")
    return record
