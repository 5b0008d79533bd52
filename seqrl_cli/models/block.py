"""The transformer block that the Trajectory Transformer and the Decision Transformers share.

What is unusual about it:

- query, key and value are three layers, but initialization and optimizers treat them as one matrix, as in the
  originals (:func:`initialize_layers`, :func:`joined_parameters`);
- on a CPU, attention with dropout or in bfloat16 is computed operation by operation, which is faster than PyTorch's
  fused kernel (:func:`masked_attention`);
- the last block can compute some positions only (:meth:`Block.forward_rows`);
- an adapter can put keys and values before a block's own (:class:`Prefix`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.models.dropout import Dropout, keep_mask, keep_scale
from seqrl_cli.models.parts import Part


@dataclass(frozen=True)
class Prefix:
    """Keys and values that all tokens of a sequence see.

    Attributes:
        key: (batch or 1, heads, length, head_dim).
        value: values of the same shape.
        hidden: (batch,) bool, the sequences that do not see them; None if all do.
    """

    key: Tensor
    value: Tensor
    hidden: Tensor | None = None

    def before(self, key: Tensor, value: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values (batch, heads, length + time, head_dim), and which each query may see.

        Args:
            key: (batch, heads, time, head_dim).
            value: values of the same shape.
            visible: (queries, time) bool.
        """
        batch, length, (queries, time) = len(key), self.key.shape[2], visible.shape
        key = torch.cat([self.key.expand(batch, -1, -1, -1), key], dim=2)
        value = torch.cat([self.value.expand(batch, -1, -1, -1), value], dim=2)
        if self.hidden is None:
            return key, value, functional.pad(visible, (length, 0), value=True)
        own = visible.expand(batch, 1, queries, time)
        seen = ~self.hidden.view(batch, 1, 1, 1).expand(batch, 1, queries, length)
        return key, value, torch.cat([seen, own], dim=3)


