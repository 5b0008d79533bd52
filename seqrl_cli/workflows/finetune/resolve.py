"""A fine-tuning job: which runs it is about, and its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from seqrl_cli.artifacts.policy import pin_target
from seqrl_cli.artifacts.run_environment import environment_of_run
from seqrl_cli.config.architectures import ARCHITECTURES, in_words, names_with
from seqrl_cli.config.overrides import differences, dig, merge, nest
from seqrl_cli.config.presets import load_config, validate
from seqrl_cli.config.recipe import BOOKKEEPING
from seqrl_cli.config.schema import Config
from seqrl_cli.config.sections import OnlineConfig
from seqrl_cli.errors import RunConflictError, SeqrlError, UsageError
from seqrl_cli.models.device import choose_device
from seqrl_cli.planning.target_return import check_return
from seqrl_cli.runs import record as records
from seqrl_cli.runs.layout import RunFolder, check_name
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoints import saved_steps

OTHER_KEYS = ("plan.target_return", "plan.max_context_transitions")  # that fine-tuning takes beside online.…
FREE_KEYS = ("online.iterations",)  # that may be changed of a run that is there already


@dataclass(frozen=True)
class FinetuneRequest:
    """What ``seqrl finetune-online`` was asked for.

    Attributes:
        run: the pretrained run, or a fine-tuned one to go on with, by path or name; None = the latest run.
        overrides: dotted keys below ``online.``, and ``plan.target_return``, over the run's configuration.
        name: name of the new run; None = that of its parent and ``-online``, and the seed where it is not the parent's.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        argv: the command line, for the record.
    """

    run: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    device: str = "auto"
    threads: int | None = None
    argv: Sequence[str] = ()


@dataclass(frozen=True)
class FinetuneJob:
    """What there is to do, settled before anything is written.

    Attributes:
        run: the fine-tuned run, there already or not.
        parent: the pretrained run; it need not exist any more when the fine-tuned one does.
        config: of the fine-tuned run.
        record: of the run to go on with, else of the parent.
        goes_on: whether the fine-tuned run is there already.
        env_id: where to explore.
        references: returns that score 0 and 1.
        device: of the model.
    """

    run: RunFolder
    parent: RunFolder
    config: Config
    record: records.RunRecord
    goes_on: bool
    env_id: str
    references: tuple[float, float] | None
    device: torch.device

    @property
    def begins(self) -> bool:
        """Whether there is no checkpoint of the fine-tuned run to go on from."""
        return not (self.goes_on and saved_steps(self.run.checkpoints))

    @property
    def seed(self) -> int:
        """Of exploring, learning and evaluating."""
        assert self.config.online.seed is not None, "the configuration is pinned"
        return self.config.online.seed

    @property
    def target_return(self) -> float:
        """What evaluations aim at."""
        target = self.config.plan.target_return
        assert target is not None, "the configuration is pinned"
        return target

    @property
    def exploration_return(self) -> float:
        """What exploration aims at."""
        target = self.config.online.exploration_return
        assert target is not None, "the configuration is pinned"
        return target


def settle(
    store: RunStore, request: FinetuneRequest, on_warning: Callable[[str], None], *, force: bool = False
) -> FinetuneJob:
    """Find the runs and settle the configuration; ``on_warning`` is told of runs whose record cannot be read.

    Raises:
        UsageError: a key that is not about fine-tuning, or a bad value.
        SeqrlError: there is no such run, it is no odt, or the fine-tuned run has other settings.
    """
    foreign = [key for key in request.overrides if not key.startswith("online.") and key not in OTHER_KEYS]
    if foreign:
        hint = "keys that finetune-online takes start with online.; all others are those of the pretraining"
        raise UsageError(f"{foreign[0]!r} cannot be changed when fine-tuning", hint)
    run, parent = _lineage(store, request, on_warning)
    goes_on = run.record.exists() and not force
    base = load_config((run if goes_on else parent).config)
    kept = {} if goes_on else _kept_seed(run)
    source = (run if goes_on else parent).record
    record = records.read_record(source)
    asked = validate(merge(base.model_dump(), nest({**kept, **request.overrides})))
    config = _pinned(pin_target(asked, record.return_range, source))
    if goes_on:
        _check_same(run, _pinned(pin_target(base, record.return_range, source)), config)
    else:
        _check_capacity(config.online)
    check_return("plan.target_return", config.plan.target_return, record)
    check_return("online.exploration_return", config.online.exploration_return, record)
    env_id, references = environment_of_run(store, record)
    return FinetuneJob(run, parent, config, record, goes_on, env_id, references, choose_device(request.device))


def _pinned(config: Config) -> Config:
    """The configuration with its seed and the return that exploration aims at, so that it repeats the run.

    That return is a multiple of the evaluations' target, twice as much in the original; where returns are negative, it
    is as far above the target.
    """
    target, asked = config.plan.target_return, config.online.exploration_return
    assert target is not None, "the target is pinned"
    explored = target + (config.online.exploration_ratio - 1) * abs(target) if asked is None else asked
    seed = config.seed if config.online.seed is None else config.online.seed
    online = config.online.model_copy(update={"exploration_return": explored, "seed": seed})
    return config.model_copy(update={"online": online})


def _kept_seed(run: RunFolder) -> dict[str, Any]:
    """The seed of a run that is to be redone, since its name may tell it; nothing where there is no such run."""
    with suppress(SeqrlError):
        return {"online.seed": load_config(run.config).online.seed}
    return {}


def _check_capacity(online: OnlineConfig) -> None:
    """Stop at a buffer that would forget an iteration's episodes before anything was learned from them."""
    if online.capacity < online.envs:
        message = f"online.capacity = {online.capacity}, but an iteration explores online.envs = {online.envs} episodes"
        raise UsageError(f"{message}, some of which would never be learned from", "make the buffer larger, 1000 say")


