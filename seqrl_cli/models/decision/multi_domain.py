"""The multi-domain Decision Transformer: one model for tasks of different observations and actions.

After L2M's MDDT (Schmied et al. 2023, arXiv 2306.14884, section 4), which follows the Multi-Game Decision Transformer
and Gato. What is unusual about it:

- a step is the tokens ``state, return-to-go, a_1 … a_K, reward``; ``a_1`` is predicted at the return-to-go and ``a_k``
  at ``a_{k-1}``, so an action costs K predictions;
- all tasks share one head over bins and discrete choices; a task uses its part of the ids only;
- a batch has tasks with equal observations and equally many action dimensions, so nothing is padded in a step;
- past actions can be hidden from later steps (``hide_actions``). A model that sees them copies them instead of reading
  the state, since they predict the next action well in the data but not in the loop (de Haan et al. 2019, arXiv
  1905.11979);
- it can also predict returns-to-go and next states (``predicts``), each with a head of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.block import Block, initialize_layers
from seqrl_cli.models.checks import require_divisible, require_dropouts, require_positive
from seqrl_cli.models.decision.action_tokens import ActionTokens, Scale
from seqrl_cli.models.decision.initialization import initialize
from seqrl_cli.models.decision.return_head import ReturnHead
from seqrl_cli.models.decision.step_tokens import BEFORE_ACTIONS, visible_tokens
from seqrl_cli.models.dropout import Dropout
from seqrl_cli.models.encoders.image import ImageEncoder, image_encoder_of
from seqrl_cli.models.encoders.vector import VectorEncoder

Prediction: TypeAlias = Literal["states", "returns"]
"""What a model can predict besides actions: the encodings of next observations, and returns-to-go."""


@dataclass(frozen=True)
class TaskWindows:
    """Windows of tasks with equal observations and equally many action dimensions.

    Attributes:
        observations: (batch, time, *shape).
        returns_to_go: (batch, time), divided by the domain's reward scale.
        actions: (batch, time, K) int64 ids.
        rewards: (batch, time), divided by the domain's reward scale.
        timesteps: (batch, time) int64, steps since the start of the episode.
        bodies: (batch,) int64, the number of the body among those of the input.
    """

    observations: Tensor
    returns_to_go: Tensor
    actions: Tensor
    rewards: Tensor
    timesteps: Tensor
    bodies: Tensor


@dataclass(frozen=True)
class Input:
    """What some tasks observe.

    Attributes:
        shape: shape of an observation.
        bodies: names of the bodies whose vectors are standardized apart; images have one.
        returns: lowest and highest return-to-go, divided by the domain's reward scale.
    """

    shape: tuple[int, ...]
    bodies: tuple[str, ...]
    returns: tuple[float, float] = (0.0, 1.0)


class MultiDomainTransformer(nn.Module):
    """A transformer that predicts actions, one dimension at a time, for tasks of several domains.

    Args:
        inputs: the inputs, by name; each has its own encoder.
        context: most steps of a window.
        bins: ids of continuous numbers.
        choices: ids of discrete choices; 0 if no task has discrete actions.
        scale: spacing of the bins.
        max_action_dim: most numbers per action.
        max_timestep: number of time embeddings; later steps use the last.
        hide_actions: whether a step's actions are hidden from later steps.
        image_encoder: ``impala`` or ``nature``.
        periodic: whether encoders of vectors read sines and cosines.
        predicts: names of what the model predicts besides actions.
        n_layer: blocks.
        n_head: attention heads; must divide ``width``.
        width: length of the hidden vectors.
        embedding_dropout: dropout probability of the embeddings.
        residual_dropout: dropout probability of each residual branch's output.
        attention_dropout: dropout probability of the attention weights.
        generator: source of the initial weights; the global one when None.

    Raises:
        SeqrlError: a size is not positive, ``n_head`` does not divide ``width``, or a dropout probability is outside
            [0, 1).
    """

    routes_adapters = True  # its decoder gives each episode its own

    def __init__(
        self,
        *,
        inputs: Mapping[str, Input],
        context: int = 5,
        bins: int = 64,
        choices: int = 18,
        scale: Scale = "linear",
        max_action_dim: int = 6,
        max_timestep: int = 1000,
        hide_actions: bool = True,
        image_encoder: str = "impala",
        periodic: bool = False,
        predicts: Collection[Prediction] = (),
        n_layer: int = 2,
        n_head: int = 2,
        width: int = 64,
        embedding_dropout: float = 0.0,
        residual_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        require_positive(context=context, bins=bins, max_action_dim=max_action_dim, max_timestep=max_timestep)
        require_positive(n_layer=n_layer, n_head=n_head, width=width)
        require_dropouts(embedding_dropout, residual_dropout, attention_dropout)
        require_divisible(n_head, width=width)
        self.tokens = ActionTokens(choices, bins, scale)
        self.context = self.max_context = context
        self.max_action_dim = max_action_dim
        self.hide_actions = hide_actions

        read = {name: _encoder(one, width, image_encoder, periodic) for name, one in inputs.items()}
        self.encoders = nn.ModuleDict(read)
        self.embed_return = nn.Linear(1, width)
        self.embed_reward = nn.Linear(1, width)
        self.embed_action = nn.Embedding(self.tokens.size, width)
        self.embed_kind = nn.Embedding(BEFORE_ACTIONS + max_action_dim + 1, width)
        self.embed_time = nn.Embedding(max_timestep, width)
        self.norm_embedding = nn.LayerNorm(width)
        self.dropout = Dropout(embedding_dropout)
        sizes = (width, n_head, residual_dropout, attention_dropout)
        self.blocks = nn.ModuleList(Block(*sizes, functional.relu) for _ in range(n_layer))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, self.tokens.size)
        initialize(self, generator)
        self._add_heads(inputs, predicts, generator)

    def forward(self, name: str, windows: TaskWindows) -> Tensor:
        """The logits of all ids for each number of each action, (batch, time, K, ids).

        Args:
            name: the input that the observations belong to.
            windows: windows of at most ``context`` steps.

        Raises:
            SeqrlError: the windows are too long.
        """
        return self.action_logits(self.hidden(name, windows, whole=False))

    def hidden(self, name: str, windows: TaskWindows, *, whole: bool = True) -> Tensor:
        """The last block's output at all tokens, (batch, time, K + 3, width); arguments as for :meth:`forward`.

        A token sees what comes before it in the window; so padding belongs after the real steps. Without ``whole``, it
        is 0 at the window's last two tokens, which predict no action and need not be computed.
        """
        batch, time, action_dim = windows.actions.shape
        if time > self.context:
            message = f"{time} steps are more than the model's context {self.context}"
            raise SeqrlError(message, "shorten the evaluation context, or train a model with a longer one")
        left_out = 0 if whole else 2
        used = time * (action_dim + BEFORE_ACTIONS + 1) - left_out
        x = self.dropout(self.embed(name, windows).flatten(1, 2)[:, :used])
        visible = visible_tokens(time, action_dim, self.hide_actions, x.device)[:used, :used]
        for block in self.blocks:
            x = block(x, visible)
        return functional.pad(x, (0, 0, 0, left_out)).unflatten(1, (time, action_dim + BEFORE_ACTIONS + 1))

    def action_logits(self, hidden: Tensor) -> Tensor:
        """Logits (batch, time, K, ids) of the actions, given the output of :meth:`hidden`."""
        # predicted at the return-to-go and at all actions but the last
        logits: Tensor = self.head(self.norm(hidden[:, :, BEFORE_ACTIONS - 1 : -2]))
        return logits

    def return_logits(self, hidden: Tensor) -> Tensor:
        """Logits (batch, time, bins) of the returns-to-go, given the output of :meth:`hidden`; see ``return_head``."""
        assert self.return_head is not None, "the model predicts returns"
        logits: Tensor = self.return_head(self.norm(hidden[:, :, 0]))
        return logits

    def next_states(self, name: str, hidden: Tensor) -> Tensor:
        """What the encoder will make of the next observations, (batch, time, ...), predicted at the last action."""
        predicted: Tensor = self.state_heads[name](self.norm(hidden[:, :, -2]))
        return predicted

    def return_distribution(self, name: str, windows: TaskWindows) -> tuple[Tensor, Tensor]:
        """How likely each return-to-go is at each step, given its state and what came before.

        A step's own return-to-go has no effect on it. ``MultiDomainDecoder.return_distribution`` gives it in play.

        Args:
            name: the input that the observations belong to.
            windows: windows of at most ``context`` steps.

        Returns:
            Probabilities (batch, time, bins), and the return-to-go that each bin stands for, (bins,), which is divided
            by the domain's reward scale.

        Raises:
            SeqrlError: the model was trained without returns, or the windows are too long.
        """
        head = self.require_return_head()
        return self.return_logits(self.hidden(name, windows)).softmax(dim=-1), head.centres(name)

    def require_return_head(self) -> ReturnHead:
        """The head of returns-to-go; raises SeqrlError if the model was trained without it."""
        if self.return_head is None:
            hint = "train with train.objective=actions+returns"
            raise SeqrlError("the model does not predict returns-to-go", hint)
        return self.return_head

    def _add_heads(
        self, inputs: Mapping[str, Input], predicts: Collection[Prediction], generator: torch.Generator | None
    ) -> None:
        """Add what predicts returns and states, after the rest, whose weights then do not depend on ``predicts``."""
        width = self.head.in_features
        ranges = {name: one.returns for name, one in inputs.items()}
        self.return_head = ReturnHead(ranges, width) if "returns" in predicts else None
        self.state_heads = nn.ModuleDict()
        for name, encoder in self.encoders.items() if "states" in predicts else ():
            assert isinstance(encoder, VectorEncoder | ImageEncoder)
            self.state_heads[name] = nn.Linear(width, encoder.target_size)
        for head in (self.return_head, self.state_heads):
            if head is not None:
                initialize_layers(head, generator, std=(3 * width) ** -0.5)

    def body_numbers(self, name: str, bodies: Sequence[str]) -> Tensor:
        """The numbers (bodies,) of bodies among those of an input, on the model's device."""
        known = self.bodies(name)
        return torch.tensor([known.index(body) for body in bodies], device=self.head.weight.device)

    def bodies(self, name: str) -> tuple[str, ...]:
        """The names of an input's bodies."""
        encoder = self.encoders[name]
        assert isinstance(encoder, VectorEncoder | ImageEncoder)
        return encoder.bodies

    def embed(self, name: str, windows: TaskWindows) -> Tensor:
        """Inputs of the first block, (batch, time, K + 3, width): state, return-to-go, actions, reward."""
        observed = self.encoders[name](windows.observations, windows.bodies)
        promised = self.embed_return(windows.returns_to_go.unsqueeze(-1))
        earned = self.embed_reward(windows.rewards.unsqueeze(-1))
        acted = self.embed_action(windows.actions)
        tokens = torch.cat([torch.stack([observed, promised], dim=2), acted, earned.unsqueeze(2)], dim=2)
        return self.place(tokens, self.kinds(windows.actions.shape[-1]), windows.timesteps.unsqueeze(2))

    def place(self, tokens: Tensor, kinds: Tensor, timesteps: Tensor) -> Tensor:
        """Add to embedded tokens (..., tokens, width) what kinds they are and when they are, and normalize them.

        Args:
            tokens: the embedded tokens.
            kinds: (tokens,), from :meth:`kinds`.
            timesteps: (..., 1) or (..., tokens), steps since the start of the episode.
        """
        times = self.embed_time(timesteps.clamp(max=self.embed_time.num_embeddings - 1))
        normed: Tensor = self.norm_embedding(tokens + self.embed_kind(kinds) + times)
        return normed

    def kinds(self, action_dim: int) -> Tensor:
        """The kinds of a step's tokens, (K + 3,); a reward's is the last, whatever the number of action dimensions."""
        last = self.embed_kind.num_embeddings - 1
        numbers = [*range(BEFORE_ACTIONS + action_dim), last]
        return torch.tensor(numbers, device=self.embed_kind.weight.device)


def _encoder(observed: Input, width: int, image_encoder: str, periodic: bool) -> VectorEncoder | ImageEncoder:
    shape = observed.shape
    if len(shape) == 1:
        return VectorEncoder(shape[0], width, observed.bodies, periodic)
    return image_encoder_of(shape, width, image_encoder, observed.bodies)