class Block(nn.Module):
    """A pre-norm transformer block: ``x + attention(norm(x))``, then ``x + mlp(norm(x))``.

    Args:
        width: length of the hidden vectors.
        n_head: attention heads; divides ``width``.
        residual_dropout: dropout probability of each residual branch's output.
        attention_dropout: dropout probability of the attention weights.
        activation: activation of the feed-forward half.
    """

    def __init__(
        self,
        width: int,
        n_head: int,
        residual_dropout: float,
        attention_dropout: float,
        activation: Callable[[Tensor], Tensor] = functional.gelu,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.width = width
        self.n_head = n_head
        self.attention_dropout = attention_dropout
        self.norm_attention = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.projection = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)
        self.dropout = Dropout(residual_dropout)
        self.prefix: Callable[[], Prefix | None] | None = None  # asked in each pass

    @property
    def parts(self) -> dict[str, Part]:
        """The parts of the block by name."""
        own = {name: Part(name) for name in ("query", "key", "value", "projection")}
        first, last = Part("mlp_in"), Part("mlp_out")
        return {**own, "feed-forward": first, "feed-forward-output": first, "activations": last}

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """Transform ``x`` (batch, time, width); ``visible`` (time, time) is true where a query may see a key."""
        x = x + self.dropout(self.projection(self.attend(self.norm_attention(x), visible)))
        x = x + self.dropout(self.mlp(self.norm_mlp(x)))
        return x

    def split_heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (batch, heads, time, head_dim) of normed inputs (batch, time, width)."""
        return self._heads(self.query(x)), self._heads(self.key(x)), self._heads(self.value(x))

    def attend(self, x: Tensor, visible: Tensor) -> Tensor:
        """Masked attention over normed inputs (batch, time, width), heads concatenated but not yet projected."""
        return self._attention(*self.split_heads(x), visible)

    def mlp(self, x: Tensor) -> Tensor:
        """The feed-forward half on normed inputs (batch, time, width)."""
        added: Tensor = self.mlp_out(self.activation(self.mlp_in(x)))
        return added

    def forward_rows(self, x: Tensor, visible: Tensor, rows: slice) -> Tensor:
        """The result of ``forward`` at some positions only, for a last block.

        Args:
            x: (batch, time, width).
            visible: (rows, time), these rows of ``forward``'s mask.
            rows: the positions.

        Returns:
            (batch, rows, width).
        """
        normed = self.norm_attention(x)
        x = x[:, rows]
        query = self._heads(self.query(normed[:, rows]))
        key = self._heads(self.key(normed))
        value = self._heads(self.value(normed))
        x = x + self.dropout(self.projection(self._attention(query, key, value, visible)))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))

    def _attention(self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
        """What queries (batch, heads, queries, head_dim) gather, heads concatenated: (batch, queries, width)."""
        if self.prefix is not None and (prefix := self.prefix()) is not None:
            key, value, visible = prefix.before(key, value, visible)
        dropout = self.attention_dropout if self.training else 0.0
        return masked_attention(query, key, value, visible, dropout).transpose(1, 2).flatten(2)

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, time, width) -> (batch, heads, time, head_dim)."""
        return x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)

    @property
    def joined(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        """Query, key and value, which are one matrix in the originals."""
        return self.query, self.key, self.value


def masked_attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention over the keys that each query may see (Vaswani et al. 2017, equation 1).

    Args:
        query: (batch, heads, queries, head_dim).
        key: (batch, heads, keys, head_dim).
        value: (batch, heads, keys, head_dim).
        visible: (queries, keys) or (batch, 1, queries, keys) bool, at least one key per query.
        dropout: dropout probability of the attention weights.

    Returns:
        (batch, heads, queries, head_dim).
    """
    if query.is_cpu and (dropout > 0 or query.dtype == torch.bfloat16):
        return _explicit_attention(query, key, value, visible, dropout)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=dropout)


def _explicit_attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor, dropout: float) -> Tensor:
    """The same as separate operations, for a CPU, where PyTorch's fused kernel can be slower.

    Dropout makes PyTorch fall back to a path half as fast as this; in bfloat16 its gradients take four times as long.
    """
    batch, heads, queries, head_dim = query.shape
    query, key, value = (part.flatten(0, 1) for part in (query, key, value))
    bias = torch.zeros(visible.shape, dtype=query.dtype).masked_fill_(~visible, -math.inf)
    bias = bias.unsqueeze(0) if bias.dim() == 2 else bias.expand(-1, heads, -1, -1).flatten(0, 1)
    scores = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=head_dim**-0.5)
    weights = torch.softmax(scores, dim=-1)
    if dropout > 0:
        # scale the values, which are fewer, instead of the kept weights
        weights = weights * keep_mask(weights, dropout)
        value = value * keep_scale(dropout)
    attention_out = torch.bmm(weights, value)
    return attention_out.view(batch, heads, queries, head_dim)


def joined_parameters(model: nn.Module) -> list[tuple[nn.Parameter, ...]]:
    """Groups of parameters that are one layer in the originals, for optimizers that scale steps per layer.

    Returns:
        For each block, the weights of its query, key and value, and their biases.
    """
    together = [
        tuple(part for layer in block.joined if isinstance(part := getattr(layer, kind, None), nn.Parameter))
        for block in model.modules()
        if isinstance(block, Block)
        for kind in ("weight", "bias")
    ]
    return [parameters for parameters in together if len(parameters) > 1]


def initialize_layers(model: nn.Module, generator: torch.Generator | None, std: float = 0.02) -> None:
    """Set weights of linear layers and embeddings to small normal numbers, norms to one, and biases to zero.

    Query, key and value are drawn as one matrix, so that a seed gives the same weights as in earlier versions.

    Args:
        model: the model, which is overwritten module by module, in order.
        generator: source of the weights; the global one when None.
        std: standard deviation of the weights.
    """
    drawn: set[nn.Module] = set()
    for module in model.modules():
        if isinstance(module, Block):
            joined = torch.empty_like(torch.cat([layer.weight for layer in module.joined]))
            for layer, weight in zip(module.joined, nn.init.normal_(joined, 0.0, std, generator).chunk(3), strict=True):
                layer.weight.data.copy_(weight)
            drawn.update(module.joined)
        elif isinstance(module, nn.Linear | nn.Embedding) and module not in drawn:
            nn.init.normal_(module.weight, std=std, generator=generator)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Linear | nn.LayerNorm):
            nn.init.zeros_(module.bias)


def initialize_uniformly(model: nn.Module, generator: torch.Generator | None) -> None:
    """Draw weights and biases of linear and convolutional layers uniformly within 1/sqrt(inputs).

    Args:
        model: the model, which is overwritten module by module, in order.
        generator: source of the weights; the global one when None.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            assert module.bias is not None
            bound = module.weight[0].numel() ** -0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.uniform_(module.bias, -bound, bound, generator=generator)
