"""LoRA in the format of peft: a folder with ``adapter_config.json`` and ``adapter_model.safetensors``."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import make_folder, write_bytes_atomic, write_json_atomic
from seqrl_cli.files.json_fields import JsonFieldError, count_field, number_field, read_object
from seqrl_cli.files.regular import read_bytes
from seqrl_cli.models.adapters import AdapterSet, LoRASpec, attach
from seqrl_cli.models.adapters.low_rank import LowRank

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_MAX_BYTES = 1 << 36
_MAX_NAME = 1000
_UNSUPPORTED = ("use_dora", "modules_to_save", "fan_in_fan_out")


def write_peft_folder(folder: Path, adapters: AdapterSet, member: int, base: str) -> None:
    """Write one member for peft.

    Where several parts of one layer are adapted, their matrices become one of the sum of their ranks.

    Args:
        folder: the folder, which is made if missing.
        adapters: the adapters, of LoRA.
        member: number of the member to write.
        base: name of the base model, for the reader.

    Raises:
        SeqrlError: peft has no such adapter, or the folder cannot be written.
    """
    spec = adapters.spec
    if not isinstance(spec, LoRASpec) or "feed-forward-output" in spec.targets:
        what = "feed-forward-output" if isinstance(spec, LoRASpec) else spec.kind
        message = f"peft has no adapter like {what}"
        raise SeqrlError(message, "export one of LoRA at the inputs of linear layers")
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for name, layer in adapters.layers.items():
        found = [
            adapter.matrices(member) for adapter in layer.named_adapters().values() if isinstance(adapter, LowRank)
        ]
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = torch.cat([down for down, _ in found]).cpu().contiguous()
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = torch.cat([up for _, up in found], dim=1).cpu().contiguous()
        ranks[name] = spec.rank * len(found)
    make_folder(folder)
    write_bytes_atomic(folder / WEIGHTS_FILE, save(tensors, {"format": "pt"}))
    write_json_atomic(folder / CONFIG_FILE, _config(spec, ranks, base))


def _config(spec: LoRASpec, ranks: dict[str, int], base: str) -> dict[str, Any]:
    """The configuration; alpha grows with a layer's rank, because peft divides by it."""
    others = {name: rank for name, rank in ranks.items() if rank != spec.rank}
    return {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": spec.rank,
        "lora_alpha": spec.alpha,
        "lora_dropout": spec.dropout,
        "target_modules": list(ranks),
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "rank_pattern": others,
        "alpha_pattern": {name: spec.alpha * rank / spec.rank for name, rank in others.items()},
        "inference_mode": True,
        "task_type": None,
    }


def named_base(folder: Path) -> str | None:
    """The base model that a folder names; None if it names none.

    Raises:
        SeqrlError: the folder's configuration cannot be read.
    """
    try:
        named = read_object(folder / CONFIG_FILE).get("base_model_name_or_path")
    except JsonFieldError as error:
        raise SeqrlError(f"{folder / CONFIG_FILE} describes no adapter: {error}", "copy the folder again") from error
    return named[:_MAX_NAME] if isinstance(named, str) and named else None


def attach_peft_folder(folder: Path, model: nn.Module) -> AdapterSet:
    """Put an adapter of peft into a model whose layers have the same names and sizes, as its only member.

    Layers of smaller ranks than others are filled up with zeros, and layers of another alpha are multiplied, so that
    all have one rank and alpha.

    Raises:
        SeqrlError: the folder is damaged, or contains another kind of adapter, or one that does not fit.
    """
    spec, matrices, ranks = _read(folder)
    for layer, (down, up) in matrices.items():
        found = dict(model.named_modules()).get(layer)
        if not isinstance(found, nn.Linear):
            raise SeqrlError(
                f"{folder} adapts {layer[:80]}, a layer that this model does not have", "name its base model"
            )
        expected = ((ranks[layer], found.in_features), (found.out_features, ranks[layer]))
        if (tuple(down.shape), tuple(up.shape)) != expected:
            shapes = f"{tuple(down.shape)} and {tuple(up.shape)}, not {expected[0]} and {expected[1]}"
            raise SeqrlError(f"{folder} has matrices for {layer} of the shapes {shapes}", "name its base model")
    adapters = attach(model, spec, 1, torch.Generator())
    for name, layer_ in adapters.layers.items():
        (last,) = layer_.named_adapters()
        down, up = (_filled(one, spec.rank, dim) for dim, one in enumerate(matrices[name]))
        state = {f"0.{name}.{last}.down": down, f"0.{name}.{last}.up": up}
        own = dict(adapters.named_parameters(0))
        with torch.no_grad():
            for key, tensor in state.items():
                own[key].copy_(tensor)
    return adapters


