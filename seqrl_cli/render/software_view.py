"""Drawing without OpenGL: ray casting of capsules and spheres in NumPy.

The locomotion bodies consist of capsules and spheres on a plane, whose intersections with rays have closed forms. All
coordinates are relative to the camera, which only moves sideways, so rays and floor are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from seqrl_cli.envs.simulator import mujoco
from seqrl_cli.render.states import Body
from seqrl_cli.render.view import FIELD_OF_VIEW, Camera, Pose

OVERSAMPLING = 2
_TILE = 0.5
_SKY_TOP, _SKY_LOW = np.array([[0.62, 0.72, 0.83], [0.93, 0.95, 0.97]], dtype=np.float32)
_FLOOR_LIGHT, _FLOOR_DARK = np.array([[0.90, 0.91, 0.92], [0.66, 0.70, 0.75]], dtype=np.float32)
_LIGHT = np.array([-0.42, -0.58, 0.70], dtype=np.float32)
_SHADOW = 0.5


@dataclass(frozen=True)
class _Capsule:
    """A segment with a radius, in camera coordinates; a sphere has equal ends."""

    start: np.ndarray
    end: np.ndarray
    radius: float
    colour: np.ndarray


@dataclass(frozen=True)
class _Shape:
    """A geom of the model as a capsule along one of its axes."""

    geom: int
    axis: int
    half_length: float
    radius: float


class SoftwareView:
    """Draws a shaded body on a chequered floor.

    Args:
        body: what to draw; geoms other than capsules and spheres are approximated by a capsule.
        camera: the camera to look through.
        size: the picture's side in pixels.
    """

    name = "software"

    def __init__(self, body: Body, camera: Camera, size: int) -> None:
        self._model = body.model
        self._size = size * OVERSAMPLING
        self._data = mujoco.MjData(self._model)
        self._shapes = _shapes(self._model)
        angle = np.radians(camera.elevation)
        forward = np.array([0.0, np.cos(angle), np.sin(angle)])
        self._axes = np.stack([[1.0, 0.0, 0.0], [0.0, -np.sin(angle), np.cos(angle)], forward])
        self._offset = np.array([0.0, 0.0, camera.height]) - camera.distance * forward
        self._slope = float(np.tan(np.radians(FIELD_OF_VIEW / 2)))
        self._rays = self._make_rays()
        self._make_floor(camera)

    def draw(self, poses: Sequence[Pose], centre: np.ndarray) -> np.ndarray:
        """See :meth:`seqrl_cli.render.view.View.draw`."""
        eye = np.append(centre, 0.0) + self._offset
        drawn = [(pose, self._capsules(pose, eye)) for pose in poses]
        shadows = [capsule for pose, capsules in drawn if pose.alpha == 1 for capsule in capsules]
        picture = self._background(eye, shadows)
        for pose, capsules in drawn:
            self._paint(picture, capsules, pose.alpha)
        pixels = (np.clip(picture, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
        return np.asarray(Image.fromarray(pixels).reduce(OVERSAMPLING))

    def close(self) -> None:
        """Nothing to free."""

    def _make_rays(self) -> np.ndarray:
        """Unit directions in world axes ``(size, size, 3)``, from the top row down."""
        steps = (np.arange(self._size) + 0.5) / self._size * 2 - 1
        across, down = np.meshgrid(steps * self._slope, -steps * self._slope)
        rays = np.stack([across, down, np.ones_like(across)], axis=-1) @ self._axes
        return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True), dtype=np.float32)

    def _make_floor(self, camera: Camera) -> None:
        """Compute where rays meet the floor, relative to the eye, and the colours of both kinds of tiles per row."""
        falling = self._rays[:, 0, 2] < -1e-3
        self._horizon = int(falling.argmax()) if falling.any() else self._size
        rays = self._rays[self._horizon :]
        reach = -self._offset[2] / rays[..., 2]
        self._floor = (rays[..., :2] * reach[..., None]).astype(np.float32)
        ahead = self._floor[:, 0, 1] / camera.distance
        contrast = np.exp(-np.clip(ahead - 1.0, 0, None) / 1.6)[:, None, None].astype(np.float32)
        middle = (_FLOOR_LIGHT + _FLOOR_DARK) / 2
        middle = middle + (_SKY_LOW - middle) * (1 - contrast) ** 2
        self._light_tile = middle + contrast * (_FLOOR_LIGHT - _FLOOR_DARK) / 2
        self._dark_tile = middle - contrast * (_FLOOR_LIGHT - _FLOOR_DARK) / 2
        height = np.linspace(0, 1, max(self._horizon, 1), dtype=np.float32)[:, None, None]
        self._sky = _SKY_TOP + (_SKY_LOW - _SKY_TOP) * height

    def _background(self, eye: np.ndarray, shadows: Sequence[_Capsule]) -> np.ndarray:
        """Sky and floor ``(size, size, 3)``; the tiles are fixed in the world, so they show the motion."""
        picture = np.empty((self._size, self._size, 3), dtype=np.float32)
        picture[: self._horizon] = self._sky[: self._horizon]
        across = np.floor((self._floor[..., 0] + np.float32(eye[0] % (2 * _TILE))) / _TILE).astype(np.int32)
        along = np.floor((self._floor[:, :1, 1] + np.float32(eye[1] % (2 * _TILE))) / _TILE).astype(np.int32)
        dark = ((across + along) & 1).astype(bool)
        picture[self._horizon :] = np.where(dark[..., None], self._dark_tile, self._light_tile)
        self._darken(picture[self._horizon :], shadows, float(eye[2]))
        return picture

    def _darken(self, floor: np.ndarray, capsules: Sequence[_Capsule], eye_height: float) -> None:
        """Cast shadows on the floor's part of a picture; the higher a limb, the softer and fainter its shadow."""
        darkness = np.zeros(floor.shape[:2], dtype=np.float32)
        windows = []
        for capsule in capsules:
            ends = np.stack([capsule.start, capsule.end])
            heights = ends[:, 2] + eye_height
            ends = ends - heights[:, None] * _LIGHT / _LIGHT[2]
            height = max(float(heights.min()), 0.0)
            blur = 1.5 * capsule.radius + 0.12 * height
            rows, columns = self._window(ends, capsule.radius + blur)
            window = slice(max(rows.start - self._horizon, 0), max(rows.stop - self._horizon, 0)), columns
            distance = _segment_distance(self._floor[window], ends[0, :2], ends[1, :2])
            strength = np.clip((capsule.radius + blur - distance) / (2 * blur), 0, 1) / (1 + 0.5 * height)
            np.maximum(darkness[window], strength, out=darkness[window])
            windows.append(window)
        if windows:
            touched = _union(windows)
            floor[touched] *= 1 - _SHADOW * darkness[touched][..., None]

    def _capsules(self, pose: Pose, eye: np.ndarray) -> list[_Capsule]:
        self._data.qpos[:] = pose.qpos
        mujoco.mj_kinematics(self._model, self._data)
        capsules = []
        for shape in self._shapes:
            centre = self._data.geom_xpos[shape.geom] - eye
            along = self._data.geom_xmat[shape.geom].reshape(3, 3)[:, shape.axis] * shape.half_length
            colour = self._model.geom_rgba[shape.geom, :3] if pose.colour is None else pose.colour
            capsules.append(
                _Capsule(centre - along, centre + along, shape.radius, np.asarray(colour, dtype=np.float32))
            )
        return capsules

    def _paint(self, picture: np.ndarray, capsules: Sequence[_Capsule], alpha: float) -> None:
        """Draw one pose over the picture; the nearest capsule hides the others, so that joints do not show through."""
        nearest = np.full(picture.shape[:2], np.inf, dtype=np.float32)
        colours = np.empty_like(picture)
        windows = [self._window(np.stack([capsule.start, capsule.end]), capsule.radius) for capsule in capsules]
        for capsule, window in zip(capsules, windows, strict=True):
            rays = self._rays[window]
            reach = ray_capsule(rays, capsule.start, capsule.end, capsule.radius)
            rows, columns = np.nonzero(reach < nearest[window])
            hit = reach[rows, columns]
            nearest[window][rows, columns] = hit
            colours[window][rows, columns] = _shade(rays[rows, columns], hit, capsule)
        touched = _union(windows)
        rows, columns = np.nonzero(np.isfinite(nearest[touched]))
        under, over = picture[touched], colours[touched]
        under[rows, columns] += alpha * (over[rows, columns] - under[rows, columns])

    def _window(self, ends: np.ndarray, radius: float) -> tuple[slice, slice]:
        """The rows and columns that a capsule can touch."""
        across, up, depth = self._axes @ ends.T
        depth = np.maximum(depth, 1e-3)
        scale = self._size / 2 / self._slope
        margin = 1.2 * radius * scale / depth + 2
        columns = self._size / 2 + across * scale / depth
        rows = self._size / 2 - up * scale / depth
        return _span(rows, margin, self._size), _span(columns, margin, self._size)


