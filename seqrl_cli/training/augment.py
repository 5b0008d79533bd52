"""Augmentations of images, one draw per window, so that the steps of a window stay consistent."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Augmentation: TypeAlias = Literal["none", "crop"]
"""``crop`` shifts images by up to four pixels, repeating the border (Kostrikov et al. 2021, arXiv 2004.13649)."""

_PAD = 4


def augment(observations: Tensor, kind: Augmentation) -> Tensor:
    """Augment images (batch, time, height, width[, channels]) uint8; vectors are returned unchanged.

    Draws come from PyTorch's global generator.
    """
    if kind == "none" or observations.ndim < 4:
        return observations
    batch, time, height, width = observations.shape[:4]
    channels_first = observations if observations.ndim == 4 else observations.movedim(-1, 2)
    padded = functional.pad(channels_first.reshape(batch, -1, height, width).float(), [_PAD] * 4, mode="replicate")
    top, left = torch.randint(0, 2 * _PAD + 1, (2, batch, 1))
    rows = (top + torch.arange(height)).to(observations.device)
    columns = (left + torch.arange(width)).to(observations.device)
    index = torch.arange(batch, device=observations.device)[:, None, None]
    shifted = padded.movedim(1, -1)[index, rows[:, :, None], columns[:, None, :]].movedim(-1, 1).to(observations.dtype)
    restored = shifted.reshape(channels_first.shape)
    return restored if observations.ndim == 4 else restored.movedim(2, -1)
