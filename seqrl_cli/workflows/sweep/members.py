"""``seqrl sweep status`` and ``seqrl sweep run``: a sweep that exists, by its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from seqrl_cli.config.overrides import parse_overrides
from seqrl_cli.console import Console, typed_command
from seqrl_cli.envs.trust import require_accepted
from seqrl_cli.errors import CommandInterruptedError, SeqrlError, UsageError
from seqrl_cli.launch.task import Ended, run_task
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.sweeps import SweepMember, SweepRecord, find_sweep, read_sweep
from seqrl_cli.workflows.sweep.followers import NOBODY, Followers
from seqrl_cli.workflows.sweep.report import show_states
from seqrl_cli.workflows.sweep.run import member_task
from seqrl_cli.workflows.sweep.states import MISSING, state_of, states_of, states_text


def show_status(store: RunStore, name: str, console: Console) -> None:
    """Print how far each member is.

    Raises:
        SeqrlError: there is no such sweep, or its record is damaged.
    """
    folder = find_sweep(store, name)
    record = read_sweep(folder)
    states = states_of(store, folder, record)
    rows = [{**member.values, **asdict(state)} for member, state in zip(record.members, states, strict=True)]
    console.emit({"sweep": record.name, "axes": record.axes, "members": rows})
    show_states(record.members, states, console)
    console.show(states_text(states))
    if any(state.status == MISSING for state in states):
        console.note(
            "missing: it was started and its run is not here, because it was moved, deleted, or failed before it "
            f"began (see {folder.logs}); the sweep trains it when it is run again"
        )


def show_member(store: RunStore, name: str, index: int, console: Console) -> None:
    """Print the state of a member and the commands that ``run_member`` would run.

    Raises:
        UsageError: the sweep has no such member.
        SeqrlError: there is no such sweep, or its record is damaged.
    """
    member = _member(read_sweep(find_sweep(store, name)), index)
    state = state_of(store, member)
    commands = [] if state.done else [typed_command(*words) for words in member.steps]
    console.emit({"run": member.run, "status": state.status, "commands": commands})
    console.show_facts({"run": member.run, "status": state.status, "commands": " && ".join(commands) or "none"})


def _member(record: SweepRecord, index: int) -> SweepMember:
    if not 0 <= index < len(record.members):
        message = f"the sweep {record.name} has no member {index}"
        raise UsageError(message, f"its members are 0 to {len(record.members) - 1}")
    return record.members[index]


def run_member(
    store: RunStore, name: str, index: int, retries: int, console: Console, followers: Followers = NOBODY
) -> Ended:
    """Run one member in the foreground; this is what the job of an array does.

    Raises:
        UsageError: the sweep has no such member.
        CommandInterruptedError: it was stopped, and has saved; exit code 130, upon which a scheduler's script queues
            the job again.
        SeqrlError: there is no such sweep, the member failed, or its environment's module is not trusted.
    """
    folder = find_sweep(store, name)
    record = read_sweep(folder)
    member = _member(record, index)
    if state_of(store, member).done:
        console.note(f"{member.run} is finished")
        return Ended(member_task(store.root, folder, record, index), 0, 0)
    require_trust(word for words in member.steps for word in words[2:])
    try:
        ended = run_task(
            member_task(store.root, folder, record, index, followers, log=False), retries, say=console.note
        )
    except KeyboardInterrupt as error:
        raise CommandInterruptedError(f"{member.run} was interrupted", "the same command resumes") from error
    if ended.code == 130:
        raise CommandInterruptedError(f"{member.run} was interrupted", "the same command resumes")
    if ended.warning:
        console.warn(f"{member.run} is done, but {ended.warning}")
    if not ended.done:
        raise SeqrlError(f"{member.run} failed: {ended.reason}", "the message above says why")
    return ended


def require_trust(settings: Iterable[str]) -> None:
    """Stop at a module that only a sweep's file names, since its members would take it for the user's word.

    Args:
        settings: ``key=value`` of the file.

    Raises:
        SeqrlError: names the environment.
    """
    named = [setting for setting in settings if setting.startswith("data.env_id=")]
    for setting in named:
        for env_id in parse_overrides([setting], ["data.env_id"]).values():
            require_accepted(str(env_id))