def ray_capsule(rays: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float) -> np.ndarray:
    """Distance ``(…)`` at which rays from the origin enter a capsule; infinity where they miss it.

    A ray that meets the infinite cylinder between the ends meets the capsule there; otherwise it can only meet the cap
    at the end that it passes.

    Args:
        rays: unit directions ``(…, 3)``.
        start: one end of the segment ``(3,)``.
        end: other end of the segment ``(3,)``; equal ends make a sphere.
        radius: radius of the capsule.
    """
    axis = (end - start).astype(np.float64)
    length_squared = float(axis @ axis)
    along = rays @ axis.astype(np.float32)
    if length_squared < 1e-12:
        return _ray_sphere(rays, start, radius)
    toward = rays @ start.astype(np.float32)
    ahead = float(axis @ start)
    a = length_squared - along**2
    b = ahead * along - length_squared * toward
    c = length_squared * float(start @ start) - ahead**2 - radius**2 * length_squared
    inside = b * b - a * c
    reach = (-b - np.sqrt(np.maximum(inside, 0))) / np.maximum(a, 1e-9)
    position = reach * along - ahead
    body = (inside > 0) & (position > 0) & (position < length_squared)
    caps = np.where(position <= 0, _ray_sphere(rays, start, radius), _ray_sphere(rays, end, radius))
    return np.where(body, reach, caps)


