"""Decoding of the multi-domain Decision Transformer: one action in many episodes of many tasks at once.

A step of play encodes the window once and then adds one token per further action dimension to cached keys and values.
Episodes with equally long windows share all products. On a CPU, no bit of an episode depends on the other episodes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.block import Block
from seqrl_cli.models.decision.action_choice import ActionChoice
from seqrl_cli.models.decision.action_tokens import Decode
from seqrl_cli.models.decision.decoder import PolicyLayer, normalized
from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer
from seqrl_cli.models.decision.step_tokens import BEFORE_ACTIONS, hidden_tokens
from seqrl_cli.models.decision.task_history import TaskHistory
from seqrl_cli.models.decoding.episode_adapters import EpisodeAdapters, KeysValues, Members
from seqrl_cli.models.decoding.invariant_linear import (
    BatchInvariantLinear,
    DecoderLinear,
    MakeLinear,
    fastest_linear,
    merged,
)
from seqrl_cli.models.decoding.routed_linear import routed
from seqrl_cli.models.device import one_thread
from seqrl_cli.models.encoders.image import ImageEncoder
from seqrl_cli.models.encoders.vector import VectorEncoder

_LARGE_WEIGHT = 2**20


class MultiDomainDecoder:
    """Decodes the model with windows of ``context`` steps.

    Args:
        model: the model, on its device. After its weights change, make another decoder: linear layers are copied.
        context: steps of the window, the current one included.
        decode: the rule that chooses a continuous number.
        choose: sets the adapters of episodes whose current states are embedded; None leaves them as they are.

    Raises:
        SeqrlError: the model was made for fewer steps.
    """

    def __init__(
        self,
        model: MultiDomainTransformer,
        context: int,
        decode: Decode = "mean",
        choose: Callable[[Sequence[TaskHistory]], None] | None = None,
    ) -> None:
        if not 1 <= context <= model.max_context:
            message = f"a context of {context} steps was requested, but the model sees 1 to {model.max_context}"
            raise SeqrlError(message, f"set plan.max_context_transitions to {model.max_context} or less")
        self.model = model
        self.context = context
        self.choose = choose
        device = model.head.weight.device
        make = _linear_on(device)
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
                self.hidden[name] = make(*encoder.hidden_layer())
        if model.return_head is not None:
            self.returns = make(*merged(model.return_head.logits))
        self.choice = ActionChoice(model.tokens, decode, device)
        self.device = device
        self._known_kinds: dict[int, Tensor] = {}

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
        current = self._tokens(histories, observations, returns_to_go)
        if self.context > 1 or self.choose:  # to split a batch takes long
            for history, tokens in zip(histories, current, strict=True):
                history.current = tokens
        self._choose_adapters(histories)
        members = [self.adapters.members(history.adapter) for history in histories]
        actions: dict[int, Tensor] = {}
        for rows in self._groups(histories, members):
            own = None if draws is None else torch.stack([draws[row] for row in rows])
            chosen = self._choose([histories[row] for row in rows], current[rows], own)
            actions |= dict(zip(rows, chosen, strict=True))
        return [actions[index] for index in range(len(histories))]

    @torch.no_grad()
    def return_distribution(
        self, histories: Sequence[TaskHistory], observations: Sequence[Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        """How likely each return-to-go is in each episode, before the model is told one.

        A planner can choose a return from it and give it to :meth:`decide`, with the same histories and observations;
        this method changes nothing of a history but ``observed``. It uses the adapters of the step before.

        Args:
            histories: one per episode.
            observations: the current one of each episode, ``(*shape,)``.

        Returns:
            For each episode probabilities (bins,), and the returns-to-go that the bins stand for, (bins,), divided by
            the domain's reward scale.

        Raises:
            SeqrlError: the model was trained without returns.
        """
        head = self.model.require_return_head()
        states = self._tokens(histories, observations, torch.zeros(len(histories)))[:, :1]
        found: dict[int, tuple[Tensor, Tensor]] = {}
        members = [self.adapters.members(history.adapter) for history in histories]
        for rows in self._groups(histories, members):
            window = _window([histories[row] for row in rows], states[rows])
            hidden, _ = self._encode(window, self.adapters.prefixes([members[row] for row in rows]))
            weights = self.returns(self.model.norm(hidden)).softmax(dim=-1)
            found |= {row: (own, head.centres(histories[row].name)) for row, own in zip(rows, weights, strict=True)}
        return [found[index] for index in range(len(histories))]

    @torch.no_grad()
    def earn(self, histories: Sequence[TaskHistory], rewards: Tensor) -> None:
        """Finish the step of each episode with the reward (episodes,) that its action earned, in the domain's scale."""
        if self.context > 1:
            for rows in _grouped(0 if self.model.hide_actions else history.action_dim for history in histories):
                self._remember([histories[row] for row in rows], rewards[rows])
        for history in histories:
            history.steps += 1

    def _remember(self, histories: Sequence[TaskHistory], rewards: Tensor) -> None:
        """Add the latest step to windows; if later steps see actions, these have equally many numbers."""
        now = _steps(histories, rewards.device)
        past = [torch.stack([history.current for history in histories])]
        kinds = self._kinds(histories[0].action_dim)
        if not self.model.hide_actions:
            acted = self.model.embed_action(torch.stack([history.actions for history in histories]))
            past.append(self.model.place(acted, kinds[BEFORE_ACTIONS:-1], now))
        earned = self.embed_reward(rewards.unsqueeze(-1)).unsqueeze(1)
        past.append(self.model.place(earned, kinds[-1:], now))
        for history, tokens in zip(histories, torch.cat(past, dim=1), strict=True):
            history.tokens = [*history.tokens, tokens][-(self.context - 1) :]

    def _tokens(
        self, histories: Sequence[TaskHistory], observations: Sequence[Tensor], returns_to_go: Tensor
    ) -> Tensor:
        """The embedded states and returns-to-go (episodes, 2, width); those of one input are embedded together."""
        device = self.device
        returns_to_go = returns_to_go.to(device)
        found = torch.empty(len(histories), BEFORE_ACTIONS, self.model.head.in_features, device=device)
        for rows in _grouped(history.name for history in histories):
            own = [histories[row] for row in rows]
            bodies = torch.tensor([history.body for history in own], device=device)
            observed = self._observe(own[0].name, [observations[row] for row in rows], bodies)
            promised = self.embed_return(returns_to_go[rows].unsqueeze(-1))
            kinds = self._kinds(1)[:BEFORE_ACTIONS]
            found[rows] = self.model.place(torch.stack([observed, promised], dim=1), kinds, _steps(own, device))
            if self.choose:
                for history, features in zip(own, observed, strict=True):
                    history.observed = features
        return found

    def _groups(self, histories: Sequence[TaskHistory], members: Sequence[Members]) -> Iterator[list[int]]:
        """Places of episodes that share all products, whose adapters are in use until the next group."""
        for rows in _grouped(
            (len(history.tokens), history.action_dim, self.adapters.prefixed(own))
            for history, own in zip(histories, members, strict=True)
        ):
            rows.sort(key=lambda row: members[row])
            self.adapters.use([members[row] for row in rows])
            yield rows

    def _choose_adapters(self, histories: Sequence[TaskHistory]) -> None:
        """Let the adapters of the current steps be chosen."""
        if self.choose:
            self.choose(histories)
            for history in histories:
                assert history.adapter is not None
                history.chosen.append(history.adapter)

    def _kinds(self, action_dim: int) -> Tensor:
        """The kinds of a step's tokens, made once."""
        if action_dim not in self._known_kinds:
            self._known_kinds[action_dim] = self.model.kinds(action_dim)
        return self._known_kinds[action_dim]

    def _observe(self, name: str, observations: list[Tensor], bodies: Tensor) -> Tensor:
        """Embedded observations (episodes, width) of one input."""
        encoder = self.model.encoders[name]
        if isinstance(encoder, VectorEncoder):
            features = self.hidden[name].relu(encoder.features(torch.stack(observations), bodies))
        else:
            assert isinstance(encoder, ImageEncoder)
            # On a CPU, a convolution's bits depend on the number of images, and of threads.
            batches = [image.unsqueeze(0) for image in observations] if bodies.is_cpu else [torch.stack(observations)]
            with one_thread():
                features = torch.cat([encoder.features(batch) for batch in batches])
        embedded: Tensor = self.projects[name](features)
        return embedded

    def _choose(self, histories: Sequence[TaskHistory], current: Tensor, draws: Tensor | None) -> list[Tensor]:
        """Choose the actions of episodes with equally long windows and equally many action dimensions.

        Args:
            histories: histories of the episodes.
            current: (episodes, 2, width), their states and returns-to-go.
            draws: (episodes, K) uniform random numbers; None unless actions are sampled.
        """
        action_dim = histories[0].action_dim
        prefixes = self.adapters.prefixes([self.adapters.members(history.adapter) for history in histories])
        hidden, cache = self._encode(_window(histories, current), prefixes)
        model = self.model
        kinds = model.embed_kind(self._kinds(action_dim)[BEFORE_ACTIONS:])
        times = model.embed_time(_steps(histories, hidden.device).clamp(max=model.embed_time.num_embeddings - 1))
        allowed = self.choice.allowed([history.choices for history in histories])
        ids: list[Tensor] = []
        values: list[Tensor] = []
        for dimension in range(action_dim):
            if ids:
                token = model.embed_action(ids[-1]).unsqueeze(1)  # placed as by the model, with fewer operations
                placed = normalized(model.norm_embedding, token + kinds[dimension - 1] + times)
                hidden, cache = self._encode(placed, cache)
            logits = self.head(normalized(model.norm, hidden))
            chosen, value = self.choice.pick(logits, allowed, None if draws is None else draws[:, dimension])
            ids.append(chosen)
            values.append(value)
        for history, row in zip(histories, torch.stack(ids, dim=1), strict=True):
            history.actions = row
        return list(torch.stack(values, dim=1))

    def _encode(self, x: Tensor, cache: KeysValues) -> tuple[Tensor, KeysValues]:
        """The last block's output at the last token, and the keys and values of all tokens so far by block.

        Args:
            x: (episodes, new tokens, width); a single one if tokens came before.
            cache: keys and values of the tokens before, or of prefixes, by block.
        """
        length = x.shape[1]
        hidden = hidden_tokens(length, x.device) if length > 1 else None
        grown: KeysValues = []
        for number, block in enumerate(self.blocks):
            normed = normalized(block.norm_attention, x)
            key, value = block.keys_and_values(normed)
            if cache:
                key, value = (torch.cat(pair, dim=2) for pair in zip(cache[number], (key, value), strict=True))
            grown.append((key, value))
            if number == len(self.blocks) - 1:  # only the last token predicts
                x, normed, hidden = x[:, -1:], normed[:, -1:], None
            before = key.shape[2] - length
            x = block(x, normed, key, value, functional.pad(hidden, (before, 0)) if hidden is not None else None)
        return x[:, -1], grown


def _window(histories: Sequence[TaskHistory], current: Tensor) -> Tensor:
    """The inputs of the first block (episodes, tokens, width) of episodes with equally long windows.

    Args:
        histories: histories of the episodes.
        current: (episodes, new tokens, width), what comes after the finished steps.
    """
    if not histories[0].tokens:
        return current
    before = torch.cat([token for history in histories for token in history.tokens])
    return torch.cat([before.view(len(histories), -1, current.shape[-1]), current], dim=1)


def _steps(histories: Sequence[TaskHistory], device: torch.device) -> Tensor:
    """Finished steps of episodes, (episodes, 1)."""
    return torch.tensor([[history.steps] for history in histories], device=device)


def _grouped(keys: Iterable[Hashable]) -> list[list[int]]:
    """The places of equal keys, in the order of their first ones."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        groups[key].append(place)
    return list(groups.values())


def _linear_on(device: torch.device) -> MakeLinear:
    """The faster kind of layer by its size: the C++ one loses to PyTorch's where its weights exceed the cache."""
    fastest = fastest_linear(device)
    return lambda weight, bias: (BatchInvariantLinear if weight.numel() >= _LARGE_WEIGHT else fastest)(weight, bias)