def _lineage(
    store: RunStore, request: FinetuneRequest, on_warning: Callable[[str], None]
) -> tuple[RunFolder, RunFolder]:
    """The fine-tuned run and its parent, whichever of the two was named; another --name is another child of it.

    Raises:
        UsageError: the name is the parent's own.
        SeqrlError: the run named is no odt, or another run bears the name.
    """
    found = store.find(request.run, on_warning)
    record = records.read_record(found.record)
    if ARCHITECTURES[record.arch].no_exploration is not None:
        _refuse(store, found, record)
    parent = found if record.parent is None else RunFolder(found.path.parent / record.parent)
    name = check_name("run", request.name or _usual_name(found, record, request.overrides.get("online.seed")))
    if name == parent.path.name:
        raise UsageError(f"{name!r} is the run to begin from itself", "give the new run another --name")
    run = RunFolder(found.path.parent / name)
    if run.record.exists() and records.read_record(run.record).parent != parent.path.name:
        raise RunConflictError(
            f"{run.path} is there, and was not begun from {parent.path}", "give the new run another --name"
        )
    return run, parent


def _usual_name(found: RunFolder, record: records.RunRecord, seed: int | None) -> str:
    """A fine-tuned run's own; of a child ``odt-s42-online``, or ``odt-s42-online-s7`` with another seed than that."""
    if record.parent is not None:
        return found.path.name
    return f"{found.path.name}-online" + ("" if seed in (None, record.seed) else f"-s{seed}")


def _refuse(store: RunStore, found: RunFolder, record: records.RunRecord) -> None:
    """Stop at a run that cannot explore.

    Raises:
        SeqrlError: always.
    """
    able, architecture = names_with("explores"), ARCHITECTURES[record.arch]
    fitting = [store.name_of(run.path) for run, other in store.runs() if other.arch in able and other.parent is None]
    example = f"seqrl finetune-online {fitting[-1]}" if fitting else f"seqrl train {record.dataset} --arch {able[0]}"
    reason = f"only {in_words(able)} can be fine-tuned online: {architecture.no_exploration}"
    message = f"{found.path} is {architecture}, and {reason}"
    raise SeqrlError(message, f"for example: {example}")


def _check_same(run: RunFolder, there: Config, asked: Config) -> None:
    """Stop when other settings are asked for than those of the run that is there; it may have more iterations."""
    one, other = there.model_dump(), asked.model_dump()
    changed = [key for key in differences(one, other) if key not in (*FREE_KEYS, *BOOKKEEPING)]
    if changed:
        pairs = ", ".join(f"{key} {dig(one, key)} (asked: {dig(other, key)})" for key in changed[:3])
        raise RunConflictError(f"{run.path} has {pairs}", "give this one another --name, or redo it with --force")
