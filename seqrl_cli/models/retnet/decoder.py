"""A RetNet as a decoder: a memory of constant size, shared by rows until they diverge.

Rows share what they have in common, and a step copies none of it (see :mod:`~seqrl_cli.models.retnet.decoder_state`).

Time does not touch a memory either. It is kept in the frame of one place: as the token at that place would see it. A
token at p steps from there has its key scaled by g^-p and turned by p steps, and its query turned likewise; that its
query should be scaled by g^p the norm after retention undoes (see :mod:`~seqrl_cli.models.retnet.decoder_layer`).
Only every ``FRAME`` tokens, long before the powers grow large, do memories move to the frame of the newest place; see
:mod:`~seqrl_cli.models.retnet.retention` for what a memory means.

What is not computed:

- The window of each beam when it slides: what beams have in common is encoded once, and the last layer only up to its
  keys and values.
- Value tokens of the past, when nothing remembers them. The token itself still reads: its output predicts the next
  observation.
- Logits of other dimensions than the next token's, or of tokens that are known.

As for the GPT, an episode's logits do not depend on the episodes beside it, bit for bit: every operation treats rows or
bases alike and one by one.
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
from seqrl_cli.models.decoding.prefix_tree import Level, prefix_levels
from seqrl_cli.models.native.linear import NativeLinear
from seqrl_cli.models.retnet.decoder_layer import RetNetLayer, TreeLevel, fold_norm, normalize
from seqrl_cli.models.retnet.decoder_state import EpisodeState, RetNetState
from seqrl_cli.models.retnet.model import NORM_EPS, RetentionBlock, RetNet
from seqrl_cli.models.retnet.retention import head_decays, pair_angles, rotary_phases, rotate_state

FRAME = 512
"""Most tokens from a place to the frame it is seen from: with the fastest decay, g^-512 is 10 million."""


class RetNetDecoder(Decoder):
    """Decodes a RetNet token by token, with the same logits as encoding its whole context each time.

    Args:
        model: its weights are copied, so later training does not affect the decoder.
        window: the part of the sequence that is seen; None for all of it.
        precision: of products with the layers' weights; retention, norms, sums and logits are always float32.
        compiled: whether linear layers are C++; for weights on a CPU, in float32.

    Attributes:
        compiled: as given.
        mode: form of retention in which the known past is encoded: in one piece (of at most ``FRAME`` tokens), in the
            model's chunks, or token by token, the slow reference.
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
        self.observation_dim, self.action_dim = model.observation_dim, model.action_dim
        self.transition_dim = model.transition_dim
        self.window, self.device = window, model.head.weight.device
        self.remembered = model.remembers(torch.arange(self.transition_dim, device=self.device))
        self.is_remembered = self.remembered.tolist()
        self.embedding = model.token_embedding.by_dimension()
        make: MakeLinear = NativeLinear if compiled else partial(BatchInvariantLinear, precision=precision)
        self.layers = [RetNetLayer(block, make) for block in model.blocks if isinstance(block, RetentionBlock)]
        maps = [model.head.linear(dim) for dim in range(self.transition_dim)]
        make_head: MakeLinear = NativeLinear if compiled else BatchInvariantLinear
        self.heads = [fold_norm(model.norm, weight, bias, make_head) for weight, bias in maps]
        self.n_head, self.key_dim = model.n_head, model.key_dim
        self.value_dim = self.layers[0].value_width // model.n_head
        self.mode, self.chunk_size = model.mode, model.chunk_size
        self.episode_states: Sequence[EpisodeState] | None = None
        self._tabulate()

    def with_state(self, states: Sequence[EpisodeState]) -> RetNetDecoder:
        """This decoder for sequences that continue episode states, one per group of ``prefill``."""
        continued = copy.copy(self)
        continued.episode_states = states
        return continued

    @torch.inference_mode()
    def update_state(self, tokens: Tensor) -> list[EpisodeState]:
        """Consume whole transitions, (groups, time), that continue the episode states; returns the new ones."""
        state = self._begin(len(tokens))
        self._consume(state, tokens)
        self._move_on(state)
        past = state.past.expand(len(tokens)).tolist()
        layers = zip(*state.bases, strict=True)
        return [EpisodeState(each, count) for each, count in zip(layers, past, strict=True)]

    @torch.inference_mode()
    def prefill(self, tokens: Tensor) -> tuple[Tensor, RetNetState]:
        """Consume (groups, time) tokens, the newest that the window holds; logits (groups, bins + 1)."""
        if self.window:
            tokens = tokens[:, self.window.overflow(tokens.shape[1], self.transition_dim) :]
        state = self._begin(len(tokens))
        self._consume(state, tokens[:, :-1])
        if self.window and self.window.slides:
            state.tokens = tokens[:, :-1]
        return self.step(tokens[:, -1], state)

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: RetNetState) -> tuple[Tensor, RetNetState]:
        """Consume (rows,) tokens; logits (rows, bins + 1)."""
        self._settle(state)
        if state.tokens is not None:
            state.tokens = torch.cat([state.tokens, tokens[:, None]], dim=1)
        dim, turned, eps = state.dim, self.turned[:, FRAME + state.passed], self._newest_eps(state)
        x = functional.embedding(tokens, self.embedding[dim])
        for number, layer in enumerate(self.layers):
            query, key, value, gate = layer.project(x, turned)
            if self.is_remembered[dim]:
                state.update_state(number, key, value)
            x = layer.finish(x, state.read(number, query), gate, eps)
        state.passed += 1
        state.dim = (dim + 1) % self.transition_dim
        return self.heads[dim](normalize(x)), state

    def cache_bytes(self, beam_width: int, n_expand: int, horizon: int) -> int:
        """Most memory that planning needs for one group, in bytes: bases, twice while they are folded, and the rest."""
        base = beam_width * self.key_dim * self.value_dim
        newest = beam_width * n_expand * (self.action_dim + 2) * (2 * self.key_dim + self.value_dim)
        return 4 * len(self.layers) * self.n_head * (2 * base + newest)

    def _begin(self, groups: int) -> RetNetState:
        """A state with one row per group that has consumed nothing since its episode state."""
        if self.episode_states is None:
            past = torch.zeros(1, dtype=torch.int64, device=self.device)
            sizes = (groups, self.n_head, self.key_dim, self.value_dim)
            bases = [torch.zeros(sizes, device=self.device) for _ in self.layers]
        else:
            assert len(self.episode_states) == groups
            past = torch.tensor([each.past for each in self.episode_states], device=self.device)
            bases = [torch.stack(layer) for layer in zip(*(each.layers for each in self.episode_states), strict=True)]
        state = RetNetState(groups, groups, int(past[0]) % self.transition_dim, past, bases)
        state.start(bases, groups)
        return state

    def _settle(self, state: RetNetState) -> None:
        """Make room for one more token: slide the window, fold when rows have changed, or move on to a new frame."""
        if self.window is not None and state.tokens is not None:
            if state.kept is not None or state.copies > 1:
                state.tokens = state.tokens[state.chosen()].repeat_interleave(state.copies, 0)
            overflow = self.window.overflow(state.tokens.shape[1] + 1, self.transition_dim)
            if overflow:
                state.tokens = state.tokens[:, overflow:]
                state.past, state.dim = torch.zeros_like(state.past), 0
                self._encode(state, *prefix_levels(state.tokens, self.transition_dim))
                return
        if state.kept is not None or state.copies > 1 or len(state.columns[0]) == self.action_dim + 2:
            state.fold()
        if state.passed == FRAME:
            state.fold()
            self._move_on(state)

    def _move_on(self, state: RetNetState) -> None:
        """See the bases of folded rows from the newest place."""
        if state.passed:
            passing = self._passing(state.passed)
            state.start([rotate_state(base, passing).contiguous() for base in state.bases], state.rows)
            state.past, state.passed = state.past + state.passed, 0

    def _consume(self, state: RetNetState, tokens: Tensor) -> None:
        """Take in the known past, (groups, time), in the form that ``mode`` names."""
        if self.mode == "recurrent":
            for each in tokens.unbind(1):
                self.step(each, state)
        elif tokens.shape[1]:
            self._encode(state, *self._chunks(tokens))

    def _encode(self, state: RetNetState, levels: list[Level], node: Tensor) -> None:
        """Make the bases anew, out of a tree of sequences that follow on the memories, if there are any.

        Args:
            state: of which the bases, when they hold memories, are the roots of the tree.
            levels: the tree.
            node: (rows,) int64, the last level's node at which each row ends.
        """
        length = levels[-1].first + levels[-1].tokens.shape[1]
        tree, inputs, eps, frame = [], [], [], 0
        for level in levels:
            passing, frame = frame, length if length <= FRAME else level.first + level.tokens.shape[1]
            places, tokens = self._remembered(level, state.dim)
            inputs.append(functional.embedding(tokens, self.embedding.flatten(0, 1)).flatten(0, 1))
            turned = self.turned[:, FRAME + places - frame].transpose(1, 2)[:, None]
            moved = self._passing(frame - passing) if frame > passing else None
            tree.append(TreeLevel(len(tokens), len(places), level.parent, turned, moved))
            eps.append(self._eps(state.past, places, frame).expand(len(tokens), -1, -1, -1).flatten(0, 1))
        x, scales, bases = torch.cat(inputs), torch.cat(eps), []
        for number, layer in enumerate(self.layers):
            root = None if self.episode_states is None else state.bases[number]
            x, base = layer.encode(x, root, tree, scales, layer is self.layers[-1])
            bases.append(base[node])
        state.past, state.passed = state.past + length, 0
        state.dim = (state.dim + length) % self.transition_dim
        state.start(bases, len(node))

    def _chunks(self, tokens: Tensor) -> tuple[list[Level], Tensor]:
        """Sequences (groups, time) as levels of a tree that never branches, and the last level's node of each."""
        most = FRAME if self.mode == "parallel" else min(FRAME, self.chunk_size)
        size = max(1, most // self.transition_dim) * self.transition_dim
        node = torch.arange(len(tokens), device=tokens.device)
        return [Level(i * size, piece, node) for i, piece in enumerate(tokens.split(size, dim=1))], node

    def _remembered(self, level: Level, dim: int) -> tuple[Tensor, Tensor]:
        """Places (time,) of a level's tokens that are remembered, and their rows (nodes, time) of the embedding.

        Args:
            level: a stretch of the sequences.
            dim: the dimension of the tree's first token.
        """
        offsets = torch.arange(level.tokens.shape[1], device=self.device)
        offsets = offsets[self.remembered[(offsets + dim + level.first) % self.transition_dim]]
        places = offsets + level.first
        return places, level.tokens[:, offsets] + (places + dim) % self.transition_dim * (self.bins + 1)

    def _tabulate(self) -> None:
        """What queries and keys are multiplied by at -FRAME to FRAME tokens from a frame's place."""
        self.decay, self.angles = head_decays(self.n_head, self.device), pair_angles(self.key_dim, self.device)
        steps = torch.arange(-FRAME, FRAME + 1, device=self.device)
        turned = rotary_phases(self.angles, steps)[:, None].expand(-1, self.n_head, -1)
        shrunk = (self.decay ** -steps[:, None])[..., None]
        self.turned = torch.stack([turned, turned * shrunk]).to(torch.complex64)  # (2, places, heads, pairs)

    def _passing(self, steps: int) -> Tensor:
        """What a memory is multiplied by to be seen so many tokens later, (heads, 1, pairs) complex."""
        turned = rotary_phases(self.angles, torch.tensor(-steps, device=self.device))
        return ((self.decay**steps)[:, None, None] * turned).to(torch.complex64)

    def _newest_eps(self, state: RetNetState) -> Tensor:
        """The epsilon of the newest tokens, (rows or 1, heads, 1)."""
        eps = self._eps(state.past, torch.tensor([state.passed], device=self.device), 0)[:, 0]
        return eps if len(eps) == 1 else eps.repeat_interleave(state.rows // state.groups, 0)

    def _eps(self, past: Tensor, places: Tensor, frame: int) -> Tensor:
        """The epsilon that stands for a scale of g^p / sqrt(seen * key_dim) of what retention gives.

        Args:
            past: (groups or 1,) int64, tokens that came before.
            places: (time,) int64 of the tokens.
            frame: place of the frame, which they are p tokens from.

        Returns:
            (groups or 1, time, heads, 1) float32.
        """
        seen = (1 - self.decay ** (past[:, None] + places + 1)[..., None]) / (1 - self.decay)
        eps = NORM_EPS * self.key_dim * seen * self.decay ** (2 * (frame - places))[:, None]
        return eps[..., None].float()
