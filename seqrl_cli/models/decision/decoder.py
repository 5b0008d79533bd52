"""Decoding of policies: the next action in many episodes at once, without gradients.

On a CPU, an episode's result depends neither on the other episodes nor on the number of threads, bit for bit: products
treat all rows alike (see :mod:`~seqrl_cli.models.decoding.invariant_linear`), and each episode has its own attention.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.block import Block
from seqrl_cli.models.decision.action_distribution import ActionDistribution
from seqrl_cli.models.decision.behaviour_cloning import BehaviourCloning
from seqrl_cli.models.decision.decision_transformer import TOKENS_PER_STEP, DecisionTransformer
from seqrl_cli.models.decoding.episode_adapters import EpisodeAdapters, KeysValues, Members
from seqrl_cli.models.decoding.invariant_linear import (
    MakeLinear,
    fastest_linear,
    merged,
    merged_weight,
)
from seqrl_cli.models.decoding.routed_linear import routed
from seqrl_cli.models.device import one_thread
from seqrl_cli.models.encoders.image import ImageEncoder

Policy = DecisionTransformer | BehaviourCloning
"""A model that maps windows of steps to a distribution of actions at each step, as its normalizer gives them."""


@dataclass
class History:
    """The part of one episode that a policy sees.

    Attributes:
        steps: steps of the episode so far.
        tokens: (tokens, width), inputs of the first block, for the steps in the window.
        cache: keys and values (heads, tokens, head_dim) of each block, while the window holds the whole episode.
        adapter: number of the adapter that decides, or of several prompts; -1 for none; None for the one that the
            policy used when the decoder was made.
        encoded_by: the adapters with which ``cache`` was made.
    """

    steps: int = 0
    tokens: Tensor | None = None
    cache: KeysValues = field(default_factory=list)
    adapter: int | Members | None = None
    encoded_by: Members = ()


class PolicyDecoder(Protocol):
    """Decodes a policy, one step of some episodes at a time."""

    def decide(
        self, histories: Sequence[History], observations: Tensor, actions: Tensor, returns_to_go: Tensor
    ) -> ActionDistribution:
        """The distribution of the next actions, (episodes, action_dim), as the policy's normalizer gives them.

        Args:
            histories: one per episode, new ones for its first step; updated in place.
            observations: (episodes, *observation_shape), the current observations.
            actions: (episodes, action_dim), or choices (episodes,) int64: the previous actions, as executed; ignored in
                an episode's first step.
            returns_to_go: (episodes,), the current returns-to-go.
        """


def check_context(policy: Policy, context: int) -> None:
    """Check that a policy can see ``context`` steps.

    Raises:
        SeqrlError: it was made for fewer.
    """
    if policy.max_context is not None and not 1 <= context <= policy.max_context:
        message = f"a context of {context} steps was requested, but the model sees 1 to {policy.max_context}"
        raise SeqrlError(message, f"set plan.max_context_transitions to {policy.max_context} or less")


class ImageLayer:
    """Encodes the images of episodes.

    On a CPU it reads them one by one with one thread: a convolution's rounding depends on the number of both.
    """

    def __init__(self, encoder: ImageEncoder, make: MakeLinear) -> None:
        self.encoder = encoder
        self.project = make(*merged(encoder.project))

    def __call__(self, images: Tensor) -> Tensor:
        """Images (episodes, *shape) uint8 -> (episodes, width)."""
        batches = images.split(1) if images.is_cpu else [images]
        with one_thread():
            features = [self.encoder.features(batch) for batch in batches]
        projected: Tensor = self.project(torch.cat(features))
        return projected


class CloningDecoder:
    """Decodes behaviour cloning, which reads only the current observation."""

    def __init__(self, policy: BehaviourCloning) -> None:
        self.normalizer = policy.normalizer
        self.read = policy.read
        make = fastest_linear(policy.head.weight.device)
        self.encoder = None if policy.encoder is None else ImageLayer(policy.encoder, make)
        hidden = [layer for layer in policy.hidden if isinstance(layer, nn.Sequential)]
        self.layers = [make(*merged(linear)) for linear, *_ in hidden]
        self.head = make(*merged(policy.head))

    @torch.no_grad()
    def decide(
        self, histories: Sequence[History], observations: Tensor, actions: Tensor, returns_to_go: Tensor
    ) -> ActionDistribution:
        """See :meth:`PolicyDecoder.decide`."""
        x = self.normalizer.normalize_observation(observations)
        if self.encoder is not None:
            x = functional.relu(self.encoder(x))
        for layer in self.layers:
            x = layer.relu(x)
        return self.read(self.head(x))


class TransformerDecoder:
    """Decodes a Decision Transformer that sees the last ``context`` steps.

    While the window fills, keys and values are cached, and only the new tokens are encoded. Once the window slides, it
    is encoded in full at every step: cached keys and values depend on steps that have left the window. The embedded
    tokens are always kept.

    Args:
        policy: the policy. After its weights change, make another decoder: linear layers are copied.
        context: steps of the window.

    Raises:
        SeqrlError: the policy was made for fewer steps.
    """

    def __init__(self, policy: DecisionTransformer, context: int) -> None:
        check_context(policy, context)
        self.policy = policy
        self.context = context
        device = policy.head.weight.device
        longest = TOKENS_PER_STEP * context
        self.outputs = len(merged_weight(policy.head))
        self.hidden = torch.full((longest, longest), -torch.inf, device=device).triu(1)
        make = fastest_linear(device)
        self.adapters = EpisodeAdapters(policy)
        self.blocks = [PolicyLayer(block, make, self.adapters) for block in policy.blocks if isinstance(block, Block)]
        self.head = routed(make, self.adapters, policy.head)
        self.embed_return, self.embed_action = (
            make(*merged(linear)) for linear in (policy.embed_return, policy.embed_action)
        )
        embedding = policy.embed_observation
        self.embed_observation: Callable[[Tensor], Tensor] = (
            ImageLayer(embedding, make) if isinstance(embedding, ImageEncoder) else make(*merged(embedding))
        )

    @torch.no_grad()
    def decide(
        self, histories: Sequence[History], observations: Tensor, actions: Tensor, returns_to_go: Tensor
    ) -> ActionDistribution:
        """See :meth:`PolicyDecoder.decide`."""
        members = [self.adapters.members(history.adapter) for history in histories]
        groups: dict[tuple[int, bool, bool], list[int]] = defaultdict(list)
        for index, history in enumerate(histories):
            seen = min(history.steps, self.context)
            cached = 0 < seen < self.context and history.encoded_by == members[index]
            groups[seen, cached, self.adapters.prefixed(members[index])].append(index)
        numbers = returns_to_go.new_empty(len(histories), self.outputs)
        embedded = self._embed(histories, observations, actions, returns_to_go)
        for (_, cached, _), rows in groups.items():
            rows.sort(key=lambda row: members[row])
            used = [members[row] for row in rows]
            self.adapters.use(used)
            hidden = self._advance([histories[row] for row in rows], embedded[rows], used, cached)
            numbers[rows] = self.head(self.policy.norm(hidden))
        return self.policy.read(numbers)

    def _embed(
        self, histories: Sequence[History], observations: Tensor, actions: Tensor, returns_to_go: Tensor
    ) -> Tensor:
        """Inputs of the first block (episodes, 3, width): previous action, return-to-go, observation."""
        normalizer = self.policy.normalizer
        parts = [
            self.embed_action(normalizer.normalize_action(actions)),
            self.embed_return((returns_to_go * self.policy.return_scale).unsqueeze(-1)),
            self.embed_observation(normalizer.normalize_observation(observations)),
        ]
        tokens = torch.stack(parts, dim=1)
        if self.policy.embed_time is not None:
            now = torch.tensor([history.steps for history in histories], device=observations.device)
            steps = torch.stack([now - 1, now, now], dim=1).clamp(0, self.policy.embed_time.num_embeddings - 1)
            tokens = tokens + self.policy.embed_time(steps)
        normed: Tensor = self.policy.norm_embedding(tokens)
        return normed

    def _advance(self, histories: list[History], embedded: Tensor, members: list[Members], cached: bool) -> Tensor:
        """Advance episodes that see the same number of steps; returns the last block's output at the observations.

        Args:
            histories: histories of the episodes.
            embedded: (episodes, 3, width), previous action, return-to-go and observation.
            members: the adapters that each episode uses.
            cached: whether keys and values of the tokens before are cached.
        """
        first = histories[0].tokens is None
        new = embedded[:, 1:] if first else embedded
        if first:
            tokens = new
        else:
            before = torch.stack([history.tokens for history in histories if history.tokens is not None])
            tokens = torch.cat([before, new], dim=1)[:, -(TOKENS_PER_STEP * self.context - 1) :]
        if cached:
            kept = [history.cache for history in histories]
            hidden, cache = self._encode(new, kept, tokens.shape[1] - new.shape[1])
        else:
            hidden, cache = self._encode(tokens, [self.adapters.prefix(one) for one in members], 0)
        fills = histories[0].steps + 1 < self.context
        for row, history in enumerate(histories):
            history.steps += 1
            history.tokens = tokens[row]
            history.cache = [(key[row], value[row]) for key, value in cache] if fills else []
            history.encoded_by = members[row]
        return hidden

    def _encode(self, x: Tensor, kept: list[KeysValues], seen: int) -> tuple[Tensor, KeysValues]:
        """The last block's output at the last token, and each block's keys and values of all tokens so far.

        Args:
            x: (episodes, new tokens, width).
            kept: each episode's cached keys and values, and those of its prefix, by block; empty if there are none.
            seen: number of earlier tokens whose keys and values are cached.
        """
        cache = []
        hidden: Tensor | None = self.hidden[seen:, : seen + x.shape[1]][: x.shape[1]]
        for number, block in enumerate(self.blocks):
            normed = block.norm_attention(x)
            key, value = block.keys_and_values(normed)
            if kept[0]:
                key = torch.cat([torch.stack([blocks[number][0] for blocks in kept]), key], dim=2)
                value = torch.cat([torch.stack([blocks[number][1] for blocks in kept]), value], dim=2)
            cache.append((key, value))
            if number == len(self.blocks) - 1:  # only the last token predicts the action
                x, normed, hidden = x[:, -1:], normed[:, -1:], None
            prefixed = key.shape[2] - seen - len(hidden) if hidden is not None else 0
            x = block(x, normed, key, value, hidden if hidden is None else functional.pad(hidden, (prefixed, 0)))
        return x[:, 0], cache


def normalized(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """What ``norm(x)`` returns, for two thirds of the time that a module's call takes."""
    return torch.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


