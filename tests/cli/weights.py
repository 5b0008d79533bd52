"""The weights of runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def weights(run: Path) -> dict[str, np.ndarray]:
    newest = (run / "checkpoints/last").read_text().strip()
    return load_file(run / "checkpoints" / newest / "model.safetensors")


def same_weights(one: Path, two: Path) -> bool:
    ours, theirs = weights(one), weights(two)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)
