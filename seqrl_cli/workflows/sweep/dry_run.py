"""Dry run of ``sweep``: the members with their expected time and disk space; nothing is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from seqrl_cli.artifacts.disk import disk_text, missing_dataset_bytes, total_bytes
from seqrl_cli.artifacts.families import family_of
from seqrl_cli.artifacts.run_conflict import refuse_lost_files
from seqrl_cli.artifacts.sizes import estimate_sizes
from seqrl_cli.artifacts.train_job import count_parameters, count_trainable, time_of_update
from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, duration, typed_command
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.device import choose_device, use_threads
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.sweeps import sweep_folder
from seqrl_cli.training.checkpoints import OPTIMIZER_STATE_BYTES
from seqrl_cli.workflows.sweep.play_time import PlayEffort, PlayTimes, why_unknown
from seqrl_cli.workflows.sweep.report import show_states, state_row
from seqrl_cli.workflows.sweep.setup import Member, SweepRequest, set_up
from seqrl_cli.workflows.sweep.states import states_of, states_text
from seqrl_cli.workflows.train.dry_run import placeholder_data
from seqrl_cli.workflows.train.resume import check_resumable, with_own_penalty
from seqrl_cli.workflows.train.setup import complete_config

_SHOWN = 40


@dataclass(frozen=True)
class _Effort:
    """What a member takes: seconds of training from its start, and bytes; None if that is not known yet; its plans."""

    updates: int | None = None
    seconds: float | None = None
    bytes: int | None = None
    play: PlayEffort = PlayEffort(unknown="the data are not here")


def dry_run(request: SweepRequest, console: Console) -> None:
    """Print what ``sweep`` would do: members, hours and disk space.

    The time is that of this machine. Members of one size share one measurement.

    Raises:
        UsageError: as ``run``.
    """
    sweep = set_up(request)
    use_threads(sweep.record.threads)
    states = states_of(request.store, sweep_folder(request.store, sweep.record.name), sweep.record)
    console.note(
        "measuring a few updates" + (", and a few steps of planning …" if request.grid.plan_settings else " …")
    )
    for member, state in zip(sweep.members, states, strict=True):
        if not state.done:
            _warn_of_conflict(member, RunFolder(request.store.root / state.run), console)
    efforts = _efforts(sweep.members, request, console)
    unfinished = [(effort, state) for effort, state in zip(efforts, states, strict=True) if not state.done]
    left = [_left(effort.seconds, effort.updates, state.updates) for effort, state in unfinished]
    seconds = None if None in left else sum(value for value in left if value is not None)
    new = [effort for effort, state in zip(efforts, states, strict=True) if state.updates is None]
    needed = total_bytes([*(effort.bytes for effort in new), *_data_bytes(sweep.members, console)])
    at_once = 1 if request.cluster else request.jobs
    planning: dict[str, Any] = {}
    playing = None
    if request.grid.plan_settings:
        unknown = why_unknown([effort.play for effort, _ in unfinished])
        playing = None if unknown else sum(effort.play.seconds(state) for effort, state in unfinished)
        planning["planning"] = f"not included: {unknown}" if playing is None else _at_most(playing, at_once, request)
    facts: dict[str, Any] = {
        "sweep": sweep.record.name,
        "members": states_text(states),
        "axes": "; ".join(f"{key} = {', '.join(texts)}" for key, texts in sweep.record.axes.items()) or "none",
        "data to make": ", ".join(words[1] for words in sweep.missing_data) or "none",
        "threads per member": sweep.record.threads,
        "training": _hours(seconds, at_once, request.cluster is not None),
        **planning,
        "disk": disk_text(request.store.root, needed),
    }
    rows = [state_row(index, state) for index, state in enumerate(states)]
    commands = [[typed_command(*words) for words in member.member.steps] for member in sweep.members]
    seconds_of = {"seconds": seconds, **({"planning_seconds": playing} if planning else {})}
    console.emit({**facts, **seconds_of, "disk_bytes": needed, "rows": rows, "commands": commands})
    console.show_facts(facts)
    show_states([member.member for member in sweep.members[:_SHOWN]], states[:_SHOWN], console)
    if len(states) > _SHOWN:
        console.show(f"… and {len(states) - _SHOWN:,} more, which --json lists")
    console.show(f"the first member: {' && '.join(commands[0])}")


def _warn_of_conflict(member: Member, run: RunFolder, console: Console) -> None:
    """Warn of a member that will fail because a run of its name has other settings, or has lost files."""
    config = with_own_penalty(run, member.config)
    try:
        refuse_lost_files(run)
        data = family_of(config.model.arch).current(member.dataset, config, console) if run.record.exists() else None
        if data is not None:
            check_resumable(run, complete_config(member.dataset, config, data), data)
    except SeqrlError as error:
        console.warn(f"this member will fail: {run.path.name}: {error}")


def _left(seconds: float | None, updates: int | None, done: int | None) -> float | None:
    return None if seconds is None or not updates else seconds * max(0.0, 1 - (done or 0) / updates)


def _hours(seconds: float | None, at_once: int, elsewhere: bool) -> str:
    if seconds is None:
        return "unknown before the data is here"
    if elsewhere:
        return f"{duration(seconds)} in all, at this machine's speed"
    return f"{duration(seconds / at_once)} here" + (f" ({at_once} at a time)" if at_once > 1 else "")


def _at_most(seconds: float, at_once: int, request: SweepRequest) -> str:
    return f"at most {_hours(seconds, at_once, request.cluster is not None)}, if no episode ends before its step limit"


def _efforts(members: tuple[Member, ...], request: SweepRequest, console: Console) -> list[_Effort]:
    known: dict[str, _Effort] = {}
    play_times = PlayTimes()
    efforts = []
    for member in members:
        key = json.dumps([member.dataset.id, _sized(member.config)], sort_keys=True, default=str)
        if key not in known:
            known[key] = _effort(member, request, console, play_times)
        efforts.append(known[key])
    return efforts


def _sized(config: Config) -> dict[str, Any]:
    """What the time of an update depends on; not rates, seeds and the like, which cost nothing."""
    free = ("learning_rate", "weight_decay", "beta1", "beta2", "grad_clip", "log_every")
    values = config.model_dump(exclude={"seed", "plan", "online", "finetune"})
    values["train"] = {name: value for name, value in values["train"].items() if name not in free}
    return values


def _effort(member: Member, request: SweepRequest, console: Console, play_times: PlayTimes) -> _Effort:
    """Time a few updates of a member, with stand-ins for data that are missing."""
    dataset, config = member.dataset, member.config
    family = family_of(config.model.arch)
    sizes = estimate_sizes(dataset, config.data, console)
    data = family.current(dataset, config, console) or placeholder_data(dataset, config, sizes)
    if data is None:
        return _Effort()
    job = family.prepare(config, data, dataset.step_limit, choose_device(request.device))
    weights = 4 * count_parameters(job.model) + OPTIMIZER_STATE_BYTES * count_trainable(job.model)
    updates = job.settings.updates
    return _Effort(
        updates,
        time_of_update(job) * updates,
        weights * (config.train.keep_checkpoints + 1),
        play_times.effort(member, job),
    )


def _data_bytes(members: tuple[Member, ...], console: Console) -> list[int | None]:
    """Bytes of the datasets and tokens that are missing."""
    needed: list[int | None] = []
    for member in {member.dataset.id: member for member in members}.values():
        config = member.config
        sizes = estimate_sizes(member.dataset, config.data, console)
        tokens = ARCHITECTURES[config.model.arch].kind.reads == "tokens" and not member.dataset.folder.tokens.exists()
        needed += [missing_dataset_bytes(member.dataset, sizes), sizes.tokens_bytes(config.data.bins) if tokens else 0]
    return needed
