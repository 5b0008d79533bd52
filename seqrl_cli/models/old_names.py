"""Renames the tensors of checkpoints that earlier versions wrote."""

from __future__ import annotations

from torch import Tensor

PROJECTIONS = ("query", "key", "value")


def current_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under their current names.

    - ``qkv``, one matrix, was split into ``query``, ``key`` and ``value``;
    - ``units`` is now ``normalizer``.

    Args:
        tensors: a state dict, or an optimizer's moments, which are split like the parameters; all three parts get the
            same step count.
    """
    current = {}
    for name, tensor in tensors.items():
        before, joined, after = name.partition(".qkv.")
        if joined:
            parts = tensor.chunk(3) if tensor.dim() else [tensor] * 3
            for projection, part in zip(PROJECTIONS, parts, strict=True):
                current[f"{before}.{projection}.{after}"] = part.clone()
        elif name.startswith("units."):
            current[f"normalizer.{name.removeprefix('units.')}"] = tensor
        else:
            current[name] = tensor
    return current
