"""Random queries, keys, values and state."""

from __future__ import annotations

import torch
from torch import Tensor

BATCH, HEADS, KEY_DIM, VALUE_DIM = 2, 3, 4, 5


def random_inputs(time: int, dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
    """Query, key, value and state, of any values, that take gradients."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(time, KEY_DIM), (time, KEY_DIM), (time, VALUE_DIM), (KEY_DIM, VALUE_DIM)]
    made = (torch.randn(BATCH, HEADS, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return [each.to(dtype).requires_grad_() for each in made]
