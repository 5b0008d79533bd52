"""``seqrl sweep``."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.config.limits import MAX_PROCESSES
from seqrl_cli.errors import UsageError, unknown

if TYPE_CHECKING:
    from seqrl_cli.config.grid import Grid
    from seqrl_cli.console import Console
    from seqrl_cli.runs.store import RunStore
    from seqrl_cli.workflows.sweep.followers import Followers
    from seqrl_cli.workflows.sweep.setup import Cluster

PLACES = ("local", "ray", "slurm", "pbs")
MANY = 500
"""Runs; more are asked about."""

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATASET | FILE | status | run",
        help="Datasets joined by commas, or a sweep's YAML file or name (paper-tt); then configuration, where commas "
        "make an axis. `status NAME` shows how far a sweep is, `run NAME --index I` runs one member.",
        autocompletion=complete.sweep_words,
        show_default=False,
    ),
]
Archs = Annotated[
    str | None, typer.Option("--arch", metavar="ARCH,…", help="Architectures.", autocompletion=complete.architectures)
]
Seeds = Annotated[str | None, typer.Option("--seeds", metavar="SEEDS", help="Seeds: 1-4, 1..4 or 1,2,5 (default: 42).")]
Plan = Annotated[
    list[str] | None,
    typer.Option(
        "--plan",
        metavar="KEY=VALUE …",
        help="Plan with every trained model, at each of these settings; `--plan default` for its own settings.",
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the sweep, and the beginning of its runs' names.")]
Retries = Annotated[
    int, typer.Option("--retries", metavar="N", min=0, help="How often a run is started again that dies.")
]
On = Annotated[
    str, typer.Option("--on", help="Where runs go: local, ray, slurm or pbs.", autocompletion=complete.one_of(*PLACES))
]
Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="The Ray cluster (default: this machine's).")
]
Cpus = Annotated[
    int | None, typer.Option("--cpus", metavar="N", min=1, max=MAX_PROCESSES, help="Cores per run on a cluster.")
]
Gpus = Annotated[float | None, typer.Option("--gpus", metavar="N", min=0, help="GPUs per run on a cluster.")]
Time = Annotated[str | None, typer.Option("--time", metavar="H:MM:SS", help="Time limit of a job.")]
Option = Annotated[
    list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Further options of Slurm or PBS.")
]
Submit = Annotated[bool, typer.Option("--submit", metavar="", help="Submit the script of --on slurm or pbs.")]
Index = Annotated[int | None, typer.Option("--index", metavar="I", min=0, help="The member that `run` runs.")]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", metavar="", help=f"Do not ask before a sweep of more than {MANY} runs.")
]


def sweep(
    arguments: Arguments = None,
    archs: Archs = None,
    seeds: Seeds = None,
    plan: Plan = None,
    size: options.SizeName = None,
    preset: options.Preset = None,
    name: Name = None,
    jobs: options.Jobs = 1,
    threads: options.Threads = None,
    device: options.Device = "auto",
    retries: Retries = 3,
    on: On = "local",
    address: Address = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    time: Time = None,
    option: Option = None,
    submit: Submit = False,
    index: Index = None,
    yes: Yes = False,
    track: options.Track = None,
    push: options.Push = None,
    mirrors: options.Mirrors = "",
    offline: options.Offline = False,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train the Cartesian product of architectures, values and seeds, on this machine or on a cluster.

    Every member is an ordinary run. After any interruption the same command resumes: it runs what is not finished.
    --force replaces the list of an existing sweep of this name; its runs stay.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.workflows.sweep.followers import Followers

        store = options.store(runs_dir, options.network(mirrors, offline))
        words = arguments or []
        followers = Followers(options.trackers(track), options.push_url(push))
        if words[:1] in (["status"], ["run"]):
            _existing(words, index, retries, store, console, followers, dry_run)
            return
        if index is not None:
            raise UsageError("--index belongs to `seqrl sweep run NAME`", "for example seqrl sweep run lr --index 0")
        from seqrl_cli.launch.cores import available_cores
        from seqrl_cli.workflows.sweep import run as workflow

        grid, default_name = _grid(words, archs, seeds, plan, size, preset)
        confirm_many(grid.count, yes or dry_run)
        cluster = cluster_options(on, address, cpus, gpus, time, option, submit, threads)
        request = workflow.SweepRequest(
            store,
            grid,
            name=name,
            default_name=default_name,
            jobs=jobs,
            threads=threads if cluster is None else (threads or cpus),
            cores=available_cores() if cluster is None else 1,
            device=device,
            retries=retries,
            cluster=cluster,
            network=network_words(mirrors, offline),
            followers=followers,
            force=force,
        )
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))


def confirm_many(count: int, yes: bool) -> None:
    """Ask before very many runs.

    Raises:
        UsageError: there are too many for a sweep, the answer is no, or nobody can be asked.
    """
    from seqrl_cli.config.grid import MAX_SWEEP_RUNS

    if count > MAX_SWEEP_RUNS:
        raise UsageError(f"these are {count:,} runs", f"a sweep has {MAX_SWEEP_RUNS:,} at most; is there a typo?")
    if count <= MANY or yes:
        return
    if not (sys.stdin.isatty() and typer.confirm(f"These are {count:,} runs. Start them?", err=True)):
        raise UsageError(f"these are {count:,} runs", "add --yes if that is what you mean; --dry-run lists them")


def cluster_options(
    on: str,
    address: str | None,
    cpus: int | None,
    gpus: float | None,
    time: str | None,
    option: list[str] | None,
    submit: bool,
    threads: int | None,
) -> Cluster | None:
    """Where runs go; None for this machine.

    Raises:
        UsageError: there is no such place, or an option does not belong to it.
    """
    from seqrl_cli.workflows.sweep.setup import Cluster

    if on not in PLACES:
        raise unknown("place", on, PLACES)
    given = {
        "--address": (address, ("ray",)),
        "--cpus": (cpus, PLACES[1:]),
        "--gpus": (gpus, PLACES[1:]),
        "--time": (time, PLACES[2:]),
        "--option": (option or None, PLACES[2:]),
        "--submit": (submit or None, PLACES[2:]),
    }
    for name, (value, places) in given.items():
        if value is not None and on not in places:
            raise UsageError(f"{name} is not for --on {on}", f"it belongs to --on {' or '.join(places)}")
    if on == "local":
        return None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use over the network otherwise
    return Cluster(on, address, cpus or threads or 1, gpus, time, tuple(option or ()), submit)


def network_words(mirrors: str, offline: bool) -> tuple[str, ...]:
    """The options that commands which fetch data get from this one."""
    return (*(("--mirrors", mirrors) if mirrors else ()), *(("--offline",) if offline else ()))


def plan_texts(plan: list[str] | None) -> dict[str, tuple[str, ...]] | None:
    """The settings of --plan; None without it.

    Raises:
        UsageError: an unknown key, or an empty axis.
    """
    from seqrl_cli.config.grid import parse_axes
    from seqrl_cli.workflows.sweep.setup import plan_keys

    if plan is None:
        return None
    if any(not text.strip() for text in plan):
        raise UsageError("--plan is empty", "--plan default plans with each run's own settings")
    words = [word for text in plan for word in shlex.split(text) if word != "default"]
    if wrong := [word for word in words if "=" not in word]:
        raise UsageError(f"--plan takes key=value, not {wrong[0]!r}", "for example --plan plan.horizon=5,15")
    return parse_axes([word if word.startswith("plan.") else f"plan.{word}" for word in words], plan_keys())


def _grid(
    words: list[str],
    archs: str | None,
    seeds: str | None,
    plan: list[str] | None,
    size: str | None,
    preset: str | None,
) -> tuple[Grid, str | None]:
    """The grid of the command line, over that of a file if one is named; and the file's name."""
    from seqrl_cli.config.grid import Grid, parse_axes, parse_seeds
    from seqrl_cli.config.sweep_file import find_sweep_file, read_sweep_file
    from seqrl_cli.workflows.sweep.members import require_trust
    from seqrl_cli.workflows.sweep.setup import config_keys, plan_keys

    subjects, overrides = options.split_subjects(words)
    if len(subjects) != 1:
        hint = "for example seqrl sweep sim/hopper-medium --arch gpt,retnet --seeds 1-4"
        raise UsageError("name a dataset or a sweep's file" + (", one" if subjects else ""), hint)
    file = find_sweep_file(subjects[0])
    base = read_sweep_file(file, config_keys(), plan_keys()) if file else Grid(_datasets(subjects[0]))
    given: dict[str, object] = {
        "archs": None if archs is None else _names("--arch", archs),
        "seeds": None if seeds is None else parse_seeds(seeds),
        "plan": plan_texts(plan),
        "size": size,
        "preset": preset,
        "train": {**base.train, **parse_axes(overrides, config_keys())},
    }
    if "data.env_id" not in parse_axes(overrides, config_keys()):
        require_trust(f"data.env_id={text}" for text in base.train.get("data.env_id", ()))
    grid = replace(base, **{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
    return grid, file.stem if file else None


def _datasets(subject: str) -> tuple[str, ...]:
    return (subject,) if Path(subject).exists() else _names("datasets", subject)


def _names(what: str, text: str) -> tuple[str, ...]:
    """Names separated by commas.

    Raises:
        UsageError: one is empty, or is there twice.
    """
    from seqrl_cli.config.grid import refuse_repeats

    names = tuple(name.strip() for name in text.split(","))
    if "" in names:
        raise UsageError(f"{what}: {text!r} has an empty name", "write A,B")
    refuse_repeats(what, names, names)
    return names


def _existing(
    words: list[str],
    index: int | None,
    retries: int,
    store: RunStore,
    console: Console,
    followers: Followers,
    dry_run: bool,
) -> None:
    """``status`` and ``run``."""
    from seqrl_cli.runs.sweeps import sweep_names
    from seqrl_cli.workflows.sweep.members import run_member, show_member, show_status

    action, *names = words
    if len(names) > 1:
        raise UsageError(f"one sweep at a time, not {' and '.join(names)}", f"seqrl sweep {action} {names[0]}")
    if not names:
        known = sweep_names(store)
        hint = f"there are {', '.join(known)}" if known else "`seqrl sweep DATASET --seeds 1-4` makes one"
        raise UsageError(f"`seqrl sweep {action}` needs a sweep's name", hint)
    if action == "status":
        show_status(store, names[0], console)
        return
    if index is None:
        raise UsageError("`seqrl sweep run` needs --index", f"for example seqrl sweep run {names[0]} --index 0")
    if dry_run:
        show_member(store, names[0], index, console)
    else:
        run_member(store, names[0], index, retries, console, followers)
