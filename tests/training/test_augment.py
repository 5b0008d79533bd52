"""Augmentations change images, the steps of a window alike, and nothing else."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.training.augment import augment


def images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize("kind", ["crop", "rotate", "crop+rotate"])
@pytest.mark.parametrize("shape", [(12, 12), (12, 16, 3)])
def test_all_steps_of_a_window_change_alike(kind, shape):
    torch.manual_seed(1)
    window = images(8, 1, *shape).expand(-1, 3, *shape)
    changed = augment(window, kind)
    assert changed.shape == window.shape and changed.dtype == torch.uint8
    assert torch.equal(changed[:, 0], changed[:, 2])
    assert not torch.equal(changed, window)


@pytest.mark.parametrize("kind", ["crop", "rotate", "crop+rotate"])
def test_uniform_images_and_vectors_stay(kind):
    flat = torch.full((4, 2, 10, 10), 37, dtype=torch.uint8)
    assert torch.equal(augment(flat, kind), flat)
    vectors = torch.randn(4, 2, 5)
    assert augment(vectors, kind) is vectors


@pytest.mark.parametrize("size", [(21, 21), (21, 41)])
def test_turns_keep_lengths(size):
    height, width = size
    torch.manual_seed(0)
    picture = torch.zeros(64, 1, height, width, dtype=torch.uint8)
    centre = (height // 2, width // 2)
    picture[:, :, centre[0] - 1 : centre[0] + 2, centre[1] + 7] = 255  # a bar right of the centre
    turned = augment(picture, "rotate")[:, 0].float()
    rows = torch.arange(height)[:, None] - centre[0]
    columns = torch.arange(width)[None, :] - centre[1]
    total = turned.sum((1, 2))
    x, y = ((turned * part).sum((1, 2)) / total for part in (columns, rows))
    assert torch.allclose((x**2 + y**2).sqrt(), torch.tensor(7.0), atol=0.35)
    angles = torch.atan2(y, x).rad2deg().abs()
    assert angles.max() < 31 and angles.max() > 15
    assert 0.25 < (angles < 0.01).float().mean() < 0.75
