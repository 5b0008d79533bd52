"""A fine-tuning job: its runs, settings and environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from seqrl_cli.artifacts.policy import pin_target
from seqrl_cli.artifacts.run_conflict import changed_keys, conflict_of_settings, refuse_lost_files
from seqrl_cli.artifacts.run_environment import accept_named, environment_of_run
from seqrl_cli.config.architectures import ARCHITECTURES, in_words, names_with
from seqrl_cli.config.overrides import overridden
from seqrl_cli.config.presets import load_config, validate
from seqrl_cli.config.schema import Config
from seqrl_cli.config.sections import OnlineConfig
from seqrl_cli.data.return_scale import times
from seqrl_cli.envs.trust import require_accepted
from seqrl_cli.envs.vector.subprocess import ANSWER_SECONDS
from seqrl_cli.errors import RunConflictError, SeqrlError, UsageError, unknown
from seqrl_cli.models.device import choose_device
from seqrl_cli.planning.target_return import check_return
from seqrl_cli.runs import record as records
from seqrl_cli.runs.layout import RunFolder, check_name
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoint_folders import saved_steps

OTHER_KEYS = ("plan.target_return", "plan.target_multiple", "plan.max_context_transitions")
"""Keys outside ``online.`` that fine-tuning accepts."""

FREE_KEYS = ("online.iterations",)
"""Keys that may change when a run resumes."""


@dataclass(frozen=True)
class FinetuneOnlineRequest:
    """Options of ``seqrl finetune-online``.

    Attributes:
        store: the run directory.
        run: the pretrained run, or a fine-tuned one to resume, by path or name; None = the latest run.
        overrides: dotted keys below ``online.``, and those of ``OTHER_KEYS``, over the run's configuration;
            ``data.env_id`` may repeat its environment.
        name: name of the new run; None = its parent's name with ``-online``, and with the seed if the parent's differs.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        force: start over if the fine-tuned run exists.
        argv: the command line, for the record.
        env_timeout: seconds to wait for the environments.
        track: trackers that follow the new run.
        jobs: processes that share the episodes; None = this one alone plays them, or on Ray as many as it has cores.
        on: where these processes are: ``local`` or ``ray``.
        address: address of the Ray cluster; None = the one that this machine belongs to.
    """

    store: RunStore
    run: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    device: str = "auto"
    threads: int | None = None
    force: bool = False
    argv: Sequence[str] = ()
    env_timeout: float = ANSWER_SECONDS
    track: Sequence[str] = ()
    jobs: int | None = None
    on: str = "local"
    address: str | None = None

    @property
    def has_processes(self) -> bool:
        """Whether other processes play."""
        return self.on != "local" or (self.jobs or 1) > 1


@dataclass(frozen=True)
class FinetuneOnlineJob:
    """The runs, settings and environment of a fine-tuning job, resolved before anything is written.

    Attributes:
        run: the fine-tuned run, which may not exist yet.
        parent: the pretrained run, which may be gone if the fine-tuned run exists.
        config: the fine-tuned run's configuration.
        record: the record of the run to resume, else the parent's.
        resumes: whether the fine-tuned run exists and does not start over.
        from_parent: whether the weights are the parent's, because the fine-tuned run has no checkpoint to resume from.
        env_id: the environment to explore.
        references: returns that score 0 and 1.
        device: the model's device.
        env_timeout: seconds to wait for the environments.
    """

    run: RunFolder
    parent: RunFolder
    config: Config
    record: records.RunRecord
    resumes: bool
    from_parent: bool
    env_id: str
    references: tuple[float, float] | None
    device: torch.device
    env_timeout: float = ANSWER_SECONDS

    @property
    def seed(self) -> int:
        """Seed of exploration, learning and evaluation."""
        assert self.config.online.seed is not None, "the configuration is pinned"
        return self.config.online.seed

    @property
    def target_return(self) -> float:
        """Return that evaluations aim at."""
        target = self.config.plan.target_return
        assert target is not None, "the configuration is pinned"
        return target

    @property
    def exploration_return(self) -> float:
        """Return that exploration aims at."""
        target = self.config.online.exploration_return
        assert target is not None, "the configuration is pinned"
        return target


def resolve(request: FinetuneOnlineRequest, on_warning: Callable[[str], None]) -> FinetuneOnlineJob:
    """Find the runs and resolve the configuration; ``on_warning`` receives runs whose record cannot be read.

    Raises:
        UsageError: a key that fine-tuning does not accept, or a bad value.
        SeqrlError: there is no such run, it is not an odt, or the fine-tuned run has other settings.
    """
    allowed = (*OTHER_KEYS, "data.env_id")
    foreign = [key for key in request.overrides if not key.startswith("online.") and key not in allowed]
    if foreign:
        hint = "finetune-online accepts keys that start with online.; all others keep their values from pretraining"
        raise UsageError(f"{foreign[0]!r} cannot be changed when fine-tuning", hint)
    run, parent = _find_runs(request, on_warning)
    if not request.force:
        refuse_lost_files(run)
    resumes = _has_begun(run) and not request.force
    source = run if resumes else parent
    record = records.read_record(source.record)
    overrides = accept_named(request.overrides, record, request.store)
    base = load_config(source.config)
    kept = {} if resumes else _seed_of_replaced(run)
    requested = validate(overridden(base.model_dump(), {**kept, **overrides}))
    config = _pinned(pin_target(requested, record.return_range, source.record))
    if resumes:
        _check_same(run, _pinned(pin_target(base, record.return_range, source.record)), config)
    else:
        _check_capacity(config.online)
    check_return("plan.target_return", config.plan.target_return, record)
    check_return("online.exploration_return", config.online.exploration_return, record)
    env_id, references = environment_of_run(request.store, record)
    require_accepted(env_id)
    from_parent = not (resumes and saved_steps(run.checkpoints))
    device = choose_device(request.device)
    timeout = request.env_timeout
    return FinetuneOnlineJob(run, parent, config, record, resumes, from_parent, env_id, references, device, timeout)


def _has_begun(run: RunFolder) -> bool:
    """Whether there is a run; its record alone is what a command leaves that is killed right after it wrote that."""
    return run.record.exists() and (run.config.exists() or bool(saved_steps(run.checkpoints)))


def _pinned(config: Config) -> Config:
    """The configuration with its seed and exploration return filled in, so that it reproduces the run.

    By default the exploration return is a multiple of the evaluations' target, twice the target in the original.
    """
    target = config.plan.target_return
    assert target is not None, "the target is pinned"
    exploration_return = config.online.exploration_return
    if exploration_return is None:
        exploration_return = times(target, config.online.exploration_ratio)
    seed = config.seed if config.online.seed is None else config.online.seed
    online = config.online.model_copy(update={"exploration_return": exploration_return, "seed": seed})
    return config.model_copy(update={"online": online})


def _seed_of_replaced(run: RunFolder) -> dict[str, Any]:
    """The seed of a run that starts over, since its name may contain it; empty if there is no such run."""
    with suppress(SeqrlError):
        return {"online.seed": load_config(run.config).online.seed}
    return {}


def _check_capacity(online: OnlineConfig) -> None:
    """Raise UsageError if the buffer is too small for one iteration's episodes."""
    if online.capacity < online.envs:
        message = f"online.capacity = {online.capacity}, but an iteration explores online.envs = {online.envs} episodes"
        raise UsageError(
            f"{message}, so some would be dropped before any update used them",
            "use a larger buffer, for example online.capacity=1000",
        )


