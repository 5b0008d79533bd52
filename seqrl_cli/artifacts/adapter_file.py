"""Saved adapters: one safetensors file with the adapter's tensors alone, which names its base model by hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import write_bytes_atomic
from seqrl_cli.files.json_text import parse_json
from seqrl_cli.files.regular import read_bytes
from seqrl_cli.models.adapters import AdapterSet, Spec, attach, spec_from, spec_settings
from seqrl_cli.models.adapters.adapter_set import base_weights
from seqrl_cli.runs.record import BaseRecord

SCHEMA_VERSION = 1
MAX_BYTES = 1 << 36
_KEY = "seqrl-adapter"  # in the file's metadata
_EXTRA = "extra."
_BASE = {"run": str, "step": int, "sha256": str}


@dataclass(frozen=True)
class SavedAdapter:
    """The contents of a file.

    Attributes:
        path: path of the file.
        spec: specification of every member.
        pool: number of members.
        base: the model that the adapter belongs to.
        tensors: the tensors of all members.
        extra: other tensors that were saved with them, such as keys.
    """

    path: Path
    spec: Spec
    pool: int
    base: BaseRecord
    tensors: dict[str, Tensor]
    extra: dict[str, Tensor] = field(default_factory=dict)

    def attach(self, model: nn.Module) -> AdapterSet:
        """Put the adapter into its base model.

        Raises:
            SeqrlError: the model is another one, or has been trained further.
        """
        found = base_hash(model)
        if found != self.base.sha256:
            message = (
                f"{self.path} is an adapter of {self.base.run} at update {self.base.step:,}, whose weights "
                f"{self.base.sha256[:12]} are not those of this model, {found[:12]}"
            )
            hint = f"use it with checkpoint {self.base.step} of its own run, or train the adapter again"
            raise SeqrlError(message, hint)
        adapters = attach(model, self.spec, self.pool, torch.Generator())
        adapters.load_state_dict(self.tensors)
        return adapters


def base_hash(model: nn.Module) -> str:
    """The hash of a model's own weights and buffers, whether it has adapters or not."""
    return tensors_hash(base_weights(model))


def write_adapter(
    path: Path, adapters: AdapterSet, base: BaseRecord, extra: Mapping[str, Tensor] | None = None
) -> None:
    """Write a file, completely or not at all.

    Args:
        path: path that ends in ``.safetensors``.
        adapters: the adapters, all of whose members are saved.
        base: the model they belong to.
        extra: other tensors to save with them.

    Raises:
        SeqrlError: the file cannot be written.
    """
    others = {_EXTRA + name: tensor for name, tensor in (extra or {}).items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in {**adapters.state_dict(), **others}.items()}
    facts = {
        "schema_version": SCHEMA_VERSION,
        "spec": spec_settings(adapters.spec),
        "pool": adapters.pool,
        "base": base.model_dump(),
        "tensors_sha256": tensors_hash(tensors),
    }
    write_bytes_atomic(path, save(tensors, {_KEY: json.dumps(facts)}))


def read_adapter(path: Path) -> SavedAdapter:
    """Read a file.

    Raises:
        SeqrlError: it is missing or damaged, or was written by a newer version.
    """
    try:
        content = read_bytes(path, MAX_BYTES)
        tensors = load(content)
        facts = parse_json(stated_metadata(content).get(_KEY, "null"))
    except FileNotFoundError as error:
        raise SeqrlError(f"there is no adapter {path}", "name another file") from error
    except (OSError, SafetensorError, ValueError) as error:
        raise _damaged(path, "cannot be read") from error
    if not isinstance(facts, dict):
        hint = "an adapter of peft is imported: seqrl import FOLDER"
        raise SeqrlError(f"{path} contains no adapter of seqrl", hint)
    if (version := _entry(path, facts, "schema_version", int)) > SCHEMA_VERSION:
        raise SeqrlError(f"{path} has schema version {version}, newer than {SCHEMA_VERSION}", "upgrade seqrl")
    if _entry(path, facts, "tensors_sha256", str) != tensors_hash(tensors):
        raise _damaged(path, "does not match its own hash")
    base = _entry(path, facts, "base", dict)
    return SavedAdapter(
        path,
        spec_from(_entry(path, facts, "spec", dict), path),
        _entry(path, facts, "pool", int),
        BaseRecord(**{name: _entry(path, base, name, kind) for name, kind in _BASE.items()}),
        {name: tensor for name, tensor in tensors.items() if not name.startswith(_EXTRA)},
        {name.removeprefix(_EXTRA): tensor for name, tensor in tensors.items() if name.startswith(_EXTRA)},
    )


def stated_metadata(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file that safetensors has read; empty if it has none.

    Args:
        content: the whole file: the size of a header, 8 bytes; the header, JSON; the tensors.
    """
    return parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__") or {}


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, types, shapes and numbers, whatever their order and device."""
    known = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        known.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        known.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return known.hexdigest()


def _entry(path: Path, values: dict[str, Any], key: str, kind: type) -> Any:
    """``values[key]``, which must be of the given type."""
    if type(values.get(key)) is not kind:
        raise _damaged(path, f"has no valid {key}")
    return values[key]


def _damaged(path: Path, what: str) -> SeqrlError:
    return SeqrlError(f"the adapter {path} is damaged: it {what}", "train it again, or copy it again")