def _filled(matrix: Tensor, rank: int, dim: int) -> Tensor:
    """A matrix with zeros up to ``rank`` in a dimension."""
    missing = rank - matrix.shape[dim]
    return functional.pad(matrix, (0, 0, 0, missing) if dim == 0 else (0, missing))


def _read(folder: Path) -> tuple[LoRASpec, dict[str, tuple[Tensor, Tensor]], dict[str, int]]:
    """What a folder contains: settings, and the two matrices and the rank of each layer."""
    try:
        config = read_object(folder / CONFIG_FILE)
        rank, alpha = count_field(config, "r"), number_field(config, "lora_alpha")
        dropout = number_field(config, "lora_dropout") if "lora_dropout" in config else 0.0
        patterns = {key: _pattern(config, key) for key in ("rank_pattern", "alpha_pattern")}
    except JsonFieldError as error:
        raise SeqrlError(f"{folder / CONFIG_FILE} describes no adapter: {error}", "copy the folder again") from error
    kind = str(config.get("peft_type"))[:40]
    odd = [key for key in _UNSUPPORTED if config.get(key)]
    if kind != "LORA" or odd or config.get("bias", "none") != "none":
        what = f"{', '.join(odd) or 'bias'} set" if kind == "LORA" else f"the adapter {kind}"
        raise SeqrlError(f"{folder} has {what}, which seqrl cannot read", "import a plain LoRA")
    matrices = _matrices(folder)
    ranks = {layer: int(_of_layer(patterns["rank_pattern"], layer, rank)) for layer in matrices}
    largest = max([rank, *ranks.values()])
    power = 0.5 if config.get("use_rslora") else 1.0
    scale = alpha / max(rank, 1) ** power
    for layer, (down, up) in matrices.items():
        own = _of_layer(patterns["alpha_pattern"], layer, alpha) / max(ranks[layer], 1) ** power
        matrices[layer] = down, up * (own / scale) if scale and own != scale else up
    return LoRASpec(largest, scale * largest, dropout, tuple(matrices)), matrices, ranks


def _pattern(config: dict[str, Any], key: str) -> dict[str, float]:
    """Numbers of layers that differ from the rest, by the ends of their names.

    Raises:
        JsonFieldError: they are not numbers by names; peft also takes regular expressions, which seqrl does not run.
    """
    values = config.get(key) or {}
    if not isinstance(values, dict) or not all(re.fullmatch(r"[\w.]+", name) for name in values):
        raise JsonFieldError(f"its {key} is not a list of numbers by names of layers")
    return {name: number_field(values, name) for name in values}


def _of_layer(pattern: dict[str, float], layer: str, default: float) -> float:
    """The first number whose name is a layer's, or its last parts; as peft reads such names."""
    return next((value for name, value in pattern.items() if f".{layer}".endswith(f".{name}")), default)


def _matrices(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    path = folder / WEIGHTS_FILE
    try:
        tensors = load(read_bytes(path, _MAX_BYTES))
    except (OSError, SafetensorError) as error:
        raise SeqrlError(f"{path} cannot be read: {error}", "copy the folder again") from error
    found: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        layer, _, matrix = name.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".")
        if matrix not in ("lora_A", "lora_B"):
            raise SeqrlError(f"{path} contains {name[:80]}, which belongs to no LoRA", "import a plain LoRA")
        found[layer][matrix] = tensor
    for layer, own in found.items():
        if len(own) != 2:
            raise SeqrlError(f"{path} has only one matrix for {layer[:80]}", "copy the folder again")
    return {layer: (own["lora_A"], own["lora_B"]) for layer, own in found.items()}
