"""Keys and values that all tokens of a sequence attend to: prompts and prefixes, for all members of a pool.

Prompt tokens stand before a sequence and see only each other, so their keys and values do not depend on the sequence.
They are computed once per pass, and a prompt becomes a prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from seqrl_cli.models.adapters.selection import Current, Selection
from seqrl_cli.models.adapters.specs import PrefixSpec, PromptSpec, TokenSpec
from seqrl_cli.models.block import Block, Prefix
from seqrl_cli.models.decoding.episode_adapters import KeysValues


class Prompts(nn.Module):
    """Learned inputs (length, width) of the first block.

    Args:
        spec: the spec of every member.
        blocks: blocks of the model.
        pool: number of members.
    """

    tensors: Sequence[str] = ("tokens",)

    def __init__(self, spec: PromptSpec, blocks: Sequence[Block], pool: int) -> None:
        super().__init__()
        self.tokens = nn.ParameterList(torch.empty(spec.length, blocks[0].width) for _ in range(pool))

    def reset(self, member: int, generator: torch.Generator | None) -> None:
        """Draw a member uniformly from [-1, 1], so that it is about as large as the normalized embeddings beside it."""
        nn.init.uniform_(self.tokens[member], -1, 1, generator=generator)

    def keys_values(self, blocks: Sequence[Block], members: Sequence[Sequence[int]]) -> KeysValues:
        """Keys and values (rows, heads, tokens, head_dim) of each block, for rows of members one after the other."""
        x = torch.stack([torch.cat([self.tokens[member] for member in row]) for row in members])
        causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        found = []
        for block in blocks:
            _, key, value = block.split_heads(block.norm_attention(x))
            found.append((key, value))
            x = block(x, causal)
        return found


class Prefixes(nn.Module):
    """Learned keys and values (blocks, 2, length, width).

    Args:
        spec: the spec of every member.
        blocks: blocks of the model.
        pool: number of members.
    """

    def __init__(self, spec: PrefixSpec, blocks: Sequence[Block], pool: int) -> None:
        super().__init__()
        width, heads = blocks[0].width, blocks[0].n_head
        self.n_head = heads
        self.tensors: Sequence[str] = ("table",)
        number = len(blocks) if spec.blocks == "all" else 1
        self.table = nn.ParameterList(torch.empty(number, 2, spec.length, width) for _ in range(pool))
        if spec.reparametrize:
            self.tensors = ("table", "down", "down_bias", "up", "up_bias")
            self.down = nn.ParameterList(torch.empty(width // 2, width) for _ in range(pool))
            self.down_bias = nn.ParameterList(torch.empty(width // 2) for _ in range(pool))
            self.up = nn.ParameterList(torch.empty(width, width // 2) for _ in range(pool))
            self.up_bias = nn.ParameterList(torch.empty(width) for _ in range(pool))

    def reset(self, member: int, generator: torch.Generator | None) -> None:
        """Draw keys and values from a normal distribution of standard deviation 0.02.

        With reparametrization, the network's inputs have standard deviation 1, and its weights start as PyTorch's do.
        """
        nn.init.normal_(self.table[member], std=0.02 if self.tensors == ("table",) else 1.0, generator=generator)
        for name in self.tensors[1:]:
            parameter = getattr(self, name)[member]
            bound = parameter.shape[-1] ** -0.5
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def keys_values(self, blocks: Sequence[Block], members: Sequence[Sequence[int]]) -> KeysValues:
        """Keys and values (rows, heads, tokens, head_dim) of each block, for rows of members one after the other."""
        tables = [torch.cat([self._table(member) for member in row], dim=2) for row in members]
        found = torch.stack(tables, dim=2).unflatten(-1, (self.n_head, -1)).transpose(3, 4)
        seen = [(key, value) for key, value in found]
        nothing = found.new_empty(*found.shape[2:4], 0, found.shape[-1])
        return seen + [(nothing, nothing)] * (len(blocks) - len(seen))

    def _table(self, member: int) -> Tensor:
        """Keys and values (blocks, 2, length, width) of a member."""
        table: Tensor = self.table[member]
        if self.tensors == ("table",):
            return table
        hidden = torch.tanh(table @ self.down[member].T + self.down_bias[member])
        return hidden @ self.up[member].T + self.up_bias[member]


class PrefixPool(nn.Module):
    """Gives the blocks of a model the keys and values of the members in use.

    Args:
        spec: the spec of every member.
        blocks: blocks of the model.
        current: the members in use.
        pool: number of members.
    """

    def __init__(self, spec: TokenSpec, blocks: Sequence[Block], current: Current, pool: int) -> None:
        super().__init__()
        self.source: Prompts | Prefixes = (
            Prompts(spec, blocks, pool) if isinstance(spec, PromptSpec) else Prefixes(spec, blocks, pool)
        )
        self._blocks = tuple(blocks)  # a list would make them sub-modules
        self._current = current
        self._computing = False
        self._found: list[Prefix] = []

    def install(self) -> None:
        """Make all blocks ask for their keys and values."""
        for number, block in enumerate(self._blocks):
            block.prefix = partial(self._prefix, number)

    def remove(self) -> None:
        """Make no block ask any more."""
        for block in self._blocks:
            block.prefix = None

    def selected_member(self) -> int | None:
        """The member that is in use for every sample; None for none."""
        return self._current.only_member()

    @torch.no_grad()
    def keys_values(self, members: tuple[int, ...]) -> KeysValues:
        """Keys and values (heads, tokens, head_dim) of each block, of some members one after the other."""
        return [(key[0], value[0]) for key, value in self._keys_values([members])]

    def _prefix(self, number: int) -> Prefix | None:
        """What a block's tokens see in this pass, which begins when the first block asks."""
        selected = self._current.selection
        if selected is None or self._computing:
            return None
        if number == 0:
            self._found = self._prefixes(selected)
        return self._found[number]

    def _keys_values(self, members: Sequence[Sequence[int]]) -> KeysValues:
        """Keys and values of each block for rows of members; the blocks may be computed with, and see none."""
        self._computing = True
        try:
            return self.source.keys_values(self._blocks, members)
        finally:
            self._computing = False

    def _prefixes(self, selected: Selection) -> list[Prefix]:
        if selected.slots is None:
            return [Prefix(*pair) for pair in self._keys_values([selected.members])]
        slots = selected.slots if selected.slots.dim() == 2 else selected.slots.unsqueeze(1)
        shown = (slots > 0).all(dim=1)
        distinct, rows = slots.unique(dim=0, return_inverse=True)
        # A sample without a member is given some other's, which it does not see.
        members = [[selected.members[max(slot, 1) - 1] for slot in row] for row in distinct.tolist()]
        hidden = None if bool(shown.all()) else ~shown
        found = self._keys_values(members)
        return [Prefix(key[rows], value[rows], hidden) for key, value in found]
