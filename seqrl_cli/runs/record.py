"""``run.json``: what ran, from which source code, with which versions, and how it ended."""

from __future__ import annotations

import platform
import socket
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, computed_field

from seqrl_cli import __version__
from seqrl_cli.console import public_words
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import write_json_atomic
from seqrl_cli.files.json_text import read_json
from seqrl_cli.files.regular import NotRegularError, TooLargeError
from seqrl_cli.runs.layout import mixture_name, stays_below

SCHEMA_VERSION = 2
_PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "h5py", "safetensors")

Status = Literal["running", "interrupted", "finished", "failed"]
CommandWords = Annotated[list[str], AfterValidator(public_words)]
"""A command line, without the passwords that it had: run directories are shared."""


class TaskRecord(BaseModel):
    """What a model for many tasks needs to know about one of them, in training and in play.

    Attributes:
        dataset: id of its dataset, which is also its name.
        env_id: gymnasium id of its environment.
        input: name of the model's encoder that reads its observations; tasks of one domain share one.
        body: what is standardized alike: tasks of one body observe the same numbers in the same places.
        shape: shape of an observation.
        action_dim: numbers per action; 1 for a discrete choice.
        choices: number of discrete choices; None if actions are continuous.
        action_low: bounds of continuous actions, which the model scales to [-1, 1]; empty for choices.
        action_high: see ``action_low``.
        reward_scale: divisor of rewards and returns.
        best_return: highest return of an episode in the data.
        worst_return: lowest return of an episode in the data.
        mean_return: mean return of the episodes in the data; None in records of earlier versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    env_id: str
    input: str
    body: str
    shape: tuple[int, ...]
    action_dim: int
    choices: int | None
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    reward_scale: float
    best_return: float
    worst_return: float
    mean_return: float | None = None


class BaseRecord(BaseModel):
    """The model that a run fine-tuned.

    Attributes:
        run: path of the run's folder below the run directory, such as ``sim/hopper-medium/dt-s42``.
        step: updates of the run's checkpoint.
        sha256: hash of the checkpoint's weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    step: int
    sha256: str


class RunRecord(BaseModel):
    """The content of run.json.

    Attributes:
        datasets: ids of the datasets that it was trained on; records of schema 1 name one, ``dataset``.
        tokens_fingerprint: hash of the training data: tokens, or a policy's episodes.
        return_range: worst and best return of a policy's episodes.
        suite: name of the suite or suites that the datasets came from; None if they were named one by one.
        tasks: facts about the tasks of a model for many tasks; empty for other models.
        parent: the run that this one was fine-tuned from online.
        base: the model that this run fine-tuned offline; None for other runs.
        ranks: processes that trained it together.
        heard: when it last gave a heartbeat while it ran; None in a record of a run that has ended.
        online_seed: seed of the fine-tuning; ``seed`` is that of the pretraining.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    datasets: tuple[str, ...] = Field(min_length=1)
    env_id: str | None
    arch: str
    name: str
    seed: int
    status: Status
    argv: CommandWords
    git: dict[str, Any]
    versions: dict[str, str]
    host: str
    device: str
    threads: int
    parameters: int
    tokens_fingerprint: str
    return_range: tuple[float, float] | None = None
    suite: str | None = None
    tasks: tuple[TaskRecord, ...] = ()
    parent: str | None = None
    online_seed: int | None = None
    base: BaseRecord | None = None
    ranks: int = 1
    heard: str | None = None
    created: str
    updated: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dataset(self) -> str:
        """The name of its dataset, of its suite, or of the mixture of its datasets."""
        return self.suite or mixture_name(self.datasets)


def now() -> str:
    """UTC time to the microsecond, ISO 8601; it sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def new_record(**facts: Any) -> RunRecord:
    """A record of this process: source revision, versions, host and time are filled in.

    Args:
        **facts: every other field of ``RunRecord``; ``created`` may be given for a run that resumes.
    """
    surroundings = {"git": git_state(), "versions": versions(), "host": host(), "created": now(), "updated": now()}
    return RunRecord.model_validate({**surroundings, **facts})


