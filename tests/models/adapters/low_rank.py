"""A low-rank adapter as small as can be, for tests of what adapters need of models and decoders."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LowRank(nn.Module):
    """A frozen linear layer plus a product of two small matrices (Hu et al. 2021, arXiv 2106.09685)."""

    def __init__(self, layer: nn.Linear, generator: torch.Generator, rank: int = 2) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Parameter(0.3 * torch.randn(rank, layer.in_features, generator=generator))
        self.up = nn.Parameter(0.3 * torch.randn(layer.out_features, rank, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + x @ self.down.T @ self.up.T

    def merged_weight(self) -> Tensor:
        return self.layer.weight + self.up @ self.down

    def merged_bias(self) -> Tensor | None:
        return self.layer.bias


def adapt(model: nn.Module) -> list[LowRank]:
    """Put an adapter around every linear layer of a model's blocks; returns them."""
    generator = torch.Generator().manual_seed(0)
    adapters = []
    for block in model.blocks:
        for name, layer in list(block.named_children()):
            if isinstance(layer, nn.Linear):
                adapters.append(LowRank(layer, generator))
                setattr(block, name, adapters[-1])
    return adapters
