"""``run.json``: what ran, from which source code, with which versions, and how it ended."""

from __future__ import annotations

import json
import platform
import socket
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from seqrl_cli import __version__
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.atomic import write_json_atomic

SCHEMA_VERSION = 1
_PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "h5py", "safetensors")

Status = Literal["running", "interrupted", "finished", "failed"]


class RunRecord(BaseModel):
    """The content of run.json.

    Attributes:
        tokens_fingerprint: hash of the training data: tokens, or a policy's episodes.
        return_range: worst and best return of a policy's episodes.
        parent: the run that this one was made from.
        online_seed: seed of the fine-tuning; ``seed`` is that of the pretraining.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    dataset: str
    env_id: str | None
    arch: str
    name: str
    seed: int
    status: Status
    argv: list[str]
    git: dict[str, Any]
    versions: dict[str, str]
    host: str
    device: str
    threads: int
    parameters: int
    tokens_fingerprint: str
    return_range: tuple[float, float] | None = None
    parent: str | None = None
    online_seed: int | None = None
    created: str
    updated: str


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


def write_record(path: Path, record: RunRecord) -> RunRecord:
    """Write run.json with a fresh ``updated`` time and return what was written."""
    record = record.model_copy(update={"updated": now()})
    write_json_atomic(path, record.model_dump())
    return record


def read_record(path: Path) -> RunRecord:
    """Read run.json.

    Raises:
        SeqrlError: the file is missing, damaged, foreign, or of a newer schema.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SeqrlError(f"{path.parent} is not a run: it has no run.json", "`seqrl runs` lists the runs") from error
    except (OSError, ValueError, RecursionError) as error:  # not text, not JSON, or a number with too many digits
        raise SeqrlError(f"{path} is damaged", "train again with --force, or remove the folder") from error
    refuse_newer_schema(path, values)
    try:
        return RunRecord.model_validate(values)
    except ValidationError as error:
        raise SeqrlError(f"{path} is not a run record of seqrl", "`seqrl runs` lists the runs") from error


def refuse_newer_schema(path: Path, values: Any) -> None:
    """Stop at a file that a newer seqrl wrote.

    Raises:
        SeqrlError: ``values["schema_version"]`` is larger than this version's.
    """
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        message = f"{path} was written by a newer seqrl (schema {version}; this one reads up to {SCHEMA_VERSION})"
        raise SeqrlError(message, "upgrade: pip install --upgrade seqrl")


def versions() -> dict[str, str]:
    """Versions of Python, seqrl and the packages that decide the numbers."""
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
