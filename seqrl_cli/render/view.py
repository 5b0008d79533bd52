"""What both renderers share: the camera, the poses of a picture, and the ``View`` protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seqrl_cli.envs.simulator import mujoco
from seqrl_cli.render.states import Body

FIELD_OF_VIEW = 45.0


@dataclass(frozen=True)
class Camera:
    """A camera beside the track that looks along +y and slightly down, so that +x is to the right.

    Attributes:
        distance: metres from the camera to the point that it looks at.
        height: height of that point above the floor in metres.
        elevation: angle in degrees; negative looks down.
    """

    distance: float
    height: float
    elevation: float


@dataclass(frozen=True)
class Pose:
    """One drawing of the body.

    Attributes:
        qpos: generalized positions ``(nq,)``.
        colour: red, green, blue in [0, 1]; None keeps the model's own colours.
        alpha: opacity, where 1 is opaque.
    """

    qpos: np.ndarray
    colour: tuple[float, float, float] | None = None
    alpha: float = 1.0


class View(Protocol):
    """Draws poses as square pictures."""

    @property
    def name(self) -> str:
        """The name of the renderer."""
        ...

    def draw(self, poses: Sequence[Pose], centre: np.ndarray) -> np.ndarray:
        """A picture ``(size, size, 3)`` uint8 of the poses, later ones over earlier ones.

        Args:
            poses: what to draw; only opaque poses cast a shadow.
            centre: x and y that the camera looks at, ``(2,)``.
        """
        ...

    def close(self) -> None:
        """Free the renderer; the view cannot draw afterwards."""
        ...


def follow(body: Body, qpos: np.ndarray, lead: float = 0.0) -> Camera:
    """A camera that keeps the whole body in the picture throughout an episode.

    Args:
        body: the body.
        qpos: positions of the episode, ``(steps, nq)``.
        lead: metres that the camera looks ahead of the body.
    """
    data = mujoco.MjData(body.model)
    solid = body.model.geom_bodyid > 0
    reach = 0.0
    top = 0.0
    for positions in qpos[:: max(1, len(qpos) // 50)]:
        data.qpos[:] = positions
        mujoco.mj_kinematics(body.model, data)
        centres = data.geom_xpos[solid] - np.append(root(data), 0.0)
        axes = np.abs(data.geom_xmat[solid].reshape(-1, 3, 3)[:, :, 2])
        extent = body.model.geom_size[solid, :1] + body.model.geom_size[solid, 1:2] * axes
        reach = max(reach, float((np.abs(centres) + extent)[:, 0].max()))
        top = max(top, float((centres + extent)[:, 2].max()))
    free = body.hidden == 2
    # Limbs of a free body may point at the camera, which makes them look longer.
    span = max(1.1 * top, (2.3 if free else 1.9) * (reach + abs(lead)))
    visible = 2 * float(np.tan(np.radians(FIELD_OF_VIEW / 2)))
    return Camera(distance=span / 0.76 / visible, height=0.41 * top, elevation=-28.0 if free else -10.0)


def root(data: mujoco.MjData) -> np.ndarray:
    """X and y of the first body, ``(2,)``; valid after forward kinematics."""
    return np.array(data.xpos[1, :2])
