"""Pictures of an episode whose states cannot be drawn: its environment replays the actions and draws itself."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from seqrl_cli.data.domains import task_of
from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.envs.make import Environment, make_env
from seqrl_cli.envs.probe import check_in_subprocess
from seqrl_cli.envs.registry import needed_extra
from seqrl_cli.envs.simulator import MujocoEnv
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
        states: the episode's recorded states.
        choose: returns the steps to draw, given the seconds per step.
        size: a picture's side in pixels.
        progress: called with (pictures done, pictures in total).

    Raises:
        SeqrlError: the environment draws nothing, cannot draw on this machine, is not installed, or earns other
            rewards than recorded.
    """
    env_id = episode.plan.env_id
    seed = episode.environment_seed
    actions = states.actions
    if seed is None:
        raise SeqrlError(f"{episode.path} does not state the environment's seed", _HINT)
    if actions is None:
        raise SeqrlError(f"{episode.states_path} has no actions to replay", _HINT)
    with _drawing(env_id), closing(_make_drawable(env_id, _goals(episode))) as env:
        dt = 1 / _pictures_per_second(env)
        wanted = set(choose(dt))
        pictures: dict[int, np.ndarray] = {}
        env.reset(seed=seed)
        for step in range(max(wanted) + 1):
            if step in wanted:
                pictures[step] = _fitted(_picture(env, env_id), env_id, size)
                if progress:
                    progress(len(pictures), len(wanted))
            if step < max(wanted):
                action = int(actions[step]) if actions.ndim == 1 else actions[step]
                _check(episode.states_path, step, float(states.rewards[step]), float(env.step(action)[1]))
        return Replay(pictures, dt)


def _goals(episode: EpisodeFile) -> str | None:
    """The half of the goals that the episode drew from; None where the file states neither."""
    stated = episode.plan.settings.get("goals")
    return stated if stated in ("seen", "held-out") else None


def _make_drawable(env_id: str, goals: str | None) -> Environment:
    """An environment that draws pictures as arrays.

    Args:
        env_id: gymnasium id.
        goals: see ``make_env``.

    Raises:
        SeqrlError: it draws none, cannot draw on this machine, or cannot be made.
    """
    check_in_subprocess(env_id, "rgb_array")
    try:
        env = make_env(env_id, render_mode="rgb_array", goals=goals)
    except EnvironmentFailedError as error:
        if isinstance(error.__cause__, TypeError) and "render_mode" in str(error.__cause__):
            raise _draws_nothing(env_id) from error
        raise
    if find_backend() is None and (needed_extra(env_id) == "robotics" or isinstance(env.unwrapped, MujocoEnv)):
        env.close()
        hint = "MuJoCo draws through EGL or OSMesa: apt install libegl1, or libosmesa6"
        raise SeqrlError(f"environment {env_id!r} cannot be drawn on this machine: neither EGL nor OSMesa works", hint)
    return env


def _picture(env: Environment, env_id: str) -> np.ndarray:
    """What the environment shows now, ``(height, width, 3)`` uint8.

    Raises:
        SeqrlError: it shows nothing, or something else.
    """
    try:
        drawn = env.render()
    except EnvironmentFailedError as error:
        if isinstance(error.__cause__, NotImplementedError):
            raise _draws_nothing(env_id) from error
        raise
    if drawn is None:
        raise _draws_nothing(env_id)
    picture = np.asarray(drawn)
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape or picture.dtype != np.uint8:
        found = f"shape {picture.shape} and type {picture.dtype}"
        raise SeqrlError(f"environment {env_id!r} draws arrays of {found}, not pictures (height, width, 3) of uint8")
    return picture


def _draws_nothing(env_id: str) -> SeqrlError:
    hint = "it needs the argument render_mode='rgb_array', and a method render that returns an array"
    return SeqrlError(f"environment {env_id!r} draws no pictures", hint)


def _pictures_per_second(env: Environment) -> float:
    """The pictures per second that the environment states, else 25."""
    stated = env.metadata.get("render_fps")
    return float(stated) if isinstance(stated, int | float) and 0 < stated < math.inf else 25.0


@contextmanager
def _drawing(env_id: str) -> Iterator[None]:
    """Let environments draw without a display, through variables that they read and have no arguments for.

    Gymnasium's renderer tries GLFW first, which needs a display, unless ``MUJOCO_GL`` names a backend. Pygame's SDL
    needs no display with its driver ``dummy``, and otherwise complains on stderr that there is none.
    """
    backend = None if needed_extra(env_id) == "bullet" else find_backend()  # bullet draws without OpenGL
    chosen = {"SDL_VIDEODRIVER": "dummy", **({"MUJOCO_GL": backend} if backend else {})}
    before = {name: os.environ.get(name) for name in chosen}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _check(path: Path, step: int, then: float, reward: float) -> None:
    """Raise SeqrlError if the environment's reward differs from the recorded one."""
    if abs(reward - then) > _TOLERANCE * (1 + abs(then)):
        message = f"{path} cannot be replayed: step {step} earned {then:.4g} then and {reward:.4g} now"
        raise SeqrlError(message, "if another version of the simulator recorded it, plan again: seqrl plan")


def _fitted(picture: np.ndarray, env_id: str, size: int) -> np.ndarray:
    """A picture as a square of ``size`` pixels: the whole of a game, the middle of a scene."""
    task = task_of(env_id)
    return enlarge(picture, size) if task and len(task.shape) > 1 else _square(picture, size)


def enlarge(picture: np.ndarray, size: int) -> np.ndarray:
    """A small picture as large as fits in a square of ``size`` pixels, on black, with its pixels as sharp squares.

    Pixels become equally large where the square has room for whole multiples; a larger picture is reduced smoothly.
    """
    height, width = picture.shape[:2]
    factor = size / max(height, width)
    factor = float(int(factor)) if factor >= 1 else factor
    shape = (max(1, round(width * factor)), max(1, round(height * factor)))
    sampling = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    square = Image.new("RGB", (size, size))
    square.paste(Image.fromarray(picture).resize(shape, sampling), ((size - shape[0]) // 2, (size - shape[1]) // 2))
    return np.asarray(square)


def _square(picture: np.ndarray, size: int) -> np.ndarray:
    """The middle of a picture as a square of ``size`` pixels."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = Image.fromarray(picture[top : top + side, left : left + side])
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))
