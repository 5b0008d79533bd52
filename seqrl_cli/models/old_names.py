"""Names that tensors had in checkpoints of earlier versions, turned into those of today."""

from __future__ import annotations

from torch import Tensor

PROJECTIONS = ("query", "key", "value")


def current_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names that models give them now.

    - ``qkv``, one matrix, is now ``query``, ``key`` and ``value``, which are its rows;
    - ``units`` is now ``normalizer``.

    Args:
        tensors: a state dict, or the moments of an optimizer. These belong to single numbers, so they are split like
            the parameters; a count of steps holds for all three.
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
