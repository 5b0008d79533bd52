"""Decoding of a RetNet: recurrent states of constant size, shared by rows until they diverge.

Rows share what they have in common, and a step copies none of it (see :mod:`~seqrl_cli.models.retnet.decoder_state`).

A step does not decay or rotate the states either. A state is stored relative to a reference position, as the token at
that position would see it. For a token p steps after it, the key is scaled by g^-p and rotated by p steps, and the
query is rotated likewise; its scale g^p is left to the norm after retention (see
:mod:`~seqrl_cli.models.retnet.decoder_layer`). Every ``MAX_OFFSET`` tokens, long before the powers grow large, the
newest position becomes the reference. :mod:`~seqrl_cli.models.retnet.retention` defines the state.

What is not computed:

- The window of each beam when it slides: common prefixes are encoded once, and the last layer only up to its keys and
  values.
- Past value tokens, if they do not write to the state. The newest one still reads it: its output predicts the next
  observation.
- Logits of dimensions other than the next token's, and of known tokens.

As for the GPT, an episode's logits do not depend on the other episodes, bit for bit: each operation treats its rows or
base states independently, and in the same order of additions.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.models.decoding.interface import Decoder, Window
from seqrl_cli.models.decoding.invariant_linear import BatchInvariantLinear, MakeLinear
from seqrl_cli.models.decoding.prefix_tree import PrefixLevel, prefix_levels
from seqrl_cli.models.retnet.block import NORM_EPS, RetentionBlock
from seqrl_cli.models.retnet.decoder_layer import RetNetLayer, TreeLevel, fold_norm, normalize
from seqrl_cli.models.retnet.decoder_state import EpisodeState, RetNetState
from seqrl_cli.models.retnet.model import RetNet
from seqrl_cli.models.retnet.retention import head_decays, pair_angles, rotary_phases, rotate_state
from seqrl_cli.native.linear import NativeLinear

MAX_OFFSET = 512
"""Most tokens between a token and the reference position: with the fastest decay, g^-512 is 10 million."""


class RetNetDecoder(Decoder):
    """Decodes a RetNet token by token, with the same logits as encoding its whole context each time.

    Args:
        model: the model; its weights are copied, so later training does not affect the decoder.
        window: the part of the sequence that is seen; None for all of it.
        precision: precision of products with the layers' weights; retention, norms, sums and logits are always float32.
        compiled: whether linear layers run in C++; only for float32 weights on a CPU.

    Attributes:
        compiled: whether linear layers run in C++.
        mode: form of retention that encodes the known past: ``parallel``, in pieces of at most ``MAX_OFFSET`` tokens;
            ``chunkwise``, in the model's chunks; or ``recurrent``, token by token, the slow reference.
    """

    def __init__(
        self,
        model: RetNet,
        window: Window | None,
        precision: torch.dtype = torch.float32,
        *,
        compiled: bool = False,
    ) -> None:
        self.compiled = compiled
        self.bins = model.bins
        self.observation_dim = model.observation_dim
        self.action_dim = model.action_dim
        self.transition_dim = model.transition_dim
        self.window = window
        self.device = model.head.weight.device
        self.written = model.writes_state(torch.arange(self.transition_dim, device=self.device))
        self.is_written = self.written.tolist()
        self.embedding = model.token_embedding.by_dimension()
        make: MakeLinear = NativeLinear if compiled else partial(BatchInvariantLinear, precision=precision)
        self.layers = [RetNetLayer(block, make) for block in model.blocks if isinstance(block, RetentionBlock)]
        maps = [model.head.linear(dim) for dim in range(self.transition_dim)]
        make_head: MakeLinear = NativeLinear if compiled else BatchInvariantLinear
        self.heads = [fold_norm(model.norm, weight, bias, make_head) for weight, bias in maps]
        self.n_head = model.n_head
        self.key_dim = model.key_dim
        self.value_dim = self.layers[0].value_width // model.n_head
        self.mode = model.mode
        self.chunk_size = model.chunk_size
        self.episode_states: Sequence[EpisodeState] | None = None
        self.decay = head_decays(self.n_head, self.device)
        self.angles = pair_angles(self.key_dim, self.device)
        self.phases = self._phase_table()

    def with_state(self, states: Sequence[EpisodeState]) -> RetNetDecoder:
        """This decoder for sequences that continue episode states, one per group of ``prefill``."""
        continued = copy.copy(self)
        continued.episode_states = states
        return continued

    @torch.inference_mode()
    def update_state(self, tokens: Tensor) -> list[EpisodeState]:
        """Consume whole transitions, (groups, time), that continue the episode states; returns the new ones."""
        state = self._initial_state(len(tokens))
        self._encode_past(state, tokens)
        self._rebase(state)
        positions = state.reference.expand(len(tokens)).tolist()
        layers = zip(*state.bases, strict=True)
        return [EpisodeState(each, position) for each, position in zip(layers, positions, strict=True)]

    @torch.inference_mode()
    def prefill(self, tokens: Tensor) -> tuple[Tensor, RetNetState]:
        """Consume (groups, time) tokens, the newest that the window holds; logits (groups, bins + 1)."""
        if self.window:
            tokens = tokens[:, self.window.overflow(tokens.shape[1], self.transition_dim) :]
        state = self._initial_state(len(tokens))
        self._encode_past(state, tokens[:, :-1])
        if self.window and self.window.slides:
            state.tokens = tokens[:, :-1]
        return self.step(tokens[:, -1], state)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: RetNetState) -> tuple[Tensor, RetNetState]:
        """Consume (rows,) tokens; logits (rows, bins + 1)."""
        self._make_room(state)
        if state.tokens is not None:
            state.tokens = torch.cat([state.tokens, tokens[:, None]], dim=1)
        dim = state.dim
        phases = self.phases[:, MAX_OFFSET + state.offset]
        eps = self._newest_eps(state)
        x = functional.embedding(tokens, self.embedding[dim])
        for number, layer in enumerate(self.layers):
            query, key, value, gate = layer.project(x, phases)
            if self.is_written[dim]:
                state.update_state(number, key, value)
            x = layer.finish(x, state.read(number, query), gate, eps)
        state.offset += 1
        state.dim = (dim + 1) % self.transition_dim
        return self.heads[dim](normalize(x)), state

    def cache_bytes(self, beam_width: int, n_expand: int, horizon: int) -> int:
        """Most memory that planning needs for one group, in bytes.

        It counts base states, twice, since folding copies them, and what folding computes in a layer; pending keys
        and values; the vectors of each row; and the hidden vectors when a window is encoded again.
        """
        rows, width = beam_width * n_expand, self.embedding.shape[-1]
        base = beam_width * self.key_dim * self.value_dim
        pending = rows * (self.action_dim + 2) * (2 * self.key_dim + self.value_dim)
        states = self.n_head * ((2 * len(self.layers) + 1) * base + len(self.layers) * pending)
        vectors = rows * (self.bins + 1 + 32 * width)
        transitions = self.window.transitions if self.window and self.window.slides else 0
        encoded = 12 * width * self.transition_dim * beam_width * transitions
        return 4 * (states + vectors + encoded)

    def _initial_state(self, groups: int) -> RetNetState:
        """A state with one row per group that has consumed nothing since its episode state."""
        if self.episode_states is None:
            reference = torch.zeros(1, dtype=torch.int64, device=self.device)
            sizes = (groups, self.n_head, self.key_dim, self.value_dim)
            bases = [torch.zeros(sizes, device=self.device) for _ in self.layers]
        else:
            assert len(self.episode_states) == groups
            reference = torch.tensor([each.position for each in self.episode_states], device=self.device)
            bases = [torch.stack(layer) for layer in zip(*(each.layers for each in self.episode_states), strict=True)]
        state = RetNetState(groups, groups, int(reference[0]) % self.transition_dim, reference, bases)
        state.set_bases(bases, groups)
        return state

    def _make_room(self, state: RetNetState) -> None:
        """Make room for one more token: slide the window, fold pending keys and values, or rebase the states."""
        if self.window is not None and state.tokens is not None:
            if state.is_reordered:
                state.tokens = state.tokens[state.kept_rows()].repeat_interleave(state.copies, 0)
            overflow = self.window.overflow(state.tokens.shape[1] + 1, self.transition_dim)
            if overflow:
                state.tokens = state.tokens[:, overflow:]
                state.reference = torch.zeros_like(state.reference)
                state.dim = 0
                self._encode(state, *prefix_levels(state.tokens, self.transition_dim))
                return
        if state.is_reordered or len(state.pending[0]) == self.action_dim + 2:
            state.fold()
        if state.offset == MAX_OFFSET:
            state.fold()
            self._rebase(state)

    def _rebase(self, state: RetNetState) -> None:
        """Make the newest position the reference of the base states; nothing may be pending."""
        if state.offset:
            factor = self._rebase_factor(state.offset)
            state.set_bases([rotate_state(base, factor).contiguous() for base in state.bases], state.rows)
            state.reference = state.reference + state.offset
            state.offset = 0

    def _encode_past(self, state: RetNetState, tokens: Tensor) -> None:
        """Consume the known past, (groups, time), in the form that ``mode`` names."""
        if self.mode == "recurrent":
            for each in tokens.unbind(1):
                self.step(each, state)
        elif tokens.shape[1]:
            self._encode(state, *self._chunks(tokens))

    def _encode(self, state: RetNetState, levels: list[PrefixLevel], node: Tensor) -> None:
        """Replace the base states by those after a prefix tree of tokens.

        Args:
            state: the rows, whose base states precede the tree if the decoder continues episode states.
            levels: the tree, whose levels may be longer than ``MAX_OFFSET``, as one transition of many dimensions is.
            node: (rows,) int64, the last level's node at which each row ends.
        """
        levels = [piece for level in levels for piece in level.pieces(MAX_OFFSET)]
        length = levels[-1].first + levels[-1].tokens.shape[1]
        tree, inputs, eps = [], [], []
        reference = 0
        for level in levels:
            previous = reference
            reference = length if length <= MAX_OFFSET else level.first + level.tokens.shape[1]
            offsets, tokens = self._written(level, state.dim)
            inputs.append(functional.embedding(tokens, self.embedding.flatten(0, 1)).flatten(0, 1))
            phases = self.phases[:, MAX_OFFSET + offsets - reference].transpose(1, 2)[:, None]
            rebase = self._rebase_factor(reference - previous) if reference > previous else None
            tree.append(TreeLevel(len(tokens), len(offsets), level.parent, phases, rebase))
            level_eps = self._eps(state.reference, offsets, reference)
            eps.append(level_eps.expand(len(tokens), -1, -1, -1).flatten(0, 1))
        x = torch.cat(inputs)
        all_eps = torch.cat(eps)
        bases = []
        for number, layer in enumerate(self.layers):
            root = None if self.episode_states is None else state.bases[number]
            x, base = layer.encode(x, root, tree, all_eps, layer is self.layers[-1])
            bases.append(base[node])
        state.reference = state.reference + length
        state.offset = 0
        state.dim = (state.dim + length) % self.transition_dim
        state.set_bases(bases, len(node))

    def _chunks(self, tokens: Tensor) -> tuple[list[PrefixLevel], Tensor]:
        """Sequences (groups, time) as levels of a tree without branches, and the last level's node of each."""
        most = MAX_OFFSET if self.mode == "parallel" else min(MAX_OFFSET, self.chunk_size)
        size = max(1, most // self.transition_dim) * self.transition_dim
        node = torch.arange(len(tokens), device=tokens.device)
        return [PrefixLevel(i * size, piece, node) for i, piece in enumerate(tokens.split(size, dim=1))], node

    def _written(self, level: PrefixLevel, dim: int) -> tuple[Tensor, Tensor]:
        """A level's tokens that write to the state.

        Args:
            level: a slice of the sequences.
            dim: the dimension of the tree's first token.

        Returns:
            Their offsets (time,) from the tree's first token, and their rows (nodes, time) of the embedding.
        """
        columns = torch.arange(level.tokens.shape[1], device=self.device)
        columns = columns[self.written[(columns + dim + level.first) % self.transition_dim]]
        offsets = columns + level.first
        return offsets, level.tokens[:, columns] + (offsets + dim) % self.transition_dim * (self.bins + 1)

    def _phase_table(self) -> Tensor:
        """Factors of queries and keys at offsets -MAX_OFFSET to MAX_OFFSET, (2, offsets, heads, pairs) complex."""
        offsets = torch.arange(-MAX_OFFSET, MAX_OFFSET + 1, device=self.device)
        query = rotary_phases(self.angles, offsets)[:, None].expand(-1, self.n_head, -1)
        growth = (self.decay ** -offsets[:, None])[..., None]
        return torch.stack([query, query * growth]).to(torch.complex64)

    def _rebase_factor(self, steps: int) -> Tensor:
        """Factor of a state whose reference position moves on by ``steps``, (heads, 1, pairs) complex."""
        phases = rotary_phases(self.angles, torch.tensor(-steps, device=self.device))
        return ((self.decay**steps)[:, None, None] * phases).to(torch.complex64)

    def _newest_eps(self, state: RetNetState) -> Tensor:
        """The epsilon of the newest tokens, (rows or 1, heads, 1)."""
        eps = self._eps(state.reference, torch.tensor([state.offset], device=self.device), 0)[:, 0]
        return eps if len(eps) == 1 else eps.repeat_interleave(state.rows // state.groups, 0)

    def _eps(self, past: Tensor, offsets: Tensor, reference: int) -> Tensor:
        """The epsilon that makes up for the omitted scale g^p / sqrt(seen * key_dim) of the retention output.

        Here p is a token's distance from the reference position, and seen is 1 + g + ... + g^n after n tokens.

        Args:
            past: (groups or 1,) int64, number of tokens before offset 0.
            offsets: (time,) int64, of the tokens.
            reference: offset of the reference position.

        Returns:
            (groups or 1, time, heads, 1) float32.
        """
        seen = (1 - self.decay ** (past[:, None] + offsets + 1)[..., None]) / (1 - self.decay)
        eps = NORM_EPS * self.key_dim * seen * self.decay ** (2 * (reference - offsets))[:, None]
        return eps[..., None].float()
