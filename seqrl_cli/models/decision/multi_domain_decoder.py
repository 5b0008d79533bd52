"""Decoding of the multi-domain Decision Transformer: one action in many episodes of many tasks at once.

A step of play encodes the window once and then adds one token per further action dimension to cached keys and values.
Episodes whose windows have equally many tokens share all products, whatever their tasks. On a CPU, an episode's result
does not depend on the other episodes, bit for bit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.block import Block
from seqrl_cli.models.decision.action_tokens import Decode
from seqrl_cli.models.decision.decoder import PolicyLayer
from seqrl_cli.models.decision.multi_domain import BEFORE_ACTIONS, MultiDomainTransformer
from seqrl_cli.models.decoding.episode_adapters import EpisodeAdapters, KeysValues, Members
from seqrl_cli.models.decoding.invariant_linear import DecoderLinear, fastest_linear, merged
from seqrl_cli.models.decoding.routed_linear import routed
from seqrl_cli.models.encoders.image import ImageEncoder
from seqrl_cli.models.encoders.vector import VectorEncoder


@dataclass
class TaskHistory:
    """The part of one episode that the model sees.

    Attributes:
        name: the input that its observations belong to.
        action_dim: numbers per action (K); 1 for a discrete choice.
        choices: number of discrete choices; None if actions are continuous.
        body: number of its body among those of the input.
        steps: finished steps of the episode.
        tokens: (tokens, width) per finished step in the window, inputs of the first block.
        actions: ids (K,) of the latest action.
        current: (2, width), state and return-to-go of the step that is being decided.
        adapter: number of the adapter that decides, or of several prompts; -1 for none; None for the one that the
            model used when the decoder was made.
    """

    name: str
    action_dim: int
    choices: int | None = None
    body: int = 0
    steps: int = 0
    tokens: list[Tensor] = field(default_factory=list)
    actions: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    current: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    adapter: int | Members | None = None


class MultiDomainDecoder:
    """Decodes the model with windows of ``context`` steps.

    Args:
        model: on its device; its weights are copied.
        context: steps of the window, the current one included.
        decode: how a continuous number is chosen.

    Raises:
        SeqrlError: the model was made for fewer steps.
    """

    def __init__(self, model: MultiDomainTransformer, context: int, decode: Decode = "mean") -> None:
        if not 1 <= context <= model.max_context:
            message = f"a context of {context} steps was requested, but the model sees 1 to {model.max_context}"
            raise SeqrlError(message, f"set plan.max_context_transitions to {model.max_context} or less")
        self.model = model
        self.context = context
        self.decode = decode
        device = model.head.weight.device
        make = fastest_linear(device)
        self.adapters = EpisodeAdapters(model)
        self.blocks = [PolicyLayer(block, make, self.adapters) for block in model.blocks if isinstance(block, Block)]
        self.head = routed(make, self.adapters, model.head)
        self.embed_return, self.embed_reward = (
            make(*merged(linear)) for linear in (model.embed_return, model.embed_reward)
        )
        self.projects: dict[str, DecoderLinear] = {}
        self.hidden: dict[str, DecoderLinear] = {}
        for name, encoder in model.encoders.items():
            assert isinstance(encoder, VectorEncoder | ImageEncoder)
            self.projects[name] = make(*merged(encoder.project))
            if isinstance(encoder, VectorEncoder):
                self.hidden[name] = make(*merged(encoder.hidden))
        self.centres = model.tokens.centres(device)

    @torch.no_grad()
    def decide(
        self,
        histories: Sequence[TaskHistory],
        observations: Sequence[Tensor],
        returns_to_go: Tensor,
        draws: Sequence[Tensor] | None = None,
    ) -> list[Tensor]:
        """Choose the next action of each episode.

        Args:
            histories: one per episode; updated in place.
            observations: the current one of each episode, ``(*shape,)``.
            returns_to_go: (episodes,), divided by the domain's reward scale.
            draws: (K,) uniform random numbers of each episode, with which actions are sampled; None otherwise.

        Returns:
            For each episode (K,) float32: numbers in [-1, 1], or the index of a discrete choice.
        """
        self.observe(histories, observations, returns_to_go)
        return self.choose(histories, draws)

    @torch.no_grad()
    def observe(self, histories: Sequence[TaskHistory], observations: Sequence[Tensor], returns_to_go: Tensor) -> None:
        """Embed the current state and return-to-go of each episode; arguments as for :meth:`decide`.

        Between this and :meth:`choose`, an episode's adapter can be chosen by what it observes.
        """
        by_name: dict[str, list[int]] = defaultdict(list)
        for index, history in enumerate(histories):
            by_name[history.name].append(index)
        for name, rows in by_name.items():
            bodies = torch.tensor([histories[row].body for row in rows], device=returns_to_go.device)
            observed = self._observe(name, [observations[row] for row in rows], bodies)
            promised = self.embed_return(returns_to_go[rows].unsqueeze(-1))
            when = torch.tensor([[histories[row].steps] for row in rows], device=promised.device)
            kinds = torch.arange(BEFORE_ACTIONS, device=promised.device)
            placed = self.model.place(torch.stack([observed, promised], dim=1), kinds, when)
            for row, tokens in zip(rows, placed, strict=True):
                histories[row].current = tokens

    @torch.no_grad()
    def choose(self, histories: Sequence[TaskHistory], draws: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Choose the next action of each episode after :meth:`observe`; arguments as for :meth:`decide`."""
        members = [self.adapters.members(history.adapter) for history in histories]
        groups: dict[tuple[int, int, bool], list[int]] = defaultdict(list)
        for index, history in enumerate(histories):
            prefixed = self.adapters.prefixed(members[index])
            groups[len(history.tokens), history.action_dim, prefixed].append(index)
        actions: dict[int, Tensor] = {}
        for rows in groups.values():
            rows.sort(key=lambda row: members[row])
            self.adapters.use([members[row] for row in rows])
            own = None if draws is None else torch.stack([draws[row] for row in rows])
            chosen = self._choose([histories[row] for row in rows], own)
            actions |= dict(zip(rows, chosen, strict=True))
        return [actions[index] for index in range(len(histories))]

    @torch.no_grad()
    def earn(self, histories: Sequence[TaskHistory], rewards: Tensor) -> None:
        """Finish the step of each episode with the reward (episodes,) that its action earned, in the domain's scale."""
        earned = self.embed_reward(rewards.unsqueeze(-1))
        for history, reward in zip(histories, earned, strict=True):
            kinds = self.model.kinds(history.action_dim)
            when = torch.tensor([history.steps], device=rewards.device)
            past = [history.current]
            if not self.model.hide_actions:
                acted = self.model.embed_action(history.actions)
                past.append(self.model.place(acted, kinds[BEFORE_ACTIONS:-1], when))
            past.append(self.model.place(reward.unsqueeze(0), kinds[-1:], when))
            history.tokens = [*history.tokens, torch.cat(past)][-(self.context - 1) :] if self.context > 1 else []
            history.steps += 1

    @torch.no_grad()
    def queries(self, histories: Sequence[TaskHistory]) -> Tensor:
        """The mean embedded state of each window after :meth:`observe`, (episodes, width), for a pool of keys."""
        windows = [[tokens[0] for tokens in (*history.tokens, history.current)] for history in histories]
        return torch.stack([torch.stack(states).mean(dim=0) for states in windows])

    @torch.no_grad()
    def features(self, histories: Sequence[TaskHistory]) -> Tensor:
        """What the base model makes of each current state, after its last norm and without adapters.

        A classifier of tasks reads it, after :meth:`observe` and before an adapter is chosen.

        Returns:
            (episodes, width).
        """
        windows = [torch.cat([*history.tokens, history.current[:1]]) for history in histories]
        groups: dict[int, list[int]] = defaultdict(list)
        for index, window in enumerate(windows):
            groups[len(window)].append(index)
        found = torch.empty(len(windows), windows[0].shape[1], device=windows[0].device)
        for rows in groups.values():
            self.adapters.use([()] * len(rows))
            hidden, _ = self._encode(torch.stack([windows[row] for row in rows]), [])
            found[rows] = self.model.norm(hidden)
        return found

    def _observe(self, name: str, observations: list[Tensor], bodies: Tensor) -> Tensor:
        """Embedded observations (episodes, width) of one input."""
        encoder = self.model.encoders[name]
        if isinstance(encoder, VectorEncoder):
            features = self.hidden[name].relu(encoder.features(torch.stack(observations), bodies))
        else:
            assert isinstance(encoder, ImageEncoder)
            # On a CPU, a convolution's bits depend on the number of images.
            batches = [image.unsqueeze(0) for image in observations] if bodies.is_cpu else [torch.stack(observations)]
            features = torch.cat([encoder.features(batch) for batch in batches])
        embedded: Tensor = self.projects[name](features)
        return embedded

    def _choose(self, histories: Sequence[TaskHistory], draws: Tensor | None) -> list[Tensor]:
        """Choose the actions of episodes with equally long windows and equally many action dimensions.

        Args:
            histories: of the episodes.
            draws: (episodes, K) uniform random numbers; None unless actions are sampled.
        """
        first = histories[0]
        windows = [torch.cat([*history.tokens, history.current]) for history in histories]
        prefixes = self.adapters.prefixes([self.adapters.members(history.adapter) for history in histories])
        hidden, cache = self._encode(torch.stack(windows), prefixes)
        kinds = self.model.kinds(first.action_dim)[BEFORE_ACTIONS:]
        now = torch.tensor([[history.steps] for history in histories], device=hidden.device)
        ids: list[Tensor] = []
        values: list[Tensor] = []
        for dimension in range(first.action_dim):
            if ids:
                token = self.model.embed_action(ids[-1]).unsqueeze(1)
                placed = self.model.place(token, kinds[dimension - 1 : dimension], now)
                hidden, cache = self._encode(placed, cache)
            logits = self.head(self.model.norm(hidden))
            chosen, value = self._pick(logits, histories, None if draws is None else draws[:, dimension])
            ids.append(chosen)
            values.append(value)
        for history, row in zip(histories, torch.stack(ids, dim=1), strict=True):
            history.actions = row
        return list(torch.stack(values, dim=1))

    def _pick(self, logits: Tensor, histories: Sequence[TaskHistory], draws: Tensor | None) -> tuple[Tensor, Tensor]:
        """Ids (episodes,), and the numbers or choices that they stand for, given logits (episodes, ids)."""
        tokens = self.model.tokens
        forbidden = torch.ones_like(logits, dtype=torch.bool)
        for row, history in enumerate(histories):
            forbidden[row, tokens.allowed(history.choices)] = False
        weights = logits.masked_fill(forbidden, -torch.inf).softmax(dim=-1)
        ids = weights.argmax(dim=-1) if draws is None else _sample(weights, draws)
        discrete = torch.tensor([history.choices is not None for history in histories], device=logits.device)
        values = torch.where(discrete, ids.float(), self.centres[(ids - tokens.choices).clamp(min=0)])
        if self.decode == "mean":
            means = (weights[:, tokens.choices :] * self.centres).sum(dim=-1)
            values = torch.where(discrete, values, means)
            ids = torch.where(discrete, ids, tokens.encode(means))
        return ids, values

    def _encode(self, x: Tensor, cache: KeysValues) -> tuple[Tensor, KeysValues]:
        """The last block's output at the last token, and the keys and values of all tokens so far by block.

        Args:
            x: (episodes, new tokens, width); a single one if tokens came before.
            cache: of the tokens before, or of prefixes.
        """
        length = x.shape[1]
        hidden = torch.full((length, length), -torch.inf, device=x.device).triu(1) if length > 1 else None
        grown: KeysValues = []
        for number, block in enumerate(self.blocks):
            normed = block.norm_attention(x)
            key, value = block.keys_and_values(normed)
            if cache:
                key, value = (torch.cat(pair, dim=2) for pair in zip(cache[number], (key, value), strict=True))
            grown.append((key, value))
            if number == len(self.blocks) - 1:  # only the last token predicts
                x, normed, hidden = x[:, -1:], normed[:, -1:], None
            before = key.shape[2] - length
            x = block(x, normed, key, value, functional.pad(hidden, (before, 0)) if hidden is not None else None)
        return x[:, -1], grown


def _sample(weights: Tensor, draws: Tensor) -> Tensor:
    """Ids (episodes,) drawn with probabilities ``weights`` (episodes, ids), by inverting their sums at ``draws``."""
    sums = weights.double().cumsum(dim=-1)
    ids = (sums < draws.double().unsqueeze(-1) * sums[:, -1:]).sum(dim=-1)
    return ids.clamp(max=weights.shape[-1] - 1)
