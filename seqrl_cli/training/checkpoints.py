"""Checkpoints that are there whole or not at all: a folder of safetensors and JSON for each saved step."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.old_names import current_names
from seqrl_cli.runs.atomic import fsync, make_folder, write_text_atomic, writing

T = TypeVar("T")

SCHEMA_VERSION = 2
"""2: query, key and value of a transformer block are three parameters; a policy's normalizer has that name."""

MODEL_FILE, OPTIMIZER_FILE, STATE_FILE, LAST_FILE = "model.safetensors", "optimizer.safetensors", "state.json", "last"


class DamagedCheckpointError(SeqrlError):
    """A file of a checkpoint is missing or not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that training needs to go on.

    Args:
        step: updates made.
        model: the model's state dict.
        optimizer: the optimizer's tensors by name.
        state: plain JSON values: counters, sampler and generator states.
    """

    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def step_folder(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return checkpoints / f"{step:08d}"


def saved_steps(checkpoints: Path) -> list[int]:
    """Steps that have a folder, ascending; whether their files are whole is for ``read_checkpoint`` to say."""
    if not checkpoints.is_dir():
        return []
    return sorted(int(folder.name) for folder in checkpoints.iterdir() if folder.name.isdecimal() and folder.is_dir())


def write_checkpoint(checkpoints: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint, point ``last`` at it, and remove all but the newest ``keep``.

    A kill at any moment leaves the earlier checkpoints whole: the files are written to a temporary folder, forced to
    the disk and renamed.

    Args:
        checkpoints: the run's ``checkpoints/``; made when absent.
        checkpoint: what to write.
        keep: checkpoints to keep, at least 1.

    Raises:
        SeqrlError: the disk is full, or the folder cannot be written.
    """
    assert keep >= 1
    make_folder(checkpoints)
    final = step_folder(checkpoints, checkpoint.step)
    with writing(final):
        _remove_leftovers(checkpoints)
        temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}-", suffix=".tmp", dir=checkpoints))
        try:
            _write_files(temporary, checkpoint)
            if final.exists():
                shutil.rmtree(final)
            temporary.rename(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        fsync(checkpoints)
    write_text_atomic(checkpoints / LAST_FILE, f"{final.name}\n")
    for step in saved_steps(checkpoints)[:-keep]:
        shutil.rmtree(step_folder(checkpoints, step), ignore_errors=True)
    return final


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read one checkpoint whole.

    Raises:
        DamagedCheckpointError: a file is missing or not what was written.
        SeqrlError: the checkpoint is of a newer version.
    """
    state = _read_state(folder)
    return Checkpoint(
        step=state["step"],
        model=_read_tensors(folder, MODEL_FILE, state["files"]),
        optimizer=_read_tensors(folder, OPTIMIZER_FILE, state["files"]),
        state=state["training"],
    )


def read_model(folder: Path) -> dict[str, Tensor]:
    """The model's state dict of one checkpoint, for those who do not go on training.

    Raises:
        DamagedCheckpointError: a file is missing or not what was written.
        SeqrlError: the checkpoint is of a newer version.
    """
    return _read_tensors(folder, MODEL_FILE, _read_state(folder)["files"])


def saved_states(checkpoints: Path) -> list[dict[str, Any]]:
    """What each kept checkpoint holds beside its tensors, oldest first; one whose state is damaged is left out."""
    states = []
    for step in saved_steps(checkpoints):
        with suppress(DamagedCheckpointError):
            states.append(_read_state(step_folder(checkpoints, step))["training"])
    return states


@contextmanager
def reading_state(checkpoints: Path, checkpoint: Checkpoint) -> Iterator[None]:
    """Tell what is wrong with a whole checkpoint whose training state lacks a key, or holds another kind of value.

    Raises:
        DamagedCheckpointError: the block failed on it.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        folder = step_folder(checkpoints, checkpoint.step)
        what = f"has no {error}" if isinstance(error, KeyError) else f"cannot be used: {error}"
        hint = "remove that folder to go on from the checkpoint before, or start again with --force"
        raise DamagedCheckpointError(f"checkpoint {folder} is damaged: its {STATE_FILE} {what}", hint) from error


def newest_checkpoint(checkpoints: Path, on_warning: Callable[[str], None] | None = None) -> Checkpoint | None:
    """The newest whole checkpoint; damaged ones are passed over with a warning.

    Args:
        checkpoints: the run's ``checkpoints/``.
        on_warning: told which checkpoints are damaged, how, and which one is used.

    Returns:
        None when nothing was ever saved.

    Raises:
        SeqrlError: there are checkpoints, but none is whole; or the newest is of a newer version.
    """
    found = _newest_whole(checkpoints, read_checkpoint, on_warning)
    return None if found is None else found[1]


def newest_model(
    checkpoints: Path, on_warning: Callable[[str], None] | None = None
) -> tuple[int, dict[str, Tensor]] | None:
    """Updates and state dict of the newest checkpoint whose model is whole, for those who do not go on training.

    Arguments, what is returned when nothing was saved, and errors are those of ``newest_checkpoint``.
    """
    return _newest_whole(checkpoints, read_model, on_warning)


def _newest_whole(
    checkpoints: Path, read: Callable[[Path], T], on_warning: Callable[[str], None] | None
) -> tuple[int, T] | None:
    """The step of the newest checkpoint that is whole, and what ``read`` makes of its folder.

    Damage alone is passed over: a checkpoint of a newer version is no reason to go back to an older one.
    """
    damaged: list[DamagedCheckpointError] = []
    for step in reversed(saved_steps(checkpoints)):
        try:
            found = read(step_folder(checkpoints, step))
        except DamagedCheckpointError as error:
            damaged.append(error)
            continue
        for passed_over in damaged:
            if on_warning:
                on_warning(f"{passed_over.message}; using the newest whole checkpoint, of update {step:,}")
        return step, found
    if damaged:
        message = f"no checkpoint in {checkpoints} is whole: {damaged[0].message}"
        raise SeqrlError(message, "start the run again with --force")
    return None


def _write_files(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the three files; ``state.json`` last, with the size and hash of the other two."""
    contents = {MODEL_FILE: save(_dense(checkpoint.model)), OPTIMIZER_FILE: save(_dense(checkpoint.optimizer))}
    files = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()}
    state = {
        "schema_version": SCHEMA_VERSION,
        "step": checkpoint.step,
        "files": files,
        "training": checkpoint.state,
    }
    contents[STATE_FILE] = json.dumps(state, indent=2).encode()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
        fsync(folder / name)
    folder.chmod(0o755)
    fsync(folder)


def _dense(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU and contiguous, as the file format wants them."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        state = json.loads((folder / STATE_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise _damaged(folder, STATE_FILE, "is missing or not whole") from error
    if not isinstance(state, dict):
        raise _damaged(folder, STATE_FILE, "does not hold one JSON object")
    # The version first: a newer one may hold other keys.
    version = _entry(folder, state, "schema_version", int)
    if version > SCHEMA_VERSION:
        raise SeqrlError(f"{folder} has schema version {version}, newer than {SCHEMA_VERSION}", "upgrade seqrl")
    _entry(folder, state, "step", int)
    _entry(folder, state, "training", dict)
    files = _entry(folder, state, "files", dict)
    for name in (MODEL_FILE, OPTIMIZER_FILE):
        _entry(folder, _entry(folder, files, name, dict), "sha256", str)
    return state


def _entry(folder: Path, values: dict[str, Any], key: str, kind: type) -> Any:
    """``values[key]``, when it is of the kind that was written."""
    if type(values.get(key)) is not kind:
        raise _damaged(folder, STATE_FILE, f"has no {key} as it was written")
    return values[key]


def _read_tensors(folder: Path, name: str, files: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of one file, under the names that version 2 has for them."""
    try:
        data = (folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != files[name]["sha256"]:
            raise _damaged(folder, name, f"does not have the contents that {STATE_FILE} records")
        return current_names(load(data))
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, name, "cannot be read") from error


def _damaged(folder: Path, name: str, what: str) -> DamagedCheckpointError:
    hint = "the command that made the run, given again, goes on from the checkpoint before"
    return DamagedCheckpointError(f"checkpoint {folder} is damaged: {name} {what}", hint)


def _remove_leftovers(checkpoints: Path) -> None:
    """Remove temporary folders that a killed process left behind; the run's lock says that no other is writing."""
    for leftover in checkpoints.glob(".*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