def write_record(path: Path, record: RunRecord, *, fresh: bool = True) -> RunRecord:
    """Write run.json and return what was written.

    Args:
        path: the file.
        record: the content to write.
        fresh: whether ``updated`` becomes the present time; not for a new name, which makes no run the latest.
    """
    if fresh:
        record = record.model_copy(update={"updated": now()})
    write_json_atomic(path, record.model_dump())
    return record


def write_heartbeat(path: Path, record: RunRecord, time: str) -> None:
    """Write run.json with the time at which the run was last heard; ``updated`` stays, since runs are sorted by it."""
    write_json_atomic(path, record.model_copy(update={"heard": time}).model_dump())


def read_record(path: Path) -> RunRecord:
    """Read run.json.

    Raises:
        SeqrlError: the file is missing, damaged, foreign, of a newer schema, or names a folder elsewhere.
    """
    try:
        values = read_json(path)
    except FileNotFoundError as error:
        raise SeqrlError(f"{path.parent} is not a run: it has no run.json", "`seqrl runs` lists the runs") from error
    except (NotRegularError, TooLargeError, ValueError) as error:  # not text or not JSON
        raise SeqrlError(f"{path} is damaged", "train again with --force, or remove the folder") from error
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror}", "check the permissions and the disk") from error
    refuse_newer_schema(path, values, SCHEMA_VERSION)
    try:
        record = RunRecord.model_validate(_of_this_schema(values))
    except ValidationError as error:
        raise SeqrlError(f"{path} is not a run record of seqrl", "`seqrl runs` lists the runs") from error
    _check_names(path, record)
    return record


def _check_names(path: Path, record: RunRecord) -> None:
    """Stop at a record whose dataset or parent would be looked for outside of the run directory.

    Raises:
        SeqrlError: it names such a folder.
    """
    wrong = [name for name in (*record.datasets, record.dataset) if not stays_below(name)]
    if record.parent is not None and ("/" in record.parent or not stays_below(record.parent)):
        wrong.append(record.parent)
    if record.base is not None and not stays_below(record.base.run):
        wrong.append(record.base.run)
    if wrong:
        message = f"{path} names {wrong[0]!r}, which is no folder's name in a run directory"
        raise SeqrlError(message, "copy the run again, or remove its folder")


def _of_this_schema(values: Any) -> Any:
    """A record's values in the current schema; schema 1 names one dataset in place of a list."""
    if not isinstance(values, dict) or "dataset" not in values:
        return values
    own = {name: value for name, value in values.items() if name != "dataset"}
    if values.get("schema_version") == 1:
        own |= {"schema_version": SCHEMA_VERSION, "datasets": [values["dataset"]]}
    return own


def refuse_newer_schema(path: Path, values: Any, newest: int) -> None:
    """Stop at a file that a newer seqrl wrote.

    Args:
        path: the file.
        values: the file's content.
        newest: the newest schema version that this seqrl reads.

    Raises:
        SeqrlError: ``values["schema_version"]`` is larger.
    """
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > newest:
        message = f"{path} was written by a newer seqrl (schema {version}; this one reads up to {newest})"
        raise SeqrlError(message, "upgrade: pip install --upgrade seqrl")


def versions() -> dict[str, str]:
    """Versions of Python, seqrl and the packages that affect the numbers."""
    found = {"python": platform.python_version(), "seqrl": __version__}
    for package in _PACKAGES:
        found[package] = metadata.version(package)
    return found


def host() -> str:
    """The machine's name."""
    return socket.gethostname()


def git_state() -> dict[str, Any]:
    """Revision of the program's own source checkout and whether it has changes; nulls for an installed package."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(here), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    tracked = git("ls-files", "--error-unmatch", Path(__file__).name)
    if not tracked:
        return {"revision": None, "dirty": None}
    return {"revision": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
