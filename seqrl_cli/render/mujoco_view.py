"""Drawing with MuJoCo's own renderer, offscreen: EGL, then OSMesa.

MuJoCo reads ``MUJOCO_GL`` only when it is first imported, often long before a picture is drawn. So OpenGL contexts are
made directly, without that variable. A failing driver may kill the whole process, so each backend first draws one
picture in a separate process.
"""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.envs.simulator import mujoco
from seqrl_cli.render.states import Body
from seqrl_cli.render.view import FIELD_OF_VIEW, Camera, Pose

BACKENDS = ("egl", "osmesa")
_MAX_GEOMS = 2000
_SHADOW_TEXELS = 2048  # MuJoCo's default of 4096 takes half of the time if OpenGL runs on the CPU
_SKY_TOP, _SKY_LOW = np.array([[158.0, 184.0, 212.0], [237.0, 242.0, 247.0]])
_SOURCE = Path(__file__).parents[2]
_PROBE = """
import sys
from seqrl_cli.render.mujoco_view import probe
sys.exit(0 if probe(sys.argv[1]) else 1)
"""


def probe(backend: str) -> bool:
    """Draw one small picture in this process and return whether it shows anything."""
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom type='sphere' size='1'/></body></worldbody></mujoco>"
    )
    view = MujocoView(Body(model, 0.01, 2), Camera(3.0, 0.0, -20.0), 64, backend)
    picture = view.draw([Pose(model.qpos0)], np.zeros(2))
    view.close()
    return bool(picture.std() > 1)


@functools.cache
def find_backend() -> str | None:
    """The first backend that draws on this machine, tried in a separate process; None if there is none."""
    return next((backend for backend in BACKENDS if backend_works(backend)), None)


@functools.cache
def backend_works(backend: str) -> bool:
    """Whether ``backend`` draws, tried in a separate process."""
    command = [sys.executable, "-c", _PROBE, backend]
    try:
        tried = subprocess.run(command, cwd=_SOURCE, capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return False
    return tried.returncode == 0


class MujocoView:
    """Draws a body with MuJoCo's renderer.

    Args:
        body: what to draw.
        camera: the camera to look through.
        size: the picture's side in pixels.
        backend: ``"egl"`` or ``"osmesa"``, one that :func:`find_backend` found.
    """

    def __init__(self, body: Body, camera: Camera, size: int, backend: str) -> None:
        self.name = {"egl": "MuJoCo with EGL", "osmesa": "MuJoCo with OSMesa"}[backend]
        self._model = body.model
        self._data = mujoco.MjData(self._model)
        self._camera = _mujoco_camera(camera)
        self._picture = np.empty((size, size, 3), dtype=np.uint8)
        self._sky = None if _has_sky(self._model) else _sky(size)
        self._depth = None if self._sky is None else np.empty((size, size), dtype=np.float32)
        self._rectangle = mujoco.MjrRect(0, 0, size, size)
        self._options = mujoco.MjvOption()
        self._perturbation = mujoco.MjvPerturb()
        _light_up(self._model, camera)
        self._model.vis.quality.shadowsize = _SHADOW_TEXELS
        self._model.vis.global_.offwidth = self._model.vis.global_.offheight = size
        self._model.vis.global_.fovy = FIELD_OF_VIEW
        self._gl: Any = importlib.import_module(f"mujoco.{backend}").GLContext(size, size)
        self._gl.make_current()
        self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(self._model, _MAX_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_FOG] = True

    def draw(self, poses: Sequence[Pose], centre: np.ndarray) -> np.ndarray:
        """See :meth:`seqrl_cli.render.view.View.draw`."""
        self._camera.lookat[:2] = centre
        self._start_scene()
        for pose in poses:
            self._add(pose)
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._picture, self._depth, self._rectangle, self._context)
        picture = self._picture[::-1].copy()
        if self._sky is not None and self._depth is not None:
            empty = self._depth[::-1] >= 1.0
            picture[empty] = self._sky[empty]
        return picture

    def close(self) -> None:
        """Free the renderer and its context."""
        self._context.free()
        self._gl.free()

    def _start_scene(self) -> None:
        """Add floor, lights and camera. Lights may follow the body, so the body is put where the camera looks."""
        self._data.qpos[:] = self._model.qpos0
        self._data.qpos[0] = self._camera.lookat[0]
        mujoco.mj_forward(self._model, self._data)
        arguments = (self._options, self._perturbation, self._camera, mujoco.mjtCatBit.mjCAT_STATIC, self._scene)
        mujoco.mjv_updateScene(self._model, self._data, *arguments)

    def _add(self, pose: Pose) -> None:
        self._data.qpos[:] = pose.qpos
        mujoco.mj_kinematics(self._model, self._data)
        first = self._scene.ngeom
        arguments = (self._options, self._perturbation, mujoco.mjtCatBit.mjCAT_DYNAMIC, self._scene)
        mujoco.mjv_addGeoms(self._model, self._data, *arguments)
        for geom in self._scene.geoms[first : self._scene.ngeom]:
            geom.rgba[3] *= pose.alpha
            if pose.colour is not None:
                geom.matid = -1
                geom.rgba[:3] = pose.colour


def _mujoco_camera(camera: Camera) -> mujoco.MjvCamera:
    made = mujoco.MjvCamera()
    made.type = mujoco.mjtCamera.mjCAMERA_FREE
    made.distance, made.elevation, made.azimuth = camera.distance, camera.elevation, 90.0
    made.lookat[2] = camera.height
    return made


def _has_sky(model: mujoco.MjModel) -> bool:
    """Whether the model has a background of its own; without one MuJoCo draws black."""
    return mujoco.mjtTexture.mjTEXTURE_SKYBOX.value in model.tex_type


def _sky(size: int) -> np.ndarray:
    """A light background ``(size, size, 3)``, darker at the top."""
    rows = np.linspace(0.0, 1.0, size)[:, None, None] * np.ones((1, size, 1))
    return np.asarray(_SKY_TOP + rows * (_SKY_LOW - _SKY_TOP), dtype=np.uint8)


def _light_up(model: mujoco.MjModel, camera: Camera) -> None:
    """Add light on the body, and fog where the floor's tiles become smaller than pixels."""
    lit = model.nlight > 0
    model.vis.headlight.ambient[:] = 0.25 if lit else 0.4
    model.vis.headlight.diffuse[:] = 0.35 if lit else 0.6
    model.vis.rgba.fog[:] = (0.62, 0.66, 0.70, 1.0)
    model.vis.map.fogstart = 1.2 * camera.distance / model.stat.extent
    model.vis.map.fogend = 5.0 * camera.distance / model.stat.extent
