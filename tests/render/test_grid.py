"""Tiles of several episodes, and small pictures enlarged."""

from __future__ import annotations

import numpy as np

from seqrl_cli.render.grid import _bordered, _mosaic, spread_steps
from seqrl_cli.render.replay import enlarge


def test_every_episode_starts_and_ends_with_the_video():
    assert spread_steps(4, 3) == [0, 2, 4]
    assert spread_steps(1, 4) == [0, 0, 1, 1]
    long = spread_steps(1000, 60)
    assert (long[0], long[-1], len(long)) == (0, 1000, 60)


def test_tiles_are_placed_row_by_row_with_even_sides():
    tiles = [np.full((5, 7, 3), value, np.uint8) for value in (10, 20, 30)]
    whole = _mosaic(tiles, 2)
    assert whole.shape == (12, 16, 3)
    assert (whole[:5, :7] == 10).all() and (whole[:5, 9:16] == 20).all() and (whole[7:12, :7] == 30).all()
    assert (whole[7:, 9:] == 255).all()


def test_a_solved_task_has_a_border():
    picture = np.zeros((40, 40, 3), np.uint8)
    assert (_bordered(picture, False) == 0).all()
    assert _bordered(picture, True)[0, 0].tolist() != [0, 0, 0] and (_bordered(picture, True)[2:-2, 2:-2] == 0).all()


def test_pixels_of_small_pictures_become_sharp_squares():
    picture = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    large = enlarge(picture, 13)
    assert large.shape == (13, 13, 3)
    assert (large[3:9, :12] == picture.repeat(3, axis=0).repeat(3, axis=1)).all()
    assert (large[:3] == 0).all() and (large[9:] == 0).all()


def test_large_pictures_are_shown_whole():
    picture = np.full((210, 160, 3), 200, np.uint8)
    small = enlarge(picture, 105)
    assert small.shape == (105, 105, 3) and (small[:, 12:92] == 200).all() and (small[:, :12] == 0).all()