class PolicyLayer:
    """A transformer block whose linear layers process the rows of all episodes together.

    Args:
        block: the block, whose linear layers are copied.
        make: makes linear layers.
        episodes: the adapters that the episodes use.
    """

    def __init__(self, block: Block, make: MakeLinear, episodes: EpisodeAdapters) -> None:
        linear = partial(routed, make, episodes)
        self.n_head = block.n_head
        self.norm_attention = block.norm_attention
        self.norm_mlp = block.norm_mlp
        self.query = linear(block.query)
        self.key_value = linear(block.key, block.value)
        self.projection, self.mlp_in, self.mlp_out = map(linear, (block.projection, block.mlp_in, block.mlp_out))

    def keys_and_values(self, normed: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (episodes, heads, tokens, head_dim) of normed inputs (episodes, tokens, width)."""
        key, value = self.key_value(normed.flatten(0, 1)).view(*normed.shape[:2], -1).chunk(2, dim=-1)
        return self._heads(key), self._heads(value)

    def __call__(self, x: Tensor, normed: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None) -> Tensor:
        """The block's output at the last tokens.

        Args:
            x: (episodes, tokens, width).
            normed: ``x`` after the norm.
            key: keys of all tokens, (episodes, heads, past + tokens, head_dim).
            value: values of the same shape.
            hidden: (tokens, past + tokens), minus infinity where a token must not attend; None for no mask.
        """
        query = self._heads(self.query(normed.flatten(0, 1)).view(x.shape))
        with one_thread():  # which of several computes an episode changes its rounding
            attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=hidden)
        rows = self.projection.add_residual(x.flatten(0, 1), attended.transpose(1, 2).flatten(2).flatten(0, 1))
        return self.mlp_out.add_residual(rows, self.mlp_in.relu(normalized(self.norm_mlp, rows))).view(x.shape)

    def _heads(self, x: Tensor) -> Tensor:
        """(episodes, tokens, width) -> (episodes, heads, tokens, head_dim)."""
        return x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)
