"""One block of a GPT in its decoder, for one token per row and for a tree of sequences."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.models.block import Block
from seqrl_cli.models.decoding.invariant_linear import BatchInvariantLinear, joined, merged


class GPTLayer:
    """One block of a GPT with its norms folded into its linear layers.

    Args:
        block: the weights.
        precision: precision of products with weights.
    """

    def __init__(self, block: Block, precision: torch.dtype = torch.float32) -> None:
        weight, bias = joined(block.query, block.key, block.value)
        width = weight.shape[1]
        self.n_head, self.head_dim = block.n_head, width // block.n_head
        scale = torch.ones(3, width, dtype=torch.float64, device=weight.device)
        scale[0] /= math.sqrt(self.head_dim)
        self.qkv = fold_norm(block.norm_attention, weight, bias, scale.flatten(), precision=precision)
        self.projection = BatchInvariantLinear(*merged(block.projection), precision)
        self.mlp_in = fold_norm(block.norm_mlp, *merged(block.mlp_in), precision=precision)
        self.mlp_out = BatchInvariantLinear(*merged(block.mlp_out), precision)

    def project(self, x: Tensor) -> Tensor:
        """Query (scaled), key and value of inputs (rows, width): (rows, 3, heads, head_dim)."""
        return self.qkv(normalize(x)).view(len(x), 3, self.n_head, self.head_dim)

    def finish(self, x: Tensor, attention_out: Tensor) -> Tensor:
        """The block after attention: projection, feed-forward network, and both residuals; all (rows, width)."""
        x = self.projection.add_residual(x, attention_out)
        return self.mlp_out.add_residual(x, self.mlp_in.gelu(normalize(x)))

    def encode(
        self, x: Tensor, counts: list[torch.Size], parents: list[Tensor], is_last: bool
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Transform all tokens of a prefix tree.

        Args:
            x: (tokens, width), the levels one after the other, each (nodes, time).
            counts: (nodes, time) of each level.
            parents: (nodes,) of each level.
            is_last: compute only keys and values; ``x`` is returned unchanged.

        Returns:
            The transformed tokens, and keys and values of each level, (nodes, heads, time, head_dim).
        """
        levels = torch.split(self.qkv(normalize(x)), [nodes * time for nodes, time in counts])
        heads = [
            part.view(nodes, time, 3, self.n_head, self.head_dim).permute(2, 0, 3, 1, 4)
            for part, (nodes, time) in zip(levels, counts, strict=True)
        ]
        if not is_last:
            x = self.finish(x, _tree_attention(heads, parents))
        return x, [level[1] for level in heads], [level[2] for level in heads]


def _tree_attention(heads: list[Tensor], parents: list[Tensor]) -> Tensor:
    """Attention of each token to the tokens before it on its path from the root.

    Args:
        heads: queries (scaled), keys and values of each level, (3, nodes, heads, time, head_dim).
        parents: (nodes,) of each level, the nodes of the previous level that its paths continue.

    Returns:
        (tokens, heads * head_dim), the levels one after the other.
    """
    path = heads[0][1:, :1, :, :0]
    outputs = []
    for (query, *key_value), parent in zip(heads, parents, strict=True):
        path = torch.cat([path.index_select(1, parent), torch.stack(key_value)], dim=3)
        outputs.append(_causal_attention(query, *path).transpose(1, 2).flatten(2).flatten(0, 1))
    return torch.cat(outputs)


def _causal_attention(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of scaled queries (nodes, heads, time, head_dim), the newest tokens, to their whole path."""
    time = query.shape[2]
    path = keys.shape[2]
    later = torch.ones(time, path, dtype=torch.bool, device=query.device).triu(path - time + 1)
    scores = (query @ keys.transpose(2, 3)).masked_fill_(later, -math.inf)
    return torch.softmax(scores, dim=3) @ values


def normalize(x: Tensor) -> Tensor:
    """Layer norm over the last axis without scale and shift, which are folded into the next linear layer."""
    return functional.layer_norm(x, x.shape[-1:], *_identity(x.shape[-1], x.device))


@cache
def _identity(width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Scale one and shift zero, with which PyTorch's layer norm takes half the time on a CPU."""
    return torch.ones(width, device=device), torch.zeros(width, device=device)


def fold_norm(
    norm: nn.LayerNorm,
    weight: Tensor,
    bias: Tensor | None,
    scale: Tensor | None = None,
    precision: torch.dtype = torch.float32,
) -> BatchInvariantLinear:
    """A linear layer (outputs, inputs) that includes the scale and shift of the norm before it and a scale after it."""
    return BatchInvariantLinear(*folded(norm, weight, bias, scale), precision)


def folded(
    norm: nn.LayerNorm, weight: Tensor, bias: Tensor | None, scale: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Weight (outputs, inputs) and bias (outputs,) of :func:`fold_norm`'s layer, float64."""
    wide = weight.detach().double()
    shift = wide @ norm.bias.detach().double() + (0 if bias is None else bias.detach().double())
    wide = wide * norm.weight.detach().double()
    if scale is not None:
        wide = wide * scale[:, None]
        shift = shift * scale
    return wide, shift
