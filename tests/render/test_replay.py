"""Episodes whose states were not recorded are played again to be drawn."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from seqrl_cli.config.extras import is_installed
from seqrl_cli.envs.make import make_env
from seqrl_cli.errors import SeqrlError
from seqrl_cli.render.mujoco_view import find_backend
from seqrl_cli.render.record import read_record
from seqrl_cli.render.replay import must_be_replayed, replay
from seqrl_cli.render.video import render_episode
from tests.render.recorded import write_record

SEED, STEPS = 7, 6


def recorded(folder, env_id: str):
    """An episode with random actions, as ``plan`` writes it."""
    env = make_env(env_id)
    env.reset(seed=SEED)
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, *env.action_space.shape)).astype(np.float32)
    rewards = [env.step(action)[1] for action in actions]
    env.close()
    path = write_record(folder, steps=STEPS, horizon=2)
    outcome = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**outcome, "environment_seed": SEED}))
    with h5py.File(path.with_suffix(".h5"), "a") as file:
        for name, array in {"qpos": np.empty((STEPS + 1, 0)), "rewards": np.array(rewards), "actions": actions}.items():
            if name in file:
                del file[name]
            file[name] = array
        file.attrs["env_id"] = env_id
    return path.with_suffix(".h5")


@pytest.fixture(params=["d4rl/bullet-hopper-v0", "d4rl/maze2d-umaze-v1"])
def path(request, tmp_path):
    extra = "bullet" if "bullet" in request.param else "robotics"
    if not is_installed(extra):
        pytest.skip(f"the extra {extra} is not installed")
    if extra == "robotics" and find_backend() is None:
        pytest.skip("neither EGL nor OSMesa works here")
    return recorded(tmp_path, request.param)


def test_pictures_change_as_the_episode_goes(path):
    record = read_record(path)
    assert must_be_replayed(record)
    played = replay(record, lambda dt: range(0, STEPS + 1, 3), 64)
    assert list(played.pictures) == [0, 3, 6]
    assert all(picture.shape == (64, 64, 3) and picture.std() > 1 for picture in played.pictures.values())
    assert not np.array_equal(played.pictures[0], played.pictures[6])


def test_a_video(path, tmp_path):
    report = render_episode(path, tmp_path / "a.gif", size=64, every=2)
    assert report.frames == 4 and report.path.stat().st_size > 500


def test_an_environment_that_does_otherwise_is_told(path):
    with h5py.File(path, "a") as file:
        file["rewards"][2] += 5.0
    with pytest.raises(SeqrlError, match="cannot be played again: step 2 earned"):
        replay(read_record(path), lambda dt: range(STEPS), 64)


def test_episodes_without_a_seed_are_refused(tmp_path):
    path = write_record(tmp_path, steps=4, horizon=2).with_suffix(".h5")
    with h5py.File(path, "a") as file:
        del file["qpos"]
        file["qpos"] = np.empty((5, 0))
    record = read_record(path)
    with pytest.raises(SeqrlError, match="does not state the environment's seed|no actions"):
        replay(record, lambda dt: range(4), 64)
