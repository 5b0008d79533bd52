"""Pictures of bodies: both views show them at the same place, and the rays hit what marching along them hits."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.render.mujoco_view import BACKENDS, MujocoView, backend_works, find_backend
from seqrl_cli.render.software_view import SoftwareView, ray_capsule
from seqrl_cli.render.states import load_body
from seqrl_cli.render.view import Pose, View, follow
from tests.render.recorded import FAMILIES, play

pytestmark = pytest.mark.slow

SIZE = 96
ORIGIN = np.zeros(2)


def march(ray: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float) -> float:
    """Distance to a capsule by stepping along the ray as far as the capsule is away."""
    reach, axis = 0.0, end - start
    for _ in range(500):
        point = ray * reach
        share = np.clip((point - start) @ axis / max(axis @ axis, 1e-12), 0, 1)
        free = np.linalg.norm(point - start - share * axis) - radius
        if free < 1e-7:
            return reach
        reach += free
        if reach > 100:
            break
    return np.inf


def body_box(view: View, pose: Pose) -> np.ndarray:
    """Top, bottom, left and right of what changes when the pose is lifted out of the picture."""
    away = Pose(pose.qpos + np.eye(len(pose.qpos))[0] * 1000)
    difference = np.abs(view.draw([pose], ORIGIN).astype(int) - view.draw([away], ORIGIN)).max(axis=-1) > 90
    rows, columns = np.nonzero(difference)
    return np.array([rows.min(), rows.max(), columns.min(), columns.max()])


@pytest.mark.parametrize("length", [0.0, 0.7])
def test_rays_hit_what_marching_hits(length):
    rng = np.random.default_rng(0)
    for _ in range(20):
        start = np.array([0.0, 3.0, 0.0]) + rng.normal(size=3) * 0.3
        direction = rng.normal(size=3)
        end = start + length * direction / np.linalg.norm(direction)
        rays = np.array([0.0, 1.0, 0.0]) + 0.25 * rng.normal(size=(20, 3))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        expected = [march(ray, start, end, 0.3) for ray in rays]
        reach = ray_capsule(rays.astype(np.float32), start, end, 0.3)
        np.testing.assert_allclose(reach, expected, atol=5e-3)


@pytest.mark.parametrize("env_id", FAMILIES)
def test_the_whole_body_is_in_the_picture(env_id):
    body, qpos = load_body(env_id), play(env_id, 10)["qpos"]
    top, bottom, left, right = body_box(SoftwareView(body, follow(body, qpos), SIZE), Pose(qpos[0]))
    assert 0 < top < bottom < SIZE - 1 and 0 < left < right < SIZE - 1
    assert (bottom - top) * (right - left) > 0.05 * SIZE**2


def test_a_jump_is_seen_as_one():
    body = load_body("Hopper-v4")
    qpos = body.model.qpos0.copy()
    view = SoftwareView(body, follow(body, qpos[None]), SIZE)
    standing, jumping = body_box(view, Pose(qpos)), body_box(view, Pose(qpos + [0, 0.2, 0, 0, 0, 0]))
    assert jumping[0] < standing[0] and jumping[1] < standing[1] + 1


def test_the_floor_moves_with_the_camera_and_repeats_with_the_tiles():
    body = load_body("Hopper-v4")
    view = SoftwareView(body, follow(body, body.model.qpos0[None]), SIZE)
    start, moved, whole = (view.draw([], np.array([x, 0.0])) for x in (0.0, 0.3, 1.0))
    assert np.abs(moved.astype(int) - start).mean() > 3
    np.testing.assert_allclose(whole.astype(int), start, atol=60)
    assert np.abs(whole.astype(int) - start).mean() < 0.5


def test_translucent_poses_lie_between_nothing_and_opaque():
    body = load_body("Hopper-v4")
    view = SoftwareView(body, follow(body, body.model.qpos0[None]), SIZE)
    nothing, faint, half = (
        view.draw([Pose(body.model.qpos0, (0.0, 0.0, 1.0), alpha)] if alpha else [], ORIGIN).astype(float)
        for alpha in (0.0, 0.3, 0.6)
    )
    changed = np.abs(half - nothing).max(axis=-1) > 30
    assert changed.any()
    ratio = np.abs(faint - nothing)[changed].sum() / np.abs(half - nothing)[changed].sum()
    assert ratio == pytest.approx(0.5, abs=0.02)


def test_drawing_is_repeatable():
    body = load_body("Ant-v4")
    view = SoftwareView(body, follow(body, body.model.qpos0[None]), SIZE)
    pictures = [view.draw([Pose(body.model.qpos0)], ORIGIN) for _ in range(2)]
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("backend", BACKENDS)
def test_mujoco_and_software_agree_where_the_body_is(backend):
    if not backend_works(backend):
        pytest.skip(f"no {backend} on this machine")
    if backend != find_backend():
        pytest.skip(f"a process can hold one backend, and {find_backend()} is taken")
    body, qpos = load_body("HalfCheetah-v4"), play("HalfCheetah-v4", 5)["qpos"]
    camera = follow(body, qpos)
    drawn = MujocoView(body, camera, SIZE, backend)
    box = body_box(drawn, Pose(qpos[0], (1.0, 0.0, 0.0)))
    drawn.close()
    assert backend.upper() in drawn.name.upper()
    software = body_box(SoftwareView(body, camera, SIZE), Pose(qpos[0], (1.0, 0.0, 0.0)))
    np.testing.assert_allclose(box, software, atol=4)


@pytest.mark.parametrize("env_id", ["InvertedPendulum-v5", "Reacher-v5", "Pusher-v5"])
def test_a_body_without_a_sky_is_drawn_before_a_light_one(env_id):
    backend = find_backend()
    if backend is None:
        pytest.skip("MuJoCo cannot draw on this machine")
    body = load_body(env_id)
    view = MujocoView(body, follow(body, body.model.qpos0[None]), SIZE, backend)
    picture = view.draw([Pose(body.model.qpos0)], ORIGIN)
    view.close()
    assert picture[:10, :10].min() > 120 and picture.astype(int).std() > 10
