"""Encoders of images: the network of IMPALA, and that of DQN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.errors import SeqrlError


class ImageEncoder(nn.Module):
    """Scale bytes to [0, 1], apply a convolutional network, and project its features; bodies make no difference.

    Args:
        shape: shape of one image: ``(height, width)`` for grey, ``(height, width, channels)`` for colour.
        width: length of the output.
        bodies: names of the bodies, which other encoders tell apart.
        network: maps ``(images, channels, height, width)`` to features.
    """

    def __init__(self, shape: Sequence[int], width: int, bodies: Sequence[str], network: nn.Module) -> None:
        super().__init__()
        self.bodies = tuple(bodies)
        self.shape = tuple(shape)
        self.network = network
        with torch.no_grad():
            features = network(torch.zeros(1, channels_of(shape), *shape[:2])).flatten(1).shape[1]
        self.project = nn.Linear(features, width)

    def forward(self, observations: Tensor, bodies: Tensor | None = None) -> Tensor:
        """``(batch, ..., *shape)`` uint8 -> ``(batch, ..., width)``; images have no bodies."""
        leading = observations.shape[: observations.ndim - len(self.shape)]
        projected: Tensor = self.project(self.features(observations.reshape(-1, *self.shape)))
        return projected.view(*leading, -1)

    @property
    def target_size(self) -> int:
        """Numbers per prediction of an observation; see :meth:`prediction_error`."""
        return self.project.out_features

    def prediction_error(self, predicted: Tensor, observations: Tensor, bodies: Tensor) -> Tensor:
        """One minus the cosine of predicted and true embeddings of images, ``(batch, ...)``.

        No gradient flows into the true embeddings. With that, and a predictor between the two, embeddings do not
        collapse to one (Chen and He 2021, arXiv 2011.10566; for next states Schwarzer et al. 2021, arXiv 2007.05929).

        Args:
            predicted: ``(batch, ..., target_size)``.
            observations: ``(batch, ..., *shape)`` uint8, what is predicted.
            bodies: ``(batch,)``, without effect.
        """
        with torch.no_grad():
            embedded = self(observations, bodies)
        return 1 - functional.cosine_similarity(predicted, embedded, dim=-1)

    def features(self, images: Tensor) -> Tensor:
        """What is projected, ``(images, features)``, of images ``(images, *shape)`` uint8."""
        scaled = images.float() / 255
        scaled = scaled.unsqueeze(1) if len(self.shape) == 2 else scaled.permute(0, 3, 1, 2)
        return functional.relu(self.network(scaled).flatten(1))


def channels_of(shape: Sequence[int]) -> int:
    """Channels of images of a shape."""
    return 1 if len(shape) == 2 else shape[2]


class _Residual(nn.Module):
    """``x + conv(relu(conv(relu(x))))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.second(functional.relu(self.first(functional.relu(x))))
        return x + changed


def impala(channels: int, sizes: Sequence[int] = (16, 32, 32)) -> nn.Module:
    """The larger network of IMPALA (Espeholt et al. 2018, arXiv 1802.01561, figure 3).

    Args:
        channels: channels of the images.
        sizes: channels of its sections; each halves the image.
    """
    sections: list[nn.Module] = []
    for before, after in zip((channels, *sizes[:-1]), sizes, strict=True):
        halved = nn.MaxPool2d(3, stride=2, padding=1)
        sections += [nn.Conv2d(before, after, 3, padding=1), halved, _Residual(after), _Residual(after)]
    return nn.Sequential(*sections)


def nature(channels: int) -> nn.Module:
    """The network of DQN (Mnih et al. 2015, "Methods: model architecture") without its fully connected layers."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=1),
    )


NETWORKS = {"impala": impala, "nature": nature}
"""Convolutional networks by name; each takes the number of channels."""


_SMALLEST_SIDES = {"impala": 1, "nature": 36}  # pixels, so that each convolution has an output


def image_encoder_of(shape: Sequence[int], width: int, network: str, bodies: Sequence[str] = ()) -> ImageEncoder:
    """An encoder of images.

    Args:
        shape: shape of one image: ``(height, width)`` for grey, ``(height, width, channels)`` for colour.
        width: length of the output.
        network: a name of ``NETWORKS``.
        bodies: names of the bodies.

    Raises:
        SeqrlError: the images are too small for the network.
    """
    smallest = _SMALLEST_SIDES[network]
    if min(shape[:2]) < smallest:
        message = f"images of {shape[0]} x {shape[1]} are too small for {network}, which needs {smallest} x {smallest}"
        raise SeqrlError(message, "use model.image_encoder=impala")
    return ImageEncoder(shape, width, bodies, NETWORKS[network](channels_of(shape)))
