"""Options that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqrl_cli.cli import complete
from seqrl_cli.config.limits import MAX_PROCESSES, MAX_SEED, memory_bytes
from seqrl_cli.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from seqrl_cli.runs.mirrors import NetworkAccess
    from seqrl_cli.runs.store import RunStore

RUNS = Path("runs")
ENV_TIMEOUT = 300

# Values that Typer accepts in the environment variable of a flag.
_YES, _NO = ("1", "true", "t", "yes", "y", "on"), ("", "0", "false", "f", "no", "n", "off")


def check_seed(value: int | None) -> int | None:
    """Refuse a seed that is too large for PyTorch; a limit that Typer knows would take up half of each help's line."""
    if value is not None and value > MAX_SEED:
        raise typer.BadParameter(f"it is larger than {MAX_SEED}")
    return value


RunsDir = Annotated[Path, typer.Option("--runs-dir", envvar="SEQRL_RUNS", help="Folder of datasets, runs and plans.")]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print the result as one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Print only results, warnings and errors.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", metavar="", help="Print what would be done, without writing anything.")
]
Force = Annotated[bool, typer.Option("--force", metavar="", help="Replace what already exists.")]
Device = Annotated[
    str,
    typer.Option(
        "--device", help="auto, cpu, cuda, cuda:1 …", autocompletion=complete.one_of("auto", "cpu", "cuda", "cuda:0")
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", min=1, max=MAX_PROCESSES, help="CPU threads (default: all cores)."),
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", "-j", metavar="N", min=1, max=MAX_PROCESSES, help="Runs at a time, where there are several."
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        min=0,
        callback=check_seed,
        help="Random seed (default: 42; 0 to collect data or measure references).",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", help="Another dataset's preset (default: the dataset's own).", autocompletion=complete.presets
    ),
]
SizeName = Annotated[
    str | None,
    typer.Option(
        "--size",
        help="paper: as published; laptop: minutes on two cores (default: paper for D4RL names, else laptop).",
        autocompletion=complete.one_of("paper", "laptop"),
    ),
]
EnvTimeout = Annotated[
    int,
    typer.Option("--env-timeout", metavar="SECONDS", min=1, help="Longest wait for an answer of the environment."),
]
Checkpoint = Annotated[
    int | None,
    typer.Option("--checkpoint", metavar="N", min=0, help="Use the checkpoint of this update (default: the newest)."),
]
By = Annotated[
    str,
    typer.Option(
        "--by",
        help="method (joins seeds) or run (keeps runs apart).",
        autocompletion=complete.one_of("method", "run"),
    ),
]
Mirrors = Annotated[
    str,
    typer.Option(
        "--mirrors",
        envvar="SEQRL_MIRRORS",
        help="Comma-separated mirrors (URLs or folders) to try first; SOURCE=URL applies to one source.",
        show_default=False,
    ),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", envvar="SEQRL_OFFLINE", metavar="", help="Use no network, only files on this machine."),
]

Track = Annotated[
    str | None,
    typer.Option(
        "--track",
        metavar="TRACKERS",
        help="Trackers that follow the run, such as wandb,tensorboard (default: none).",
        autocompletion=complete.one_of("wandb", "tensorboard", "trackio"),
    ),
]

Push = Annotated[
    str | None,
    typer.Option(
        "--push", metavar="URL", help="Push the run after each checkpoint, to s3://, abfs://, gs:// or file://…"
    ),
]

DatasetArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATASET | KEY=VALUE",
        help="A dataset's name, such as sim/hopper-medium, or a file's path; then configuration.",
        autocompletion=complete.datasets_and_keys,
        show_default=False,
    ),
]
PlanArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN | SWEEP | KEY=VALUE",
        help="A run's path or name, a sweep's name, or a dataset for its latest run (default: the latest run); further "
        "runs of an ensemble; then configuration.",
        autocompletion=complete.runs_and_plan_keys,
        show_default=False,
    ),
]
OnlineArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN | KEY=VALUE",
        help="A run's path or name, or a dataset for its latest run (default: the latest run); then configuration.",
        autocompletion=complete.runs_and_online_keys,
        show_default=False,
    ),
]
RunArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN",
        help="A run's path or name, or a dataset for its latest run (default: the latest run).",
        autocompletion=complete.runs,
        show_default=False,
    ),
]