def _find_runs(request: FinetuneOnlineRequest, on_warning: Callable[[str], None]) -> tuple[RunFolder, RunFolder]:
    """The fine-tuned run and its parent, whichever of the two was named; another --name is another child.

    Raises:
        UsageError: the name is the parent's own.
        SeqrlError: the named run is not an odt, or another run has the new run's name.
    """
    store = request.store
    found = store.find(request.run, on_warning)
    record = records.read_record(found.record)
    if record.arch not in ARCHITECTURES:
        raise unknown("architecture", record.arch, ARCHITECTURES)
    if record.base is not None:
        message = f"{found.path} is fine-tuned already, from {record.base.run}, and cannot be fine-tuned online"
        raise SeqrlError(message, f"seqrl finetune-online {record.base.run}")
    if ARCHITECTURES[record.arch].no_exploration is not None:
        _refuse_architecture(store, found, record)
    parent = found if record.parent is None else RunFolder(found.path.parent / record.parent)
    if not parent.record.exists():
        message = f"{found.path} was fine-tuned from {parent.path}, which is not here, so it cannot be continued"
        raise SeqrlError(message, "bring that run here, too: seqrl import or runs pull")
    usual = _usual_name(found, record, request.overrides.get("online.seed"))
    name = check_name("run", usual if request.name is None else request.name)
    if name == parent.path.name:
        raise UsageError(f"{name!r} is the name of the pretrained run itself", "give the new run another --name")
    run = RunFolder(found.path.parent / name)
    if run.record.exists() and records.read_record(run.record).parent != parent.path.name:
        raise RunConflictError(
            f"{run.path} exists, but was not fine-tuned from {parent.path}", "give the new run another --name"
        )
    return run, parent


def _usual_name(found: RunFolder, record: records.RunRecord, seed: int | None) -> str:
    """A fine-tuned run keeps its name; a new one is ``odt-s42-online``, or ``odt-s42-online-s7`` with another seed."""
    if record.parent is not None:
        return found.path.name
    return f"{found.path.name}-online" + ("" if seed in (None, record.seed) else f"-s{seed}")


def _refuse_architecture(store: RunStore, found: RunFolder, record: records.RunRecord) -> None:
    """Stop at a run that cannot explore.

    Raises:
        SeqrlError: always.
    """
    supported = names_with("explores")
    architecture = ARCHITECTURES[record.arch]
    fitting = [
        store.name_of(run.path) for run, other in store.runs() if other.arch in supported and other.parent is None
    ]
    if fitting:
        example = f"seqrl finetune-online {fitting[-1]}"
    else:
        example = f"seqrl train {record.dataset} --arch {supported[0]}"
    reason = f"only {in_words(supported)} can be fine-tuned online: {architecture.no_exploration}"
    message = f"{found.path} is {architecture}, and {reason}"
    raise SeqrlError(message, f"for example: {example}")


def _check_same(run: RunFolder, existing: Config, requested: Config) -> None:
    """Stop if settings differ from those of the existing run; more iterations are allowed.

    Raises:
        RunConflictError: a setting differs.
    """
    if changed := changed_keys(existing, requested, without=FREE_KEYS):
        raise conflict_of_settings(run, existing, requested, changed)
