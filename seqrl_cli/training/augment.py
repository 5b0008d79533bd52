"""Augmentations of images, one draw per window, so that the steps of a window stay consistent."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Augmentation: TypeAlias = Literal["none", "crop", "rotate", "crop+rotate"]
"""``crop`` shifts images by up to four pixels, repeating the border (Kostrikov et al. 2021, arXiv 2004.13649).

``rotate`` turns half of the windows by up to 30 degrees, as the release of L2M does.
"""

_PAD = 4
_DEGREES = 30.0
_TURNED = 0.5  # share of the windows


def augment(observations: Tensor, kind: Augmentation) -> Tensor:
    """Augment images (batch, time, height, width[, channels]) uint8; vectors are returned unchanged.

    Draws come from PyTorch's global generator.
    """
    if kind == "none" or observations.ndim < 4:
        return observations
    batch, _, height, width = observations.shape[:4]
    channels_first = observations if observations.ndim == 4 else observations.movedim(-1, 2)
    images = channels_first.reshape(batch, -1, height, width)
    if "crop" in kind:
        images = _shifted(images)
    if "rotate" in kind:
        images = _rotated(images)
    restored = images.reshape(channels_first.shape)
    return restored if observations.ndim == 4 else restored.movedim(2, -1)


def _shifted(images: Tensor) -> Tensor:
    """Images (batch, channels, height, width), shifted; the channels of a window are shifted alike."""
    batch, _, height, width = images.shape
    top, left = torch.randint(0, 2 * _PAD + 1, (2, batch, 1))
    rows = (top + torch.arange(height) - _PAD).clamp(0, height - 1).to(images.device)
    columns = (left + torch.arange(width) - _PAD).clamp(0, width - 1).to(images.device)
    index = torch.arange(batch, device=images.device)[:, None, None]
    return images.movedim(1, -1)[index, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _rotated(images: Tensor) -> Tensor:
    """Images (batch, channels, height, width), some of them turned about their centres; borders are repeated."""
    chosen, angles = torch.rand(2, len(images))
    angles = (2 * angles - 1) * math.radians(_DEGREES) * (chosen < _TURNED)
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    aspect = images.shape[2] / images.shape[3]  # coordinates run from -1 to 1 along either side
    turns = torch.stack([cosine, -sine * aspect, zero, sine / aspect, cosine, zero], dim=-1)
    turns = turns.view(-1, 2, 3).to(images.device)
    grid = functional.affine_grid(turns, list(images.shape), align_corners=False)
    turned = functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return turned.round().to(images.dtype)
