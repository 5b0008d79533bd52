"""The transformer block that the Trajectory Transformer and the Decision Transformers share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.models.attention import masked_attention
from seqrl_cli.models.dropout import Dropout


class Block(nn.Module):
    """A pre-norm transformer block: ``x + attention(norm(x))``, then ``x + mlp(norm(x))``.

    Args:
        width: length of the hidden vectors.
        n_head: attention heads; divides ``width``.
        residual_dropout: share dropped of what each half adds.
        attention_dropout: share of attention weights dropped.
        activation: between the two layers of the feed-forward half.
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
        self.n_head = n_head
        self.attention_dropout = attention_dropout
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)
        self.dropout = Dropout(residual_dropout)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """Transform ``x`` (batch, time, width); ``visible`` (time, time) is true where a query may see a key."""
        x = x + self.dropout(self.projection(self.attend(self.norm_attention(x), visible)))
        x = x + self.dropout(self.mlp(self.norm_mlp(x)))
        return x

    def split_heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (batch, heads, time, head_dim) of normed inputs (batch, time, width)."""
        batch, time, width = x.shape
        joined = self.qkv(x).view(batch, time, 3, self.n_head, width // self.n_head)
        query, key, value = joined.permute(2, 0, 3, 1, 4)
        return query, key, value

    def attend(self, x: Tensor, visible: Tensor) -> Tensor:
        """Masked attention over normed inputs (batch, time, width), heads joined but not yet projected."""
        query, key, value = self.split_heads(x)
        dropout = self.attention_dropout if self.training else 0.0
        return masked_attention(query, key, value, visible, dropout).transpose(1, 2).flatten(2)

    def mlp(self, x: Tensor) -> Tensor:
        """The feed-forward half on normed inputs (batch, time, width)."""
        added: Tensor = self.mlp_out(self.activation(self.mlp_in(x)))
        return added

    def forward_rows(self, x: Tensor, visible: Tensor, rows: slice) -> Tensor:
        """What ``forward`` gives at some positions only, for a last block of which the others are not needed.

        Args:
            x: (batch, time, width).
            visible: (rows, time), the rows of ``forward``'s mask.
            rows: the positions.

        Returns:
            (batch, rows, width).
        """
        normed, kept = self.norm_attention(x), x[:, rows]
        width = x.shape[-1]
        weight, bias = self.qkv.weight, self.qkv.bias
        query = self._heads(functional.linear(normed[:, rows], weight[:width], bias[:width]))
        key, value = (
            self._heads(part) for part in functional.linear(normed, weight[width:], bias[width:]).chunk(2, -1)
        )
        dropout = self.attention_dropout if self.training else 0.0
        attended = masked_attention(query, key, value, visible, dropout).transpose(1, 2).flatten(2)
        kept = kept + self.dropout(self.projection(attended))
        return kept + self.dropout(self.mlp(self.norm_mlp(kept)))

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, time, width) -> (batch, heads, time, head_dim)."""
        return x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)
