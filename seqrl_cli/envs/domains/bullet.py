"""pybullet's locomotion environments with gymnasium's interface; gym itself is not needed.

pybullet_envs imports ``gym`` for a base class, boxes and a random stream, and setuptools' ``pkg_resources`` for one
comparison of versions. If these are not installed, stubs replace them during the import, and only then.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import seeding

Observation = np.ndarray


class BulletEnv(gymnasium.Env[Observation, np.ndarray]):
    """One of pybullet's robots; actions in [-1, 1] and observations are those of D4RL's bullet datasets.

    Images come from pybullet's software renderer. An episode depends only on its seed: each starts in a new physics
    world, because the ant's keeps state from earlier episodes.

    Args:
        robot: class in ``pybullet_envs.gym_locomotion_envs``.
        render_mode: ``rgb_array`` or None.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 60}

    def __init__(self, robot: str, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._make = getattr(_locomotion(), robot)
        self._env = self._make()
        self.observation_space = _box(self._env.observation_space)
        self.action_space = _box(self._env.action_space)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode in a new physics world."""
        super().reset(seed=seed)
        self._env.close()
        self._env = self._make()
        self._env.seed(int(self.np_random.integers(2**31)))
        with _quiet():
            return np.asarray(self._env.reset(), np.float64), {}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Step; the environment terminates when the robot falls, never because of the step limit."""
        observation, reward, done, _ = self._env.step(np.clip(action, -1.0, 1.0))
        return np.asarray(observation, np.float64), float(reward), bool(done), False, {}

    def render(self) -> np.ndarray | None:
        """An image ``(240, 320, 3)`` uint8 of the current state."""
        if self.render_mode is None:
            return None
        return np.asarray(self._env.render(mode="rgb_array"), np.uint8)

    def close(self) -> None:
        """Free the physics world."""
        self._env.close()


def _box(box: Any) -> gymnasium.spaces.Box:
    """A box of gym, or of its stub, as gymnasium's."""
    return gymnasium.spaces.Box(np.asarray(box.low), np.asarray(box.high), dtype=np.float32)


def _locomotion() -> ModuleType:
    """Pybullet's environments, imported once."""
    name = "pybullet_envs.gym_locomotion_envs"
    if name in sys.modules:
        return sys.modules[name]
    with _quiet(), _stubs():
        return importlib.import_module(name)


@contextlib.contextmanager
def _stubs() -> Iterator[None]:
    """Put stubs in place of gym and pkg_resources if they are missing; remove them afterwards."""
    missing = {} if find_spec("gym") else _gym_stub()
    if find_spec("pkg_resources") is None:
        missing["pkg_resources"] = _module("pkg_resources", parse_version=_version)
    sys.modules.update(missing)
    try:
        yield
    finally:
        for name in missing:
            sys.modules.pop(name, None)


def _gym_stub() -> dict[str, ModuleType]:
    """The parts of gym 0.21 that pybullet_envs uses, by module name."""
    registration = _module(
        "gym.envs.registration",
        registry=_module("registry", env_specs={}),
        make=None,
        spec=None,
        register=lambda *_, **__: None,
    )
    streams = _module("gym.utils.seeding", np_random=seeding.np_random)
    utils = _module("gym.utils", seeding=streams)
    envs = _module("gym.envs", registration=registration)
    env = type("Env", (), {"metadata": {}})
    gym = _module("gym", Env=env, spaces=gymnasium.spaces, utils=utils, envs=envs, __version__="0.21.0")
    modules = (gym, envs, registration, utils, streams)
    return {**{module.__name__: module for module in modules}, "gym.spaces": gymnasium.spaces}


def _module(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(contents)
    return module


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what pybullet's C code prints; only results belong on stdout."""
    saved = [(number, os.dup(number)) for number in (1, 2)]
    _flush()
    with open(os.devnull, "w") as nowhere:
        for number, _ in saved:
            os.dup2(nowhere.fileno(), number)
    try:
        yield
    finally:
        _flush()
        for number, copy in saved:
            os.dup2(copy, number)
            os.close(copy)


def _flush() -> None:
    """Write out what Python and C have buffered for stdout and stderr."""
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(OSError, TypeError):  # on Windows, None names no library
        ctypes.CDLL(None).fflush(None)
