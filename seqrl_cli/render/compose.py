"""One frame: the simulation on the left, the plan on the right, with titles and notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seqrl_cli.render.view import Pose

GAP = 2
GHOSTS = 6
_PAD = 5
_NEAR = np.array([0.56, 0.79, 0.95])
_FAR = np.array([0.07, 0.32, 0.64])
_INK = (27, 38, 49, 255)
_PAPER = (255, 255, 255, 215)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def plan_poses(now: np.ndarray, plan: np.ndarray) -> list[Pose]:
    """The true pose in its own colours, then imagined poses, which become darker and more opaque over the plan.

    Args:
        now: true positions ``(nq,)``.
        plan: imagined positions ``(rows, nq)``, the first at the current step; may be empty.
    """
    rows = sorted({round(row) for row in np.linspace(0, max(len(plan) - 1, 0), GHOSTS + 1)} - {0})
    fractions = np.arange(1, len(rows) + 1) / max(len(rows), 1)
    opacity = 0.5 * len(rows) / GHOSTS  # with few ghosts, the last must not hide the true pose
    ghosts = [
        Pose(plan[row], tuple(_NEAR + (_FAR - _NEAR) * fraction), 0.3 + opacity * fraction)
        for row, fraction in zip(rows, fractions, strict=True)
    ]
    return [Pose(now), *ghosts]


def compose(panels: Sequence[np.ndarray], titles: Sequence[str], notes: Sequence[Sequence[str]]) -> np.ndarray:
    """Put panels side by side, each with a title above it and notes in its lower left corner.

    Args:
        panels: pictures of one size, ``(size, size, 3)`` uint8.
        titles: one for each panel.
        notes: lines of text for each panel.

    Returns:
        ``(height, width, 3)`` uint8, with even sides, as videos need.
    """
    size = panels[0].shape[0]
    width = len(panels) * size + (len(panels) - 1) * GAP
    font = ImageFont.load_default(max(11.0, size / 22))
    above = round(1.8 * font.size) if isinstance(font, ImageFont.FreeTypeFont) else 20
    height = above + size
    frame = Image.new("RGB", (width + width % 2, height + height % 2), "white")
    layer = Image.new("RGBA", frame.size)
    draw = ImageDraw.Draw(layer)
    for index, (panel, title, lines) in enumerate(zip(panels, titles, notes, strict=True)):
        left = index * (size + GAP)
        frame.paste(Image.fromarray(panel), (left, above))
        margin = round(size / 36)
        room = size - 2 * (margin + _PAD)
        draw.text(
            (left + margin + _PAD, above / 2), _shortened(draw, title, font, room), font=font, fill=_INK, anchor="lm"
        )
        _label(draw, (left + margin, height - margin), _fitting(draw, lines, font, room), font)
    frame.paste(layer, mask=layer)
    return np.asarray(frame)


def _fitting(draw: ImageDraw.ImageDraw, lines: Sequence[str], font: Font, room: float) -> list[str]:
    """The lines that are at most ``room`` pixels wide; very small panels drop the others."""
    return [line for line in lines if draw.textlength(line, font=font) <= room]


def _shortened(draw: ImageDraw.ImageDraw, text: str, font: Font, room: float) -> str:
    """A text of at most ``room`` pixels, cut and marked with three dots where it is longer; empty if nothing fits."""
    if draw.textlength(text, font=font) <= room:
        return text
    shorter = (text[:length].rstrip() + "..." for length in range(len(text) - 1, 0, -1))
    return next((short for short in shorter if draw.textlength(short, font=font) <= room), "")


def _label(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    lines: Sequence[str],
    font: Font,
) -> None:
    """Dark text on a light plate whose lower left corner is ``corner``."""
    if not lines:
        return
    _, top, _, bottom = draw.textbbox((0, 0), "Ag", font=font)
    row = round(1.25 * (bottom - top))
    width = max(draw.textlength(line, font=font) for line in lines) + 2 * _PAD
    height = len(lines) * row + 2 * _PAD
    x = corner[0]
    y = corner[1] - height
    draw.rounded_rectangle((x, y, x + width, y + height), radius=4, fill=_PAPER)
    for number, line in enumerate(lines):
        draw.text((x + _PAD, y + _PAD + number * row - top), line, font=font, fill=_INK)