def _ray_sphere(rays: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    toward = rays @ centre.astype(np.float32)
    inside = toward**2 - np.float32(centre @ centre - radius**2)
    return np.where(inside > 0, toward - np.sqrt(np.maximum(inside, 0)), np.float32(np.inf))


def _shade(rays: np.ndarray, reach: np.ndarray, capsule: _Capsule) -> np.ndarray:
    """Colours ``(hits, 3)``: soft light from the upper left, a small highlight, darker rims."""
    points = rays * reach[:, None]
    axis = (capsule.end - capsule.start).astype(np.float32)
    start = capsule.start.astype(np.float32)
    fraction = np.clip((points - start) @ axis / max(float(axis @ axis), 1e-12), 0, 1)
    normal = (points - start - fraction[:, None] * axis) / capsule.radius
    light = _LIGHT / np.linalg.norm(_LIGHT)
    diffuse = np.clip(normal @ light, 0, 1)
    halfway = light - rays
    length = np.sqrt(np.einsum("ij,ij->i", halfway, halfway))
    highlight = np.clip(np.einsum("ij,ij->i", normal, halfway) / length, 0, 1) ** 30
    facing = np.clip(-np.einsum("ij,ij->i", normal, rays) / 0.5, 0, 1)
    brightness = (0.5 + 0.6 * diffuse) * (0.62 + 0.38 * facing)
    return np.asarray(capsule.colour * brightness[:, None] + 0.22 * highlight[:, None])


def _segment_distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The distance of points ``(…, 2)`` from a segment in the plane."""
    axis = (end - start).astype(np.float32)
    start = start.astype(np.float32)
    fraction = np.clip((points - start) @ axis / max(float(axis @ axis), 1e-12), 0, 1)
    across = points[..., 0] - start[0] - fraction * axis[0]
    along = points[..., 1] - start[1] - fraction * axis[1]
    return np.asarray(np.sqrt(across**2 + along**2))


def _span(centres: np.ndarray, margin: np.ndarray, size: int) -> slice:
    """The pixels from 0 to ``size`` that are within a margin of any centre."""
    low, high = np.clip([(centres - margin).min(), (centres + margin).max()], 0, size)
    return slice(int(low), int(np.ceil(high)))


def _union(windows: Sequence[tuple[slice, slice]]) -> tuple[slice, slice]:
    rows, columns = zip(*windows, strict=True)
    return (
        slice(min(span.start for span in rows), max(span.stop for span in rows)),
        slice(min(span.start for span in columns), max(span.stop for span in columns)),
    )


def _shapes(model: mujoco.MjModel) -> list[_Shape]:
    """The visible geoms of bodies; the floor belongs to the world and is drawn as background."""
    visible = np.flatnonzero((model.geom_bodyid > 0) & (model.geom_group < 3) & (model.geom_rgba[:, 3] > 0))
    return [_shape(model, int(geom)) for geom in visible]


def _shape(model: mujoco.MjModel, geom: int) -> _Shape:
    kind, size = mujoco.mjtGeom(model.geom_type[geom]), model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return _Shape(geom, 2, 0.0, float(size[0]))
    if kind in (mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_CYLINDER):
        return _Shape(geom, 2, float(size[1]), float(size[0]))
    axis = int(size.argmax())
    radius = float(np.delete(size, axis).mean())
    return _Shape(geom, axis, max(float(size[axis]) - radius, 0.0), radius)
