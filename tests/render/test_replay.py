"""Episodes whose states cannot be drawn are replayed in their environment."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import h5py
import numpy as np
import pytest

from seqrl_cli.config.extras import is_installed
from seqrl_cli.envs.make import make_env
from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning.episode_files import read_episode, read_states, write_episode
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.render.mujoco_view import find_backend
from seqrl_cli.render.replay import must_be_replayed, replay
from seqrl_cli.render.video import render_episode
from tests.envs.unruly import unruly
from tests.render.recorded import FACTS, write_recorded

SEED, STEPS = 7, 6


def recorded(folder, env_id: str):
    """An episode with random actions, as ``plan`` writes it; returns its HDF5 file."""
    env = make_env(env_id)
    env.reset(seed=SEED)
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, *env.action_space.shape)).astype(np.float32)
    rewards = np.array([env.step(action)[1] for action in actions])
    env.close()
    record = EpisodeRecord(
        episode=0,
        seed=SEED,
        terminated=False,
        seconds_per_step=0.01,
        observations=np.zeros((STEPS + 1, 2)),
        actions=actions,
        rewards=rewards,
        qpos=np.empty((STEPS + 1, 0)),
        qvel=np.empty((STEPS + 1, 0)),
    )
    return write_episode(folder, replace(FACTS, env_id=env_id), record, None).with_suffix(".h5")


@pytest.fixture(params=["d4rl/bullet-hopper-v0", "d4rl/maze2d-umaze-v1"])
def path(request, tmp_path):
    extra = "bullet" if "bullet" in request.param else "robotics"
    if not is_installed(extra):
        pytest.skip(f"the extra {extra} is not installed")
    if extra == "robotics" and find_backend() is None:
        pytest.skip("neither EGL nor OSMesa works here")
    return recorded(tmp_path, request.param)


def test_pictures_change_as_the_episode_goes(path):
    episode = read_episode(path)
    states = read_states(episode)
    assert must_be_replayed(episode, states)
    played = replay(episode, states, lambda dt: range(0, STEPS + 1, 3), 64)
    assert list(played.pictures) == [0, 3, 6]
    assert all(picture.shape == (64, 64, 3) and picture.std() > 1 for picture in played.pictures.values())
    assert not np.array_equal(played.pictures[0], played.pictures[6])


def test_a_video(path, tmp_path):
    report = render_episode(read_episode(path), tmp_path / "a.gif", size=64, every=2)
    assert report.frames == 4 and report.path.stat().st_size > 500


def test_an_environment_that_does_otherwise_is_told(path):
    with h5py.File(path, "a") as file:
        file["rewards"][2] += 5.0
    episode = read_episode(path)
    with pytest.raises(SeqrlError, match="cannot be replayed: step 2 earned"):
        replay(episode, read_states(episode), lambda dt: range(STEPS), 64)


@pytest.mark.parametrize(
    ("unknown", "message"), [("environment_seed", "does not state the environment's seed"), ("actions", "no actions")]
)
def test_episodes_without_seed_or_actions_are_refused(tmp_path, unknown, message):
    episode = read_episode(write_recorded(tmp_path, steps=4, horizon=2, qpos=np.empty((5, 0))))
    states = read_states(episode)
    if unknown == "actions":
        states = replace(states, actions=None)
    else:
        episode = replace(episode, environment_seed=None)
    with pytest.raises(SeqrlError, match=message):
        replay(episode, states, lambda dt: range(4), 64)


def test_an_environment_that_draws_nothing_is_told(tmp_path):
    episode = read_episode(recorded(tmp_path, unruly("fine")))
    with pytest.raises(SeqrlError, match="environment 'tests.envs.unruly:UnrulyFine-v0' draws no pictures"):
        replay(episode, read_states(episode), lambda dt: range(STEPS), 64)


def test_a_package_that_drawing_needs_is_named(tmp_path):
    if importlib.util.find_spec("pygame"):
        pytest.skip("pygame is installed")
    episode = read_episode(recorded(tmp_path, "Pendulum-v1"))
    with pytest.raises(SeqrlError, match="cannot be drawn: pygame is not installed") as caught:
        replay(episode, read_states(episode), lambda dt: range(STEPS), 64)
    assert "gymnasium[classic_control]" in caught.value.hint
