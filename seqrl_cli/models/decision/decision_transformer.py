"""Decision Transformers: actions out of returns-to-go and observations, by a causal transformer.

Deterministic (Chen et al. 2021, arXiv 2106.01345) or stochastic (Zheng et al. 2022, arXiv 2202.05607).

What is unusual about it:

- an action is read at its observation's token, so the last block computes these tokens only;
- the observations' mean and the actions' bounds are buffers, so that they travel with the weights;
- where a token stands is told by the causal mask alone, unless there is a time embedding;
- embeddings are normalised before the first block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.block import Block, initialize_layers
from seqrl_cli.models.checks import require_divisible, require_dropouts, require_positive
from seqrl_cli.models.decision.action_distribution import (
    ActionDistribution,
    Gaussian,
    Point,
    SquashedGaussian,
    bounded_log_std,
)
from seqrl_cli.models.decision.normalizer import Normalizer
from seqrl_cli.models.dropout import Dropout

TOKENS = 3  # a step's return-to-go, observation and action


class DecisionTransformer(nn.Module):
    """A transformer over steps ``[return-to-go, observation, action]`` that says each action at its observation.

    Where a token stands is told by the causal mask alone, unless there is a time embedding.

    Args:
        observation_dim: numbers an observation.
        action_dim: numbers an action.
        context: most steps in an input (K).
        stochastic: a Gaussian with its own deviation for every state and dimension, rather than a point.
        squash: whether the Gaussian is squashed into the box by tanh; a point always is.
        max_timestep: number of time embeddings, one a step of an episode; None for no time embedding.
        return_scale: what a return-to-go is multiplied by.
        n_layer: blocks.
        n_head: attention heads; must divide ``width``.
        width: length of the hidden vectors.
        embedding_dropout: fraction of embedded numbers dropped in training.
        residual_dropout: fraction dropped of what each half block adds.
        attention_dropout: fraction of attention weights dropped in training.
        generator: source of the initial weights; the global one when None.

    Raises:
        SeqrlError: the arguments make no model.
    """

    gains_from_bf16 = True

    def __init__(
        self,
        *,
        observation_dim: int,
        action_dim: int,
        context: int = 20,
        stochastic: bool = True,
        squash: bool = True,
        max_timestep: int | None = None,
        return_scale: float = 1e-3,
        n_layer: int = 4,
        n_head: int = 4,
        width: int = 512,
        embedding_dropout: float = 0.1,
        residual_dropout: float = 0.1,
        attention_dropout: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        require_positive(observation_dim=observation_dim, action_dim=action_dim, context=context)
        require_positive(n_layer=n_layer, n_head=n_head, width=width)
        require_dropouts(embedding_dropout, residual_dropout, attention_dropout)
        require_divisible(n_head, width=width)
        self.observation_dim, self.action_dim = observation_dim, action_dim
        self.context = self.max_context = context
        self.stochastic, self.squash, self.return_scale = stochastic, squash, return_scale

        self.normalizer = Normalizer(observation_dim, action_dim)
        self.embed_return = nn.Linear(1, width)
        self.embed_observation = nn.Linear(observation_dim, width)
        self.embed_action = nn.Linear(action_dim, width)
        self.embed_time = None if max_timestep is None else nn.Embedding(max_timestep, width)
        self.norm_embedding = nn.LayerNorm(width)
        self.dropout = Dropout(embedding_dropout)
        sizes = (width, n_head, residual_dropout, attention_dropout)
        self.blocks = nn.ModuleList(Block(*sizes, functional.relu) for _ in range(n_layer))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2 * action_dim if stochastic else action_dim)
        visible = torch.ones(TOKENS * context - 1, TOKENS * context - 1, dtype=torch.bool).tril()
        self.visible: Tensor
        self.register_buffer("visible", visible, persistent=False)
        initialize(self, generator)

    def forward(
        self, observations: Tensor, actions: Tensor, returns_to_go: Tensor, timesteps: Tensor
    ) -> ActionDistribution:
        """What the policy does at each step, in units of the action box scaled to [-1, 1].

        A step sees itself and the steps before it, its own action excepted; so padding belongs after the real steps.

        Args:
            observations: (batch, time, observation_dim), time <= context.
            actions: (batch, time, action_dim); the last one is not looked at.
            returns_to_go: (batch, time), undiscounted and unscaled.
            timesteps: (batch, time) int64, steps since the episode began.
        """
        time = observations.shape[1]
        if time > self.context:
            message = f"{time} steps are more than the model's context {self.context}"
            raise SeqrlError(message, "shorten the evaluation context, or train a model with a longer one")
        x = self.dropout(self.embed(observations, actions, returns_to_go, timesteps)[:, :-1])
        visible = self.visible[: x.shape[1], : x.shape[1]]
        *first, last = self.blocks
        for block in first:
            x = block(x, visible)
        at_observations = slice(1, None, TOKENS)
        assert isinstance(last, Block)
        x = last.forward_rows(x, visible[at_observations], at_observations)
        return self.read(self.head(self.norm(x)))

    def embed(self, observations: Tensor, actions: Tensor, returns_to_go: Tensor, timesteps: Tensor) -> Tensor:
        """Inputs of the first block, (batch, 3 * time, width), each of which depends on its own numbers only."""
        returns = (returns_to_go * self.return_scale).unsqueeze(-1)
        embedded = [
            self.embed_return(returns),
            self.embed_observation(self.normalizer.normalize_observation(observations)),
            self.embed_action(self.normalizer.normalize_action(actions)),
        ]
        tokens = torch.stack(embedded, dim=2)  # (batch, time, 3, width)
        if self.embed_time is not None:
            latest = self.embed_time.num_embeddings - 1  # an episode may last longer than those of the data
            tokens = tokens + self.embed_time(timesteps.clamp(max=latest)).unsqueeze(2)
        normed: Tensor = self.norm_embedding(tokens.flatten(1, 2))
        return normed

    def read(self, head: Tensor) -> ActionDistribution:
        """The distribution that the head's numbers (..., head) stand for."""
        numbers = head.float()  # whatever the precision before: squashing and densities need the digits
        if not self.stochastic:
            return Point(torch.tanh(numbers))
        mean, raw = numbers.chunk(2, dim=-1)
        return (SquashedGaussian if self.squash else Gaussian)(mean, bounded_log_std(raw))


def initialize(model: DecisionTransformer, generator: torch.Generator | None = None) -> None:
    """Set every weight.

    ====================================  =============================================
    blocks, time embedding                normal, deviation 0.02; biases zero
    embeddings of numbers                 uniform within 1/sqrt(inputs), biases too
    head                                  orthogonal, mean and deviation each; bias zero
    scales of norms                       one
    ====================================  =============================================

    The embeddings of numbers keep random biases: normalised without one, a return's embedding would not depend on how
    large the return is.

    Args:
        model: overwritten.
        generator: source of the weights; the global one when None.
    """
    initialize_layers(model, generator)
    for embedding in (model.embed_return, model.embed_observation, model.embed_action):
        bound = embedding.in_features**-0.5
        nn.init.uniform_(embedding.weight, -bound, bound, generator=generator)
        nn.init.uniform_(embedding.bias, -bound, bound, generator=generator)
    for rows in model.head.weight.data.split(model.action_dim):  # the mean's and the deviation's
        nn.init.orthogonal_(rows, generator=generator)
