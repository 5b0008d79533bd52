"""Checkpoints: one folder of safetensors and JSON per saved step, written whole or not at all."""

from __future__ import annotations

import copy
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
from seqrl_cli.files.atomic import fsync, make_folder, require_folder, write_text_atomic, writing
from seqrl_cli.files.json_fields import JsonFieldError
from seqrl_cli.files.json_text import read_json
from seqrl_cli.files.regular import contains, read_bytes
from seqrl_cli.models.old_names import current_names
from seqrl_cli.training.best import Best, best_from, offer, read_best
from seqrl_cli.training.checkpoint_folders import saved_steps, step_folder

T = TypeVar("T")

MAX_TENSOR_BYTES = 64 * 2**30
SCHEMA_VERSION = 2
"""Since version 2, query, key and value of a transformer block are three parameters, and policies have a normalizer."""

OPTIMIZER_STATE_BYTES = 2 * 4
"""Bytes per trainable weight beside the weight itself: AdamW's two moments, float32."""

MODEL_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
LAST_FILE = "last"
_REPLACED = ".replaced"

WRONG_STATE = (JsonFieldError, KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""What trainers raise, beside SeqrlError, when they restore a training state with a wrong value."""


class DamagedCheckpointError(SeqrlError):
    """A file of a checkpoint is missing or damaged."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that training needs to resume.

    Attributes:
        step: updates made.
        model: the model's state dict.
        optimizer: the optimizer's tensors, by name.
        state: plain JSON values: counters, and the states of the sampler and the generators.
    """

    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def copy_of(checkpoint: Checkpoint) -> Checkpoint:
    """A copy on the CPU, which the next update leaves as it is."""
    model, optimizer = (
        {name: tensor.detach().to("cpu", copy=True) for name, tensor in part.items()}
        for part in (checkpoint.model, checkpoint.optimizer)
    )
    return Checkpoint(checkpoint.step, model, optimizer, copy.deepcopy(checkpoint.state))


def write_checkpoint(checkpoints: Path, checkpoint: Checkpoint, keep: int, judgement: Best | None = None) -> Path:
    """Write a checkpoint, point ``last`` at it, and remove all but the newest ``keep`` and the best.

    A kill at any time leaves the earlier checkpoints whole: the files are written to a temporary folder, forced to the
    disk and renamed.

    Args:
        checkpoints: the run's ``checkpoints/``; created when absent.
        checkpoint: what to write.
        keep: newest checkpoints to keep, at least 1.
        judgement: what was measured of it; it becomes the best checkpoint if it is better than that.

    Raises:
        SeqrlError: the disk is full, the folder cannot be written, or the run's folder is gone.
    """
    assert keep >= 1
    require_folder(checkpoints.parent)
    make_folder(checkpoints)
    final = step_folder(checkpoints, checkpoint.step)
    with writing(final):
        temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}-", suffix=".tmp", dir=checkpoints))
        try:
            _write_files(temporary, checkpoint, judgement)
            _rename(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        fsync(checkpoints)
    offer(checkpoints, judgement)
    tidy(checkpoints, checkpoint.step, keep)
    return final


def settle_best(checkpoints: Path) -> None:
    """Name the best of the checkpoints, as a process would have done that was killed before it could."""
    for step in saved_steps(checkpoints):
        with suppress(DamagedCheckpointError):
            offer(checkpoints, best_from(_read_state(step_folder(checkpoints, step)).get("judgement")))


def tidy(checkpoints: Path, newest: int, keep: int) -> None:
    """Point ``last`` at the newest whole checkpoint, and remove what is older than the newest ``keep``, but the best.

    A run that resumes calls this too: the process that wrote its newest checkpoint may have been killed before.

    Args:
        checkpoints: the run's ``checkpoints/``.
        newest: step of the newest whole checkpoint; damaged ones of later steps are left, and are not counted.
        keep: see ``write_checkpoint``.

    Raises:
        SeqrlError: the folder cannot be written.
    """
    last, name = checkpoints / LAST_FILE, step_folder(checkpoints, newest).name
    if not contains(last, f"{name}\n".encode()):
        write_text_atomic(last, f"{name}\n")
    _remove_leftovers(checkpoints)
    best = read_best(checkpoints)
    for step in [step for step in saved_steps(checkpoints) if step <= newest][:-keep]:
        if best is not None and step == best.step:
            continue
        shutil.rmtree(step_folder(checkpoints, step), ignore_errors=True)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read all of one checkpoint.

    Raises:
        DamagedCheckpointError: a file is missing or damaged.
        SeqrlError: a newer version of seqrl wrote the checkpoint.
    """
    state = _read_state(folder)
    return Checkpoint(
        step=state["step"],
        model=_read_tensors(folder, MODEL_FILE, state["files"]),
        optimizer=_read_tensors(folder, OPTIMIZER_FILE, state["files"]),
        state=state["training"],
    )


def read_model(folder: Path) -> dict[str, Tensor]:
    """Read only the model's state dict of one checkpoint.

    Raises:
        DamagedCheckpointError: a file is missing or damaged.
        SeqrlError: a newer version of seqrl wrote the checkpoint.
    """
    return _read_tensors(folder, MODEL_FILE, _read_state(folder)["files"])


def weights_hash(checkpoints: Path, step: int) -> str | None:
    """The first 16 digits of the SHA-256 of a checkpoint's model; None if they cannot be read."""
    with suppress(SeqrlError):
        return str(_read_state(step_folder(checkpoints, step))["files"][MODEL_FILE]["sha256"])[:16]
    return None


def saved_states(checkpoints: Path) -> list[dict[str, Any]]:
    """The training state of each checkpoint, oldest first; a damaged one is left out."""
    states = []
    for step in saved_steps(checkpoints):
        with suppress(DamagedCheckpointError):
            states.append(_read_state(step_folder(checkpoints, step))["training"])
    return states


@contextmanager
def reading_state(checkpoints: Path, checkpoint: Checkpoint) -> Iterator[None]:
    """Around a block that uses a checkpoint's training state: report a missing key or a wrong value as damage.

    Raises:
        DamagedCheckpointError: the block raised an error about the state.
    """
    try:
        yield
    except WRONG_STATE as error:
        folder = step_folder(checkpoints, checkpoint.step)
        what = f"has no {error}" if isinstance(error, KeyError) else f"cannot be used: {error}"
        hint = "remove that folder to resume from the previous checkpoint, or start over with --force"
        raise DamagedCheckpointError(f"checkpoint {folder} is damaged: its {STATE_FILE} {what}", hint) from error


def newest_checkpoint(checkpoints: Path, on_warning: Callable[[str], None] | None = None) -> Checkpoint | None:
    """The newest whole checkpoint; damaged ones are skipped with a warning.

    Args:
        checkpoints: the run's ``checkpoints/``.
        on_warning: called for each damaged checkpoint, with the reason and the step that is used.

    Returns:
        None if nothing was saved.

    Raises:
        SeqrlError: there are checkpoints, but none is whole; or a newer version of seqrl wrote the newest.
    """
    found = _newest_whole(checkpoints, read_checkpoint, on_warning)
    return None if found is None else found[1]


def checkpoint_to_resume(checkpoints: Path, on_warning: Callable[[str], None] | None = None) -> Checkpoint | None:
    """What ``newest_checkpoint`` finds, for a process that holds the run's lock.

    A checkpoint that was being replaced when a process was killed is brought back before.
    """
    for replaced in checkpoints.glob(f".*{_REPLACED}"):
        final = checkpoints / replaced.name.removeprefix(".").removesuffix(_REPLACED)
        if not final.exists():
            with writing(final):
                replaced.rename(final)
    return newest_checkpoint(checkpoints, on_warning)


def newest_model(
    checkpoints: Path, on_warning: Callable[[str], None] | None = None
) -> tuple[int, dict[str, Tensor]] | None:
    """The step and the model's state dict of the newest checkpoint whose model is whole.

    Arguments and errors are those of ``newest_checkpoint``, and so is None if nothing was saved.
    """
    return _newest_whole(checkpoints, read_model, on_warning)


def _newest_whole(
    checkpoints: Path, read: Callable[[Path], T], on_warning: Callable[[str], None] | None
) -> tuple[int, T] | None:
    """The step of the newest whole checkpoint, and what ``read`` returns for its folder.

    Only damage is skipped: a checkpoint that a newer version wrote is an error.
    """
    damaged: list[DamagedCheckpointError] = []
    for step in reversed(saved_steps(checkpoints)):
        try:
            found = read(step_folder(checkpoints, step))
        except DamagedCheckpointError as error:
            damaged.append(error)
            continue
        for skipped in damaged:
            if on_warning:
                on_warning(f"{skipped.message}; using the newest whole checkpoint, of update {step:,}")
        return step, found
    if damaged:
        message = f"no checkpoint in {checkpoints} is whole: {damaged[0].message}"
        raise SeqrlError(message, "start the run over with --force")
    return None


def _rename(temporary: Path, final: Path) -> None:
    """Give a checkpoint's folder its name; one that has this name already is removed after that."""
    replaced = final.with_name(f".{final.name}{_REPLACED}")
    shutil.rmtree(replaced, ignore_errors=True)
    if not final.exists():
        temporary.rename(final)
        return
    final.rename(replaced)
    try:
        temporary.rename(final)
    except BaseException:
        replaced.rename(final)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _write_files(folder: Path, checkpoint: Checkpoint, judgement: Best | None) -> None:
    """Write the three files, ``state.json`` last, which has the sizes and hashes of the other two."""
    contents = {MODEL_FILE: save(_dense(checkpoint.model)), OPTIMIZER_FILE: save(_dense(checkpoint.optimizer))}
    files = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()}
    state = {
        "schema_version": SCHEMA_VERSION,
        "step": checkpoint.step,
        "files": files,
        "training": checkpoint.state,
    }
    if judgement is not None:
        state["judgement"] = judgement.as_dict()
    contents[STATE_FILE] = json.dumps(state, indent=2).encode()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
        fsync(folder / name)
    folder.chmod(0o755)
    fsync(folder)


