"""Detect which project's checkpoint a folder contains."""

from __future__ import annotations

from pathlib import Path

from seqrl_cli.errors import SeqrlError
from seqrl_cli.interop import faster_trajectory_transformer, trajectory_transformer_folder
from seqrl_cli.interop.checkpoint import ForeignCheckpoint

_HINT = (
    "a Trajectory Transformer or RetNet has model_config.pkl, data_config.pkl and state_*.pt, "
    "a Faster Trajectory Transformer config.yaml, discretizer.pt and model_last.pt"
)


def read_checkpoint_folder(path: Path, epoch: int | None = None) -> ForeignCheckpoint:
    """Read a checkpoint of any supported project.

    Args:
        path: the folder.
        epoch: the epoch of the weights; None = the newest.

    Raises:
        SeqrlError: there is no such folder or checkpoint, or it is incomplete or damaged.
        RefusedFileError: a file contains anything but the data of such a checkpoint.
    """
    if path.is_file():
        raise SeqrlError(f"{path} is a file, and a checkpoint is a folder", f"seqrl import {path.parent}")
    if not path.is_dir():
        raise SeqrlError(f"there is no folder {path}", "check the path")
    for project in (trajectory_transformer_folder, faster_trajectory_transformer):
        if project.matches(path):
            return project.read_folder(path, epoch)
    raise SeqrlError(f"{path} contains no checkpoint that seqrl knows", _HINT)
