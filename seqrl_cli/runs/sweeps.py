"""``sweeps/NAME/sweep.json``: the axes of a sweep and the command lines of its members, and no state.

How far a sweep is follows from the runs of its members, so the two can never disagree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seqrl_cli.errors import SeqrlError, nearest
from seqrl_cli.files.atomic import make_folder, write_json_atomic
from seqrl_cli.files.json_text import read_json
from seqrl_cli.runs.layout import RunFolder, stays_below
from seqrl_cli.runs.record import refuse_newer_schema
from seqrl_cli.runs.store import RunStore

SCHEMA_VERSION = 1
FOLDER = "sweeps"
_HINT = "the command that made it writes it again with --force"

_MACHINE = ("--device", "--threads")
_OPTIONS = {"train": ("--name", "--arch", "--seed", "--size", "--preset", "--config", *_MACHINE), "plan": _MACHINE}
_SETTING = re.compile(r"[a-z][a-z0-9_.]*=")
_IS_SETTING = re.compile(r"[\w.]*=")  # as command lines are read, where a dataset or a run is expected

Words = tuple[str, ...]


class SweepMember(BaseModel):
    """One run of a sweep.

    Attributes:
        run: path of the run's folder below the run directory.
        values: the run's place on each axis, by configuration key.
        steps: what is run one after the other, each as the words after ``seqrl``: a training, then plans.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    values: dict[str, str]
    steps: tuple[Words, ...] = Field(min_length=1)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.rpartition("/")[2]


class SweepRecord(BaseModel):
    """The content of sweep.json.

    Attributes:
        name: name of the sweep.
        seqrl: version that wrote it.
        threads: CPU threads of each member; bits depend on it.
        axes: values by configuration key.
        data: commands that make the datasets, before any member starts.
        members: the runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str
    seqrl: str
    threads: int = Field(ge=1)
    axes: dict[str, tuple[str, ...]]
    data: tuple[Words, ...] = ()
    members: tuple[SweepMember, ...] = Field(min_length=1)


@dataclass(frozen=True)
class SweepFolder:
    """A sweep's folder."""

    path: Path

    @property
    def record(self) -> Path:
        """The record."""
        return self.path / "sweep.json"

    @property
    def logs(self) -> Path:
        """What the members print."""
        return self.path / "logs"

    def script(self, system: str) -> Path:
        """The script of a job array."""
        return self.path / f"{system}.sh"

    def log(self, index: int, name: str) -> Path:
        """What one member prints."""
        return self.logs / f"{index:03d}-{name}.log"

    def holder(self, index: int, name: str) -> Path:
        """The file that names the process running one member, locked while it runs."""
        return self.logs / f".{index:03d}-{name}.holder"


def sweep_folder(store: RunStore, name: str) -> SweepFolder:
    """The folder of a sweep, by its name."""
    return SweepFolder(store.root / FOLDER / name)


def write_sweep(folder: SweepFolder, record: SweepRecord) -> None:
    """Write sweep.json, if its content changes."""
    if not folder.record.exists() or read_sweep(folder) != record:
        make_folder(folder.logs)
        write_json_atomic(folder.record, record.model_dump(mode="json"))


def read_sweep(folder: SweepFolder) -> SweepRecord:
    """Read sweep.json.

    Raises:
        SeqrlError: the file is missing, damaged, foreign, of a newer schema, or names a folder elsewhere or a command
            that no sweep has.
    """
    try:
        values = read_json(folder.record)
        refuse_newer_schema(folder.record, values, SCHEMA_VERSION)
        record = SweepRecord.model_validate(values)
    except FileNotFoundError as error:
        raise SeqrlError(f"{folder.path} is not a sweep: it has no sweep.json", "`seqrl sweep` makes one") from error
    except ValidationError as error:
        raise SeqrlError(f"{folder.record} is not the record of a sweep", _HINT) from error
    except (OSError, ValueError) as error:
        raise SeqrlError(f"{folder.record} is damaged", _HINT) from error
    if wrong := [member.run for member in record.members if not stays_below(member.run)]:
        raise SeqrlError(f"{folder.record} names {wrong[0]!r}, which is not a folder in a run directory", _HINT)
    if foreign := [words for member in record.members for words in member.steps if not _is_a_members(words)]:
        message = f"{folder.record} has the command {' '.join(foreign[0])[:120]!r}, which no sweep has"
        raise SeqrlError(message, _HINT)
    return record


def _is_a_members(words: Words) -> bool:
    """Whether a command could be written by us: it trains or plans one thing, and reaches nothing else.

    The file may come from elsewhere, and its commands are run.
    """
    if len(words) < 2 or words[0] not in _OPTIONS or words[1].startswith("-") or _IS_SETTING.match(words[1]):
        return False
    left = list(words[2:])
    while left:
        word = left.pop(0)
        if word in _OPTIONS[words[0]] and left:
            left.pop(0)
        elif word.startswith("-") or not _SETTING.match(word):
            return False
    return True


def sweep_names(store: RunStore) -> list[str]:
    """The sweeps of a run directory."""
    return sorted(path.parent.name for path in (store.root / FOLDER).glob("*/sweep.json"))


def sweeps_with(store: RunStore, run: str) -> list[str]:
    """The sweeps that have a run as a member, by its path below the run directory; damaged records are passed over."""
    found = []
    for name in sweep_names(store):
        with suppress(SeqrlError):
            if any(member.run == run for member in read_sweep(sweep_folder(store, name)).members):
                found.append(name)
    return found


def is_sweep(store: RunStore, name: str) -> bool:
    """Whether a name, or a path below the run directory, is that of a sweep."""
    return _named(store, name) is not None


def is_group(store: RunStore, name: str) -> bool:
    """Whether a name where one run is expected is that of a sweep, and not of a run or a folder too."""
    if any((folder / name / "run.json").exists() for folder in (Path(), store.root)):
        return False
    return is_sweep(store, name) and not any(run.path.name == name for run, _ in store.runs())


def find_sweep(store: RunStore, name: str) -> SweepFolder:
    """The sweep that a user names.

    Raises:
        SeqrlError: there is none of this name; the nearest is offered.
    """
    if folder := _named(store, name):
        return folder
    known = sweep_names(store)
    close = nearest(name, known)
    listed = f"there are {', '.join(known)}" if known else "`seqrl sweep DATASET --seeds 1-4` makes one"
    raise SeqrlError(f"no sweep {name!r} in {store.root}", f"did you mean {close!r}?" if close else listed)


def runs_of_sweep(store: RunStore, name: str) -> list[tuple[RunFolder, SweepMember]]:
    """The runs of a sweep that exist, with their members.

    Raises:
        SeqrlError: there is no such sweep, or none of its runs exists yet.
    """
    folder = find_sweep(store, name)
    members = read_sweep(folder).members
    found = existing_runs(store, members)
    if not found:
        raise SeqrlError(f"the sweep {name} has no run yet", f"`seqrl sweep status {folder.path.name}` shows its state")
    return found


def existing_runs(store: RunStore, members: Sequence[SweepMember]) -> list[tuple[RunFolder, SweepMember]]:
    """The runs of some members that have a record."""
    runs = [(RunFolder(store.root / member.run), member) for member in members]
    return [(run, member) for run, member in runs if run.record.exists()]


def _named(store: RunStore, name: str) -> SweepFolder | None:
    candidates = [store.root / FOLDER / name] if stays_below(name) and "/" not in name else []
    folders = (SweepFolder(path) for path in (*candidates, Path(name), store.root / name))
    return next((folder for folder in folders if folder.record.is_file()), None)
