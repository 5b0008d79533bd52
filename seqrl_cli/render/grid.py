"""Several episodes in one video, as tiles side by side that start and end together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from seqrl_cli.planning.episode_files import EpisodeFile, EpisodeStates, read_array, read_states
from seqrl_cli.render.compose import GAP, compose
from seqrl_cli.render.encode import check_video_format, write_video
from seqrl_cli.render.replay import must_be_replayed, replay
from seqrl_cli.render.states import check_states, load_body
from seqrl_cli.render.video import open_view
from seqrl_cli.render.view import Pose, follow

FRAMES = 60
FRAMES_PER_SECOND = 12.5
TILE_SIZE = 160
_SOLVED = np.array([46, 160, 67], np.uint8)  # green


def render_grid(
    episodes: Sequence[EpisodeFile],
    output: Path,
    *,
    size: int = TILE_SIZE,
    view: str = "auto",
    frames: int = FRAMES,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Draw episodes side by side, each spread over the whole video, whatever its number of steps.

    A tile has a green border from the step on at which its task is solved.

    Args:
        episodes: the episodes, at least one.
        output: a ``.gif`` or ``.mp4`` file.
        size: a tile's side in pixels.
        view: the view as in :func:`seqrl_cli.render.video.render_episode`, for episodes that are drawn from states.
        frames: number of frames.
        progress: called with (episodes done, episodes in total).

    Returns:
        The number of frames.

    Raises:
        UsageError: an unknown view or extension.
        SeqrlError: a file is missing, damaged or foreign, or an environment cannot be drawn.
    """
    check_video_format(output)
    tiles = []
    for number, episode in enumerate(episodes):
        tiles.append(_tile(episode, size, view, frames))
        if progress:
            progress(number + 1, len(episodes))
    columns = math.ceil(math.sqrt(len(tiles)))

    def draw(index: int) -> np.ndarray:
        return _mosaic([tile[index] for tile in tiles], columns)

    write_video(draw, frames, output, FRAMES_PER_SECOND)
    return frames


def spread_steps(steps: int, frames: int) -> list[int]:
    """The step of each frame: the first shows the start and the last the end."""
    return [round(step) for step in np.linspace(0, steps, frames)]


def _tile(episode: EpisodeFile, size: int, view: str, frames: int) -> list[np.ndarray]:
    """The frames of one episode."""
    states = read_states(episode)
    total = len(states.rewards)
    steps = spread_steps(total, frames)
    if must_be_replayed(episode, states):
        pictures = replay(episode, states, lambda dt: set(steps), size).pictures
    else:
        pictures = _from_states(episode, states, set(steps), size, view)
    successes = read_array(episode.path, "successes")
    is_flag = successes is not None and successes.shape == (total,) and successes.dtype.kind in "biuf"
    solved = np.cumsum(successes > 0) > 0 if successes is not None and is_flag else np.zeros(total, bool)
    bordered = (_bordered(pictures[step], bool(step and solved[step - 1])) for step in steps)
    title = episode.plan.env_id.rpartition("/")[2]  # a tile has no room for the domain
    notes = ([f"step {step}, return {round(float(states.rewards[:step].sum()))}"] for step in steps)
    return [compose([picture], [title], [lines]) for picture, lines in zip(bordered, notes, strict=True)]


def _from_states(
    episode: EpisodeFile, states: EpisodeStates, steps: Iterable[int], size: int, view: str
) -> dict[int, np.ndarray]:
    """Pictures of steps that are drawn from the recorded positions."""
    body = load_body(episode.plan.env_id)
    check_states(body, states.qpos, None, str(episode.states_path))
    drawn = open_view(view, body, follow(body, states.qpos), size)
    try:
        pictures = {}
        for step in steps:
            now = states.qpos[step]
            centre = np.array([now[0], now[1] if body.hidden == 2 else 0.0])
            pictures[step] = drawn.draw([Pose(now)], centre)
        return pictures
    finally:
        drawn.close()


def _bordered(picture: np.ndarray, solved: bool) -> np.ndarray:
    """A picture, with a green border if its task is solved."""
    if not solved:
        return picture
    width = max(2, len(picture) // 40)
    framed = np.broadcast_to(_SOLVED, picture.shape).copy()
    framed[width:-width, width:-width] = picture[width:-width, width:-width]
    return framed


def _mosaic(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Frames of equal size in rows of ``columns``, on white, with even sides."""
    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    whole = np.full((shape[0] + shape[0] % 2, shape[1] + shape[1] % 2, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        whole[top : top + height, left : left + width] = tile
    return whole
