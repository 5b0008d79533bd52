"""MuJoCo, imported in a way that works whatever ``MUJOCO_GL`` says.

MuJoCo loads the OpenGL backend that ``MUJOCO_GL`` names when it is first imported, and raises whatever that backend
raises. But only drawing needs OpenGL, and ``render`` makes its contexts directly. So where the named backend does not
work, MuJoCo is imported without any. All other modules import it from here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_GL = "MUJOCO_GL"

useless_backend: str | None = None
"""The value of ``MUJOCO_GL``, if it does not work on this machine."""

try:
    import mujoco as mujoco
except Exception:  # an unknown backend, or any error of a library that is missing or broken
    useless_backend = os.environ.get(_GL)
    if useless_backend is None:
        raise
    os.environ[_GL] = "disable"
    try:
        import mujoco as mujoco
    finally:
        os.environ[_GL] = useless_backend

from gymnasium.envs.mujoco import MujocoEnv as MujocoEnv  # noqa: E402 (it imports MuJoCo)


@contextmanager
def without_display() -> Iterator[None]:
    """A context in which a package is imported that would look for a display, unless ``MUJOCO_GL`` names a backend."""
    before = os.environ.get(_GL)
    if before is None or before == useless_backend:
        os.environ[_GL] = "disable"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_GL, None)
        else:
            os.environ[_GL] = before
