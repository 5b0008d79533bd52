"""A GPT's weights in the layout that the C++ reads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.models.block import Block
from seqrl_cli.models.decoding.invariant_linear import joined, merged
from seqrl_cli.models.gpt.decoder_layer import folded
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.native import library, structs
from seqrl_cli.native.linear import Panels


class Weights:
    """Copies of a model's weights, norms folded into the linear layers, sizes rounded up to whole vectors.

    Args:
        model: the model, on the CPU.
        embedding: (transition_dim, bins + 1, width) float32, the embedding of each token by dimension.
        columns: tokens per transition that are attended to.

    Attributes:
        shape: sizes of a page.
        model: the argument of the C++.
        heads: the linear layer of each dimension's logits.
    """

    def __init__(self, model: GPT, embedding: Tensor, columns: int) -> None:
        self._lanes = library.load().lanes()
        self._alive: list[Tensor] = []  # the structs point to these tensors
        blocks = [block for block in model.blocks if isinstance(block, Block)]
        width = model.position_embedding.shape[1]
        heads = blocks[0].n_head
        head_dim = width // heads
        self.shape = structs.PageShape(heads, head_dim, self._rounded(head_dim), columns, self._rounded(columns))
        self._layers = (structs.GPTLayerWeights * len(blocks))(*map(self._layer, blocks))
        positions = model.position_embedding.detach().float().clone()
        self._alive += [embedding, positions]
        self.model = structs.GPTWeights(
            len(blocks), width, self.shape, self._layers, embedding.data_ptr(), positions.data_ptr()
        )
        by_dim = [self._linear(*folded(model.norm, *model.head.linear(dim))) for dim in range(model.transition_dim)]
        self.heads = (structs.PackedLinear * len(by_dim))(*by_dim)

    def _layer(self, block: Block) -> structs.GPTLayerWeights:
        """One block, with scaled queries."""
        weight, bias = joined(block.query, block.key, block.value)
        scale = torch.ones(3, weight.shape[1], dtype=torch.float64)
        scale[0] /= math.sqrt(self.shape.head_dim)
        weight, bias = folded(block.norm_attention, weight, bias, scale.flatten())
        into_heads = (self.shape.heads, self.shape.head_dim)
        qkv = self._linear(self._pad_heads(weight, 0, (3, *into_heads)), self._pad_heads(bias, 0, (3, *into_heads)))
        weight, bias_after = merged(block.projection)
        projection = self._linear(self._pad_heads(weight, 1, into_heads), bias_after)
        mlp_in = self._linear(*folded(block.norm_mlp, *merged(block.mlp_in)))
        return structs.GPTLayerWeights(qkv, projection, mlp_in, self._linear(*merged(block.mlp_out)))

    def _pad_heads(self, x: Tensor, axis: int, sizes: Sequence[int]) -> Tensor:
        """Pad each head along an axis with zeros to whole vectors."""
        heads = x.detach().movedim(axis, -1).unflatten(-1, sizes)
        heads = functional.pad(heads, (0, self.shape.head_width - self.shape.head_dim))
        return heads.flatten(-len(sizes)).movedim(-1, axis)

    def _linear(self, weight: Tensor, bias: Tensor | None) -> structs.PackedLinear:
        """A linear layer (outputs, inputs)."""
        panels = Panels(weight, bias)
        self._alive += [panels.weights, panels.bias]
        return panels.layer

    def _rounded(self, count: int) -> int:
        """Round up to whole vectors."""
        return -(-count // self._lanes) * self._lanes
