"""Decision Transformers: a causal transformer predicts actions from returns-to-go and observations.

Deterministic (Chen et al. 2021, arXiv 2106.01345) or stochastic (Zheng et al. 2022, arXiv 2202.05607).

What is unusual about it:

- an action is predicted at its observation's token, so the last block computes only these tokens;
- the normalizer's statistics and bounds are buffers, saved with the weights;
- without a time embedding, only the causal mask conveys positions;
- embeddings are normalized before the first block.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.block import Block, initialize_layers, initialize_uniformly
from seqrl_cli.models.checks import require_divisible, require_dropouts, require_positive
from seqrl_cli.models.decision.action_distribution import (
    ActionDistribution,
    Categorical,
    Gaussian,
    PointMass,
    SquashedGaussian,
    bounded_log_std,
)
from seqrl_cli.models.decision.normalizer import Normalizer
from seqrl_cli.models.dropout import Dropout
from seqrl_cli.models.encoders.image import image_encoder_of
from seqrl_cli.models.loss import precise

TOKENS_PER_STEP = 3  # return-to-go, observation and action


class DecisionTransformer(nn.Module):
    """A transformer over steps ``[return-to-go, observation, action]`` that predicts each action at its observation.

    Args:
        observation_shape: shape of one observation; one axis for a vector, two or three for an image of bytes.
        action_dim: numbers per action, or choices if ``discrete``.
        discrete: whether an action is one of ``action_dim`` choices; the model predicts their probabilities.
        image_encoder: ``impala`` or ``nature``, the network that reads images.
        context: most steps in an input (K).
        stochastic: predict a Gaussian per dimension, whose standard deviation depends on the state, instead of a point;
            for choices, whether they are learnt under an entropy constraint and sampled in exploration.
        squash: whether tanh squashes the Gaussian into the box; a point is always squashed.
        max_timestep: number of time embeddings, one per step of an episode; None for no time embedding.
        return_scale: factor of returns-to-go.
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
        observation_shape: Sequence[int],
        action_dim: int,
        discrete: bool = False,
        image_encoder: str = "impala",
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
        require_positive(observation_size=min(observation_shape), action_dim=action_dim, context=context)
        require_positive(n_layer=n_layer, n_head=n_head, width=width)
        require_dropouts(embedding_dropout, residual_dropout, attention_dropout)
        require_divisible(n_head, width=width)
        self.action_dim = action_dim
        self.context = self.max_context = context
        self.stochastic = stochastic
        self.squash = squash
        self.return_scale = return_scale

        self.normalizer = Normalizer(observation_shape, action_dim, discrete=discrete)
        self.embed_return = nn.Linear(1, width)
        self.embed_observation = (
            image_encoder_of(observation_shape, width, image_encoder)
            if self.normalizer.reads_images
            else nn.Linear(observation_shape[0], width)
        )
        self.embed_action = nn.Linear(action_dim, width)
        self.embed_time = None if max_timestep is None else nn.Embedding(max_timestep, width)
        self.norm_embedding = nn.LayerNorm(width)
        self.dropout = Dropout(embedding_dropout)
        sizes = (width, n_head, residual_dropout, attention_dropout)
        self.blocks = nn.ModuleList(Block(*sizes, functional.relu) for _ in range(n_layer))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2 * action_dim if stochastic and not discrete else action_dim)
        visible = torch.ones(TOKENS_PER_STEP * context - 1, TOKENS_PER_STEP * context - 1, dtype=torch.bool).tril()
        self.visible: Tensor
        self.register_buffer("visible", visible, persistent=False)
        initialize(self, generator)

    def forward(
        self, observations: Tensor, actions: Tensor, returns_to_go: Tensor, timesteps: Tensor
    ) -> ActionDistribution:
        """The action distribution at each step, of actions as the normalizer gives them.

        A step sees the steps before it and itself without its action; so padding belongs after the real steps.

        Args:
            observations: (batch, time, *observation_shape), time <= context.
            actions: (batch, time, action_dim), or choices (batch, time) int64; the last one is ignored.
            returns_to_go: (batch, time), undiscounted and unscaled.
            timesteps: (batch, time) int64, steps since the start of the episode.
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
        at_observations = slice(1, None, TOKENS_PER_STEP)
        assert isinstance(last, Block)
        x = last.forward_rows(x, visible[at_observations], at_observations)
        return self.read(self.head(self.norm(x)))

    def embed(self, observations: Tensor, actions: Tensor, returns_to_go: Tensor, timesteps: Tensor) -> Tensor:
        """Inputs of the first block, (batch, 3 * time, width); each depends only on its own numbers."""
        returns = (returns_to_go * self.return_scale).unsqueeze(-1)
        embedded = [
            self.embed_return(returns),
            self.embed_observation(self.normalizer.normalize_observation(observations)),
            self.embed_action(self.normalizer.normalize_action(actions)),
        ]
        tokens = torch.stack(embedded, dim=2)  # (batch, time, 3, width)
        if self.embed_time is not None:
            latest = self.embed_time.num_embeddings - 1  # an episode may be longer than those of the data
            tokens = tokens + self.embed_time(timesteps.clamp(max=latest)).unsqueeze(2)
        normed: Tensor = self.norm_embedding(tokens.flatten(1, 2))
        return normed

    def read(self, head: Tensor) -> ActionDistribution:
        """The distribution with the head's outputs (..., outputs) as parameters."""
        numbers = precise(head)  # squashing and densities need full precision
        if self.normalizer.discrete:
            return Categorical(numbers)
        if not self.stochastic:
            return PointMass(torch.tanh(numbers))
        mean, raw = numbers.chunk(2, dim=-1)
        log_std = bounded_log_std(raw)
        return SquashedGaussian(mean, log_std) if self.squash else Gaussian(mean, log_std)


def initialize(model: DecisionTransformer, generator: torch.Generator | None = None) -> None:
    """Set every weight.

    ====================================  =============================================
    blocks, time embedding                normal, standard deviation 0.02; biases zero
    embeddings of numbers and images      uniform within 1/sqrt(inputs), biases too
    head                                  orthogonal, mean and deviation each; bias zero
    scales of norms                       one
    ====================================  =============================================

    The embeddings of numbers keep random biases. Without a bias, the norm after the embedding would make a return's
    embedding independent of the return's size.

    Args:
        model: the model, which is overwritten.
        generator: source of the weights; the global one when None.
    """
    initialize_layers(model, generator)
    for embedding in (model.embed_return, model.embed_observation, model.embed_action):
        initialize_uniformly(embedding, generator)
    for rows in model.head.weight.data.split(model.action_dim):  # those of the mean and of the standard deviation
        nn.init.orthogonal_(rows, generator=generator)
