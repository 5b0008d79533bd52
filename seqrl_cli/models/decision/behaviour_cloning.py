"""Behaviour cloning, the baseline of the Decision Transformer: a perceptron from observation to action.

What is unusual about it: it has the Decision Transformer's interface, but reads only the observations.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.models.block import initialize_uniformly
from seqrl_cli.models.checks import require_fractions, require_positive
from seqrl_cli.models.decision.action_distribution import ActionDistribution, Categorical, PointMass
from seqrl_cli.models.decision.normalizer import Normalizer
from seqrl_cli.models.dropout import Dropout
from seqrl_cli.models.encoders.image import image_encoder_of
from seqrl_cli.models.loss import precise


class BehaviourCloning(nn.Module):
    """Imitates the actions of the data, without returns and without the past.

    The authors of the Decision Transformer found a perceptron to be a stronger baseline than a transformer without
    returns (Chen et al. 2021, appendix A.2).

    Args:
        observation_shape: shape of one observation; one axis for a vector, two or three for an image of bytes.
        action_dim: numbers per action, or choices if ``discrete``.
        discrete: whether an action is one of ``action_dim`` choices; the model predicts their probabilities.
        image_encoder: ``impala`` or ``nature``, the network that reads images, before the hidden layers.
        n_layer: hidden layers.
        width: numbers per hidden layer.
        dropout: dropout probability of the hidden layers' outputs.
        generator: source of the initial weights; the global one when None.

    Raises:
        SeqrlError: a size is not positive, or ``dropout`` is outside [0, 1).
    """

    context = 1
    max_context = None  # it reads only the current step of any window
    stochastic = False

    def __init__(
        self,
        *,
        observation_shape: Sequence[int],
        action_dim: int,
        discrete: bool = False,
        image_encoder: str = "impala",
        n_layer: int = 3,
        width: int = 256,
        dropout: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        require_positive(observation_size=min(observation_shape), action_dim=action_dim, n_layer=n_layer, width=width)
        require_fractions(dropout=dropout)
        self.action_dim = action_dim
        self.normalizer = Normalizer(observation_shape, action_dim, discrete=discrete)
        reads_images = self.normalizer.reads_images
        self.encoder = image_encoder_of(observation_shape, width, image_encoder) if reads_images else None
        sizes = [width if reads_images else observation_shape[0], *[width] * n_layer]
        hidden = [
            nn.Sequential(nn.Linear(size, following), nn.ReLU(), Dropout(dropout))
            for size, following in zip(sizes[:-1], sizes[1:], strict=True)
        ]
        self.hidden = nn.Sequential(*hidden)
        self.head = nn.Linear(width, action_dim)
        initialize_uniformly(self, generator)

    @property
    def usual_targets(self) -> tuple[str, ...]:
        """The layers that adapters are put on unless others are named: those as wide as the network.

        The first hidden layer has no more rank than an observation has numbers, so it is adapted only if it is alone.
        """
        names = [f"hidden.{number}.0" for number in range(len(self.hidden))]
        return tuple(names[1:] or names)

    def forward(
        self, observations: Tensor, actions: Tensor, returns_to_go: Tensor, timesteps: Tensor
    ) -> ActionDistribution:
        """The actions at each step (batch, time), as the normalizer gives them, from ``observations`` alone."""
        x = self.normalizer.normalize_observation(observations)
        if self.encoder is not None:
            x = functional.relu(self.encoder(x))
        return self.read(self.head(self.hidden(x)))

    def read(self, head: Tensor) -> ActionDistribution:
        """The distribution with the head's outputs (..., action_dim) as parameters."""
        numbers = precise(head)  # squashing and probabilities need full precision
        return Categorical(numbers) if self.normalizer.discrete else PointMass(torch.tanh(numbers))