def split_arguments(arguments: list[str] | None, kind: str) -> tuple[str | None, list[str]]:
    """Split positional arguments into the dataset or run, if given, and the ``key=value`` arguments.

    Args:
        arguments: the positional arguments.
        kind: word for the kind of subject, for the error.

    Raises:
        UsageError: more than one dataset or run.
    """
    subjects, overrides = split_subjects(arguments)
    if len(subjects) > 1:
        raise UsageError(f"one {kind} at a time, not {' and '.join(subjects)}", "configuration is written key=value")
    return (subjects[0] if subjects else None), overrides


def split_subjects(arguments: list[str] | None) -> tuple[list[str], list[str]]:
    """Split positional arguments into subjects, such as runs and datasets, and the ``key=value`` arguments."""
    given = arguments or []
    overrides = [argument for argument in given if re.match(r"[\w.]*=", argument)]  # a path may contain "=" later
    return [argument for argument in given if argument not in overrides], overrides


def trackers(text: str | None, option: str = "--track") -> tuple[str, ...]:
    """The trackers of an option, each of which exists.

    Raises:
        UsageError: there is no such tracker, or none is named.
        SeqrlError: its package is not installed.
    """
    from seqrl_cli.tracking.trackers import check_tracker

    names = [name for part in (text or "").split(",") if (name := part.strip())]
    if text is not None and not names:
        raise UsageError(f"{option} names no tracker", f"for example {option} tensorboard")
    return tuple(check_tracker(name) for name in dict.fromkeys(names))


def push_url(url: str | None) -> str | None:
    """The URL of --push, if it can be one.

    Raises:
        UsageError: it is no URL.
    """
    if url is None:
        return None
    if "://" not in url:
        raise UsageError(f"--push is {url!r}, which is not a URL", "for example s3://bucket/runs, or file:///mnt/runs")
    return url


def run_and_suite(subjects: list[str]) -> tuple[str | None, str]:
    """A run, if it is named, and the tasks to learn.

    Raises:
        UsageError: no tasks are named, or more than these two.
    """
    hint = "for example: seqrl continual mddt-s42 cw3"
    if not subjects:
        raise UsageError("no tasks given", hint)
    if len(subjects) > 2:
        raise UsageError(f"one run and one suite, not {' and '.join(subjects)}", "tasks are joined by +")
    return (subjects[0] if len(subjects) == 2 else None), subjects[-1]


def run_and_dataset(subjects: list[str]) -> tuple[str | None, str]:
    """A run, if it is named, and the dataset to fine-tune it on.

    Raises:
        UsageError: no dataset is named, or more than these two.
    """
    if not subjects:
        raise UsageError("no dataset given", "for example: seqrl finetune dt-s42 sim/hopper-expert --adapter lora")
    if len(subjects) > 2:
        raise UsageError(f"one run and one dataset, not {' and '.join(subjects)}", "datasets are joined by +")
    return (subjects[0] if len(subjects) == 2 else None), subjects[-1]


def settings_below(section: str, model: type[BaseModel], overrides: list[str], **options: Any) -> dict[str, Any]:
    """Dotted keys below one section from ``key=value`` arguments and options; options take precedence.

    Args:
        section: name of the section, which comes before the dot.
        model: the model that has the section's keys.
        overrides: ``key=value`` arguments.
        **options: values by key; None = not given.
    """
    from seqrl_cli.config.overrides import parse_overrides

    given = {f"{section}.{key}": value for key, value in options.items() if value is not None}
    listing = f"`seqrl {section} … --dry-run` lists them."
    return {**parse_overrides(overrides, [f"{section}.{key}" for key in model.model_fields], listing), **given}


def configuration(overrides: list[str], *, fine_tunes: bool = False, **options: Any) -> dict[str, Any]:
    """Dotted overrides from ``key=value`` arguments and options; options take precedence.

    Args:
        overrides: ``key=value`` arguments.
        fine_tunes: whether the keys below ``finetune`` mean something.
        **options: dotted keys with ``__`` for the dot, for example ``plan__horizon=5``; None = not given.
    """
    from seqrl_cli.config.overrides import dotted_keys, parse_overrides
    from seqrl_cli.config.schema import Config

    keys = [key for key in dotted_keys(Config) if key not in ("dataset", "size", "preset")]
    keys = [key for key in keys if fine_tunes or not key.startswith("finetune.")]
    given = {key.replace("__", "."): value for key, value in options.items() if value is not None}
    return {**parse_overrides(overrides, keys), **given}


