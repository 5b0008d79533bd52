"""Encoder of vectors: standardized for each body, also on a logarithmic scale, and read by a small network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SMALLEST_STD = 0.02
LARGEST = 5.0
NEAR_ZERO = 0.01  # below it, the logarithmic scale is linear
LOGARITHM_SCALE = 3.0  # the logarithm of a number of 0.2


class VectorEncoder(nn.Module):
    """A network of one hidden layer that reads vectors, standardized by the data of their body.

    A body is a robot or a simulator whose tasks observe the same numbers in the same places. Bodies of one domain share
    the network but not the statistics: with common statistics, the differences between bodies would be so large that
    those within a task would hardly count. Places that a body does not use are 0, and the network is told which these
    are.

    A number that hardly varies in the data is divided by ``SMALLEST_STD`` only, so that its noise does not grow to the
    size of a signal. Vectors far from the data are cut, because a policy that leaves its data would otherwise drive the
    network far outside of what it was trained on.

    The network reads each number on a logarithmic scale around 0, too: distances to a target matter most where they are
    small, and there they are small beside their standard deviation. With ``periodic`` it reads the sine and the cosine
    of each number as well: many numbers are angles, and a controller multiplies by their sines.

    Args:
        size: numbers per vector.
        width: length of the output.
        bodies: names of the bodies.
        periodic: whether the network reads sines and cosines.
    """

    mean: Tensor
    std: Tensor
    used: Tensor

    def __init__(self, size: int, width: int, bodies: Sequence[str], periodic: bool = False) -> None:
        super().__init__()
        self.bodies = tuple(bodies)
        self.periodic = periodic
        self.register_buffer("mean", torch.zeros(len(bodies), size))
        self.register_buffer("std", torch.ones(len(bodies), size))
        self.register_buffer("used", torch.ones(len(bodies), size))
        self.hidden = nn.Linear((5 if periodic else 3) * size, 2 * width)
        self.project = nn.Linear(2 * width, width)
        self._columns: Tensor | None = None
        self.register_load_state_dict_post_hook(_forget_columns)

    def fit(self, body: str, mean: np.ndarray, std: np.ndarray) -> None:
        """Set the statistics of a body's data, ``(size,)`` each."""
        row = self.bodies.index(body)
        self.mean[row] = torch.from_numpy(np.asarray(mean, np.float32))
        self.std[row] = torch.from_numpy(np.maximum(std, SMALLEST_STD).astype(np.float32))
        self.used[row] = torch.from_numpy((std > 0).astype(np.float32))
        self._forget_columns()

    def features(self, observations: Tensor, bodies: Tensor) -> Tensor:
        """What the network reads: standardized numbers, their signed logarithms, and which of them are used, and more.

        Only places that some body uses are read, since the others are 0.

        Args:
            observations: ``(batch, ..., size)``.
            bodies: ``(batch,)`` int64, the body of each.

        Returns:
            ``(batch, ..., 3 * places)``, with sines and cosines ``(batch, ..., 5 * places)``.
        """
        places = self._places()
        standardized, used = self._standardized(observations, bodies)
        observations, standardized, used = observations[..., places], standardized[..., places], used[..., places]
        logarithms = observations.sign() * (observations.abs() / NEAR_ZERO).log1p() / LOGARITHM_SCALE * used
        features = [standardized, logarithms, used.expand_as(standardized)]
        if self.periodic:
            features += [observations.sin() * used, observations.cos() * used]
        return torch.cat(features, dim=-1)

    def forward(self, observations: Tensor, bodies: Tensor) -> Tensor:
        """``(batch, ..., size)`` float32 -> ``(batch, ..., width)``; arguments as for :meth:`features`."""
        hidden = functional.relu(functional.linear(self.features(observations, bodies), *self.hidden_layer()))
        projected: Tensor = self.project(hidden)
        return projected

    def hidden_layer(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the hidden layer, for the columns of :meth:`features`."""
        places = self._places()
        size = self.mean.shape[1]
        columns = torch.cat([places + part * size for part in range(self.hidden.in_features // size)])
        return self.hidden.weight[:, columns], self.hidden.bias

    def _places(self) -> Tensor:
        """The places that some body uses, increasing."""
        if self._columns is None or self._columns.device != self.used.device:
            self._columns = self.used.any(dim=0).nonzero().squeeze(1)
        return self._columns

    def _forget_columns(self) -> None:
        self._columns = None

    @property
    def target_size(self) -> int:
        """Numbers per prediction of an observation; see :meth:`prediction_error`."""
        return self.mean.shape[1]

    def prediction_error(self, predicted: Tensor, observations: Tensor, bodies: Tensor) -> Tensor:
        """Mean squared errors of predicted vectors over the places that their bodies use.

        Args:
            predicted: ``(batch, ..., target_size)``, standardized numbers.
            observations: ``(batch, ..., size)``, what is predicted.
            bodies: ``(batch,)`` int64, the body of each.

        Returns:
            ``(batch, ...)``.
        """
        standardized, used = self._standardized(observations, bodies)
        squares = (predicted - standardized).square() * used
        return squares.sum(dim=-1) / used.sum(dim=-1).clamp(min=1)

    def _standardized(self, observations: Tensor, bodies: Tensor) -> tuple[Tensor, Tensor]:
        """Standardized numbers ``(batch, ..., size)``, and which of them are used, ``(batch, 1 ..., size)``."""
        shape = (len(bodies), *[1] * (observations.ndim - 2), -1)
        mean, std, used = (table[bodies].view(shape) for table in (self.mean, self.std, self.used))
        return ((observations - mean) / std).clamp(-LARGEST, LARGEST) * used, used


def _forget_columns(encoder: VectorEncoder, _keys: object) -> None:
    """After other statistics were loaded; a function of the module, so that the encoder can be pickled."""
    encoder._forget_columns()
