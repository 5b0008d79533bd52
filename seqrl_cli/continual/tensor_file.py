"""A file of tensors with a hash of its content, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from seqrl_cli.artifacts.adapter_file import stated_metadata, tensors_hash
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import write_bytes_atomic
from seqrl_cli.files.regular import read_bytes
from seqrl_cli.training.checkpoints import MAX_TENSOR_BYTES


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file whose metadata has the hash of its tensors."""
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes_atomic(path, save(dense, {"sha256": tensors_hash(dense)}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read what :func:`write_tensors` wrote.

    Raises:
        SeqrlError: the file is missing or damaged.
    """
    hint = "remove the stage's folder and those after it, and run the same command again"
    try:
        content = read_bytes(path, MAX_TENSOR_BYTES)
        tensors, stated = load(content), stated_metadata(content).get("sha256")
    except (OSError, SafetensorError, ValueError) as error:
        raise SeqrlError(f"{path} is missing or damaged", hint) from error
    if stated != tensors_hash(tensors):
        raise SeqrlError(f"{path} is damaged: its tensors do not match their hash", hint)
    return tensors