def _dense(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU and contiguous, as the file format requires."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        state = read_json(folder / STATE_FILE)
    except (OSError, ValueError) as error:
        raise _damaged(folder, STATE_FILE, "is missing or incomplete") from error
    if not isinstance(state, dict):
        raise _damaged(folder, STATE_FILE, "is not a JSON object")
    # the version first, since a newer one may have other keys
    version = _entry(folder, state, "schema_version", int)
    if version > SCHEMA_VERSION:
        raise SeqrlError(f"{folder} has schema version {version}, newer than {SCHEMA_VERSION}", "upgrade seqrl")
    if step_folder(folder.parent, _entry(folder, state, "step", int)) != folder:
        raise _damaged(folder, STATE_FILE, "is of another step")
    _entry(folder, state, "training", dict)
    files = _entry(folder, state, "files", dict)
    for name in (MODEL_FILE, OPTIMIZER_FILE):
        _entry(folder, _entry(folder, files, name, dict), "sha256", str)
    return state


def _entry(folder: Path, values: dict[str, Any], key: str, kind: type) -> Any:
    """``values[key]``, which must be of the given type."""
    if type(values.get(key)) is not kind:
        raise _damaged(folder, STATE_FILE, f"has no valid {key}")
    return values[key]


def _read_tensors(folder: Path, name: str, files: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of one file, under their current names."""
    try:
        data = read_bytes(folder / name, MAX_TENSOR_BYTES)
        if hashlib.sha256(data).hexdigest() != files[name]["sha256"]:
            raise _damaged(folder, name, f"does not match the hash in {STATE_FILE}")
        return current_names(load(data))
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, name, "cannot be read") from error


def _damaged(folder: Path, name: str, what: str) -> DamagedCheckpointError:
    hint = "run the same command again to resume from the previous checkpoint"
    return DamagedCheckpointError(f"checkpoint {folder} is damaged: {name} {what}", hint)


def _remove_leftovers(checkpoints: Path) -> None:
    """Remove temporary folders that a killed process left behind; the run's lock excludes other writers."""
    for pattern in (".*.tmp", f".*{_REPLACED}"):
        for leftover in checkpoints.glob(pattern):
            shutil.rmtree(leftover, ignore_errors=True)