def memory(text: str | None) -> int | None:
    """Bytes of a value of --max-memory; None if it is not given.

    Raises:
        UsageError: it is no amount of memory.
    """
    try:
        size = None if text is None else memory_bytes(text)
    except ValueError as error:
        raise UsageError(f"--max-memory is {text!r}, but {error}", "for example --max-memory 2GiB") from error
    if size == 0:
        raise UsageError("--max-memory is 0", "for example --max-memory 2GiB")
    return size


def checkpoint(text: str | None) -> tuple[int | None, bool]:
    """The update of --checkpoint, None if it is not given, and whether the best checkpoint is asked for.

    Raises:
        UsageError: it is neither a number nor ``best``.
    """
    if text is None or text == "best":
        return None, text == "best"
    if not text.isdecimal():
        raise UsageError(f"--checkpoint is {text!r}, which is not a number of updates", "give a number, or best")
    return int(text), False


def network(mirrors: str, offline: bool) -> NetworkAccess:
    """The mirrors and whether downloads are allowed; the minari package's folder is a mirror of Minari.

    Raises:
        UsageError: a mirror is neither a URL nor a folder.
    """
    from seqrl_cli.data.catalogue import SOURCES
    from seqrl_cli.download.mirrors import parse_mirrors
    from seqrl_cli.runs.mirrors import Mirror, NetworkAccess

    minari = os.environ.get("MINARI_DATASETS_PATH") or str(Path.home() / ".minari" / "datasets")
    return NetworkAccess((*parse_mirrors(mirrors, SOURCES), Mirror(minari, "minari")), offline)


def store(runs_dir: Path, allowed: NetworkAccess | None = None) -> RunStore:
    """The run directory of a command that may fetch missing datasets.

    Args:
        runs_dir: value of --runs-dir.
        allowed: values of --mirrors and --offline; None = the command lacks these options, and the environment decides.

    Raises:
        UsageError: a mirror in the environment is neither a URL nor a folder, or SEQRL_OFFLINE is neither yes nor no.
    """
    from seqrl_cli.runs.store import RunStore

    if allowed is None:
        allowed = network(os.environ.get("SEQRL_MIRRORS", ""), _offline(os.environ.get("SEQRL_OFFLINE", "")))
    return RunStore(runs_dir, allowed)


def default_store(runs_dir: str | os.PathLike[str] | None) -> RunStore:
    """The run directory of a program that has no command line.

    Args:
        runs_dir: path of the run directory; None = ``$SEQRL_RUNS``, else ``runs``, as commands have it.

    Raises:
        UsageError: as :func:`store`.
    """
    return store(Path(runs_dir if runs_dir is not None else os.environ.get("SEQRL_RUNS") or RUNS))


def _offline(text: str) -> bool:
    """Parse SEQRL_OFFLINE as Typer parses --offline."""
    value = text.strip().lower()
    if value not in (*_YES, *_NO):
        raise UsageError(f"SEQRL_OFFLINE is {text!r}, which is neither yes nor no", "set it to 1 or 0")
    return value in _YES


def refuse_overrides(overrides: list[str], command: str) -> None:
    """Stop at ``key=value`` arguments of a command that accepts none.

    Raises:
        UsageError: there is one.
    """
    if overrides:
        raise UsageError(
            f"{command} takes no key=value: {overrides[0]!r}", f"`seqrl {command} --help` lists its options"
        )


def refuse_options(given: Mapping[str, object], what: str) -> None:
    """Stop at options that a kind of work does not have.

    Raises:
        UsageError: there is one.
    """
    for option, value in given.items():
        raise UsageError(f"{what} takes no {option} {value}", "leave it out")


def refuse_name(name: str | None, command: str, instead: str) -> None:
    """Stop at a name given to a command that accepts none.

    Raises:
        UsageError: there is one.
    """
    if name is not None:
        raise UsageError(f"`{command}` takes no name: {name!r}", f"`{instead}` shows one")
