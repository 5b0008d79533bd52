"""Pictures of an episode whose states cannot be drawn: its environment replays the actions and draws itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from seqrl_cli.envs.make import make_env
from seqrl_cli.envs.registry import needed_extra
from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning.episode_files import EpisodeFile, EpisodeStates
from seqrl_cli.render.mujoco_view import find_backend

_TOLERANCE = 1e-3
_HINT = "plan again: seqrl plan --force"


@dataclass(frozen=True)
class Replay:
    """Pictures of the chosen steps.

    Attributes:
        pictures: ``(size, size, 3)`` uint8 by environment step.
        dt: seconds per environment step, as the environment states it.
    """

    pictures: dict[int, np.ndarray]
    dt: float


def must_be_replayed(episode: EpisodeFile, states: EpisodeStates) -> bool:
    """Whether an episode cannot be drawn from its recorded states.

    Observations of mazes, kitchens and hands do not determine a pose, and pybullet has no MuJoCo state.
    """
    return needed_extra(episode.plan.env_id) is not None or states.qpos.shape[1] == 0


def replay(
    episode: EpisodeFile,
    states: EpisodeStates,
    choose: Callable[[float], Iterable[int]],
    size: int,
    progress: Callable[[int, int], None] | None = None,
) -> Replay:
    """Replay an episode and draw it.

    Args:
        episode: the episode.
        states: its recorded states.
        choose: returns the steps to draw, given the seconds per step.
        size: a picture's side in pixels.
        progress: called with (pictures done, pictures in total).

    Raises:
        SeqrlError: the environment cannot draw on this machine, is not installed, or earns other rewards than recorded.
    """
    env_id = episode.plan.env_id
    seed = episode.environment_seed
    actions = states.actions
    if seed is None:
        raise SeqrlError(f"{episode.path} does not state the environment's seed", _HINT)
    if actions is None:
        raise SeqrlError(f"{episode.states_path} has no actions to replay", _HINT)
    with _opengl(env_id), closing(make_env(env_id, render_mode="rgb_array")) as env:
        dt = 1 / float(env.metadata.get("render_fps", 25))
        wanted = set(choose(dt))
        pictures: dict[int, np.ndarray] = {}
        env.reset(seed=seed)
        for step in range(max(wanted) + 1):
            if step in wanted:
                pictures[step] = _square(np.asarray(env.render(), np.uint8), size)
                if progress:
                    progress(len(pictures), len(wanted))
            if step < max(wanted):
                _check(episode.states_path, step, float(states.rewards[step]), float(env.step(actions[step])[1]))
        return Replay(pictures, dt)


@contextmanager
def _opengl(env_id: str) -> Iterator[None]:
    """Set ``MUJOCO_GL`` to a backend that works on this machine while the environment draws.

    Gymnasium's renderer reads the variable when it is constructed and has no argument for it; without the variable it
    would try GLFW first, which needs a display.

    Raises:
        SeqrlError: neither EGL nor OSMesa works on this machine.
    """
    if needed_extra(env_id) == "bullet":  # draws without OpenGL
        yield
        return
    backend = find_backend()
    if backend is None:
        hint = "MuJoCo draws through EGL or OSMesa: apt install libegl1, or libosmesa6"
        raise SeqrlError(f"environment {env_id!r} cannot be drawn on this machine: neither EGL nor OSMesa works", hint)
    before = os.environ.get("MUJOCO_GL")
    os.environ["MUJOCO_GL"] = backend
    try:
        yield
    finally:
        os.environ.pop("MUJOCO_GL")
        if before is not None:
            os.environ["MUJOCO_GL"] = before


def _check(path: Path, step: int, then: float, reward: float) -> None:
    """Raise SeqrlError if the environment's reward differs from the recorded one."""
    if abs(reward - then) > _TOLERANCE * (1 + abs(then)):
        message = f"{path} cannot be replayed: step {step} earned {then:.4g} then and {reward:.4g} now"
        raise SeqrlError(message, "if another version of the simulator recorded it, plan again: seqrl plan")


def _square(picture: np.ndarray, size: int) -> np.ndarray:
    """The middle of a picture as a square of ``size`` pixels."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = Image.fromarray(picture[top : top + side, left : left + side])
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))
