"""Behaviour cloning, the baseline of the Decision Transformer: a perceptron from observation to action.

What is unusual about it: it has the Decision Transformer's interface, but reads only the observations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqrl_cli.models.checks import require_fractions, require_positive
from seqrl_cli.models.decision.action_distribution import PointMass
from seqrl_cli.models.decision.normalizer import Normalizer
from seqrl_cli.models.dropout import Dropout


class BehaviourCloning(nn.Module):
    """Imitates the actions of the data, without returns and without the past.

    The authors of the Decision Transformer found a perceptron to be a stronger baseline than a transformer without
    returns (Chen et al. 2021, appendix A.2).

    Args:
        observation_dim: numbers per observation.
        action_dim: numbers per action.
        n_layer: hidden layers.
        width: numbers per hidden layer.
        dropout: fraction of hidden numbers dropped in training.
        generator: source of the initial weights; the global one when None.

    Raises:
        SeqrlError: the arguments make no model.
    """

    context = 1
    max_context = None  # it reads only the current step of any window
    stochastic = False

    def __init__(
        self,
        *,
        observation_dim: int,
        action_dim: int,
        n_layer: int = 3,
        width: int = 256,
        dropout: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        require_positive(observation_dim=observation_dim, action_dim=action_dim, n_layer=n_layer, width=width)
        require_fractions(dropout=dropout)
        self.observation_dim = observation_dim
        self.action_dim = action_dim
        self.normalizer = Normalizer(observation_dim, action_dim)
        sizes = [observation_dim, *[width] * n_layer]
        hidden = [
            nn.Sequential(nn.Linear(size, following), nn.ReLU(), Dropout(dropout))
            for size, following in zip(sizes[:-1], sizes[1:], strict=True)
        ]
        self.hidden = nn.Sequential(*hidden)
        self.head = nn.Linear(width, action_dim)
        initialize(self, generator)

    def forward(self, observations: Tensor, actions: Tensor, returns_to_go: Tensor, timesteps: Tensor) -> PointMass:
        """Actions (batch, time, action_dim), scaled to [-1, 1], from ``observations`` alone."""
        hidden = self.hidden(self.normalizer.normalize_observation(observations))
        return PointMass(torch.tanh(self.head(hidden).float()))


def initialize(model: BehaviourCloning, generator: torch.Generator | None = None) -> None:
    """Draw all weights and biases uniformly within 1/sqrt(inputs).

    Args:
        model: overwritten.
        generator: source of the weights; the global one when None.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.uniform_(module.bias, -bound, bound, generator=generator)
