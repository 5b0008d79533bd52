"""Environments of D4RL's other datasets; those whose simulator is not installed are skipped."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import subprocess
import sys
import textwrap
from dataclasses import replace
from importlib import metadata
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

from seqrl_cli.config.extras import EXTRAS, install_line, is_installed
from seqrl_cli.data.catalogue import list_datasets, resolve
from seqrl_cli.envs import registry
from seqrl_cli.envs.make import make_env, space_sizes
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError

robotics = pytest.mark.skipif(not is_installed("robotics"), reason="gymnasium-robotics is not installed")
bullet = pytest.mark.skipif(not is_installed("bullet"), reason="pybullet is not installed")

# Observation and action sizes of D4RL's datasets (kitchen without the goal's 30 numbers).
SIZES = {
    "bullet-hopper-medium-v0": (15, 3),
    "bullet-halfcheetah-medium-v0": (26, 6),
    "bullet-walker2d-medium-v0": (22, 6),
    "bullet-ant-medium-v0": (28, 8),
    "antmaze-umaze-v2": (29, 8),
    "antmaze-large-play-v0": (29, 8),
    "maze2d-medium-v1": (4, 2),
    "maze2d-large-dense-v1": (4, 2),
    "kitchen-complete-v0": (30, 9),
    "kitchen-mixed-v0": (30, 9),
    "pen-human-v1": (45, 24),
    "door-human-v1": (39, 28),
    "hammer-expert-v0": (46, 26),
    "relocate-cloned-v1": (39, 30),
}


def make(dataset: str):
    spec = resolve(dataset)
    if not is_installed(spec.extra):
        pytest.skip(f"the extra {spec.extra} is not installed")
    return make_env(spec.env_id)


def episode(env, seed: int, steps: int = 30) -> np.ndarray:
    """Observations of an episode with random actions, ended or not."""
    observations = [env.reset(seed=seed)[0]]
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        observation, _, terminated, truncated, _ = env.step(rng.uniform(-1, 1, env.action_space.shape))
        observations.append(observation)
        if terminated or truncated:
            break
    return np.array(observations)


@pytest.mark.parametrize("dataset", SIZES)
def test_sizes_are_those_of_the_data(dataset):
    env = make(dataset)
    assert space_sizes(env) == SIZES[dataset]
    assert env.reset(seed=0)[0].shape == (SIZES[dataset][0],)
    env.close()


@pytest.mark.parametrize("dataset", ["bullet-ant-medium-v0", "antmaze-umaze-v2", "maze2d-umaze-v1", "pen-human-v1"])
def test_an_episode_depends_on_its_seed_only(dataset):
    env = make(dataset)
    first = episode(env, seed=1)
    assert not np.array_equal(episode(env, seed=2)[0], first[0])
    np.testing.assert_array_equal(episode(env, seed=1), first)
    env.close()


def test_every_environment_of_the_catalogue_is_known_or_brought_by_its_extra():
    for spec in list_datasets():
        assert registry.needed_extra(spec.env_id) == spec.extra, spec.id
        assert spec.extra or spec.env_id in gymnasium.registry, spec.id
        assert not spec.env_id.startswith("d4rl/") or spec.env_id in gymnasium.registry, spec.id


@pytest.mark.parametrize("env_id", ["d4rl/bullet-hopper-v0", "d4rl/kitchen-mixed-v0", "PointMaze_UMaze-v3"])
def test_a_missing_extra_is_named_with_the_line_that_installs_it(env_id, monkeypatch):
    monkeypatch.setattr(registry, "is_installed", lambda extra: False)
    with pytest.raises(SeqrlError, match=f"{env_id}' needs the extra (bullet|robotics), which is not") as error:
        make_env(env_id)
    assert error.value.hint.startswith("pip install ")


def test_install_lines():
    assert all(install_line(extra).startswith("pip install ") for extra in EXTRAS)


def test_a_folder_with_the_name_of_a_package_is_no_package(monkeypatch, tmp_path):
    (tmp_path / "a_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(EXTRAS, "wandb", replace(EXTRAS["wandb"], module="a_tracker", distribution="a-tracker"))
    assert not is_installed("wandb")
    (tmp_path / "a_tracker" / "__init__.py").touch()
    importlib.invalidate_caches()
    assert is_installed("wandb")


def test_install_lines_of_a_checkout_with_a_space_in_its_path(monkeypatch, tmp_path):
    checkout = tmp_path / "my code"
    checkout.mkdir()
    (checkout / "constraints.txt").touch()
    note = json.dumps({"url": checkout.as_uri(), "dir_info": {"editable": True}})
    monkeypatch.setattr(metadata, "distribution", lambda name: SimpleNamespace(read_text=lambda name: note))
    words = shlex.split(install_line("dmc"))
    assert words == ["pip", "install", "-c", f"{checkout}/constraints.txt", "-e", f"{checkout}[dmc]"]


@pytest.mark.parametrize(("editable", "option"), [(False, ""), (True, "-e ")])
def test_install_lines_take_the_constraints_of_the_checkout(monkeypatch, tmp_path, editable, option):
    note = json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": editable}})
    installed = SimpleNamespace(read_text=lambda name: note, requires=["pybullet>=3.2.5; extra == 'bullet'"])
    monkeypatch.setattr(metadata, "distribution", lambda name: installed)
    assert install_line("bullet") == "pip install 'pybullet>=3.2.5'"  # of a folder that is no checkout
    (tmp_path / "constraints.txt").touch()
    assert install_line("bullet") == f"pip install -c {tmp_path}/constraints.txt {option}'{tmp_path}[bullet]'"
    assert install_line("d4rl").startswith(f"pip install -c {tmp_path}/constraints.txt --no-deps 'd4rl")
    monkeypatch.chdir(tmp_path)
    assert install_line("bullet") == f"pip install -c constraints.txt {option}'.[bullet]'"


@bullet
def test_bullet_leaves_no_gym_behind():
    env = make_env("d4rl/bullet-hopper-v0", render_mode="rgb_array")
    env.reset(seed=0)
    assert "gym" not in sys.modules
    assert env.render().shape == (240, 320, 3)
    env.close()


@robotics
def test_maze2d_has_d4rls_coordinates():
    """Walls, start cells and goal of maze2d-umaze are where d4rl/pointmaze/maze_model.py has them."""
    env = make_env("d4rl/maze2d-umaze-v1").unwrapped
    free = {(1, 1), (1, 2), (1, 3), (2, 3), (3, 1), (3, 2), (3, 3)}
    starts = np.array([env.reset(seed=seed)[0] for seed in range(60)])
    assert {tuple(cell) for cell in np.round(starts[:, :2]).astype(int)} == free
    assert np.abs(starts[:, :2] - np.round(starts[:, :2])).max() <= 0.1
    # Down the right side: from row 1, column 3, a wall of half a cell ends the way at row 3.
    env.place(np.array([1.0, 3.0]), np.empty(0), np.zeros(2), np.array([1.0, 1.0]))
    for _ in range(200):
        observation, reward, *_ = env.step(np.array([1.0, 0.0]))
    # The wall's face is at 3.5; the ball's radius is 0.1 and its body 0.2 ahead of its coordinate.
    assert observation[0] == pytest.approx(3.2, abs=0.05) and observation[1] == pytest.approx(3.0, abs=0.05)
    assert reward == 0
    env.place(np.array([1.0, 1.45]), np.empty(0), np.zeros(2), np.array([1.0, 1.0]))
    assert env.step(np.zeros(2))[1] == 1.0


@robotics
def test_antmaze_has_d4rls_coordinates_and_ant():
    env = make_env("d4rl/antmaze-umaze-v2").unwrapped
    observation, _ = env.reset(seed=0)
    assert np.abs(observation[:2]).max() <= 0.1 and observation[2] == pytest.approx(0.75, abs=0.1)
    goals = []
    for seed in range(30):
        env.reset(seed=seed)
        goals.append(env.goal)
    # The goal's cell is two cells further in y; noise goes up only, by at most 3/8 of a cell of four metres.
    assert np.min(goals, axis=0) == pytest.approx([0.0, 8.0], abs=0.5)
    assert (np.array(goals) >= [0, 8]).all() and (np.array(goals) <= [1.5, 9.5]).all()
    # Walls: to the west of the start, and between start and goal.
    data, model = env.inner.data, env.inner.model
    blocks = {tuple(np.round(data.geom_xpos[i][:2] + env.shift)) for i in range(model.ngeom) if model.geom_type[i] == 6}
    assert {(-4, 0), (0, 4), (4, 4), (12, 4)} <= blocks and not {(0, 0), (8, 4), (0, 8)} & blocks
    assert env.inner.dt == pytest.approx(0.1)
    env.place(env.goal + [0.3, 0.3], env._rest, np.zeros(14), env.goal)
    *_, reward, terminated, truncated, _ = env.step(np.zeros(8))
    assert (reward, terminated, truncated) == (1.0, True, False)


@robotics
def test_kitchen_starts_where_d4rls_does():
    env = make_env("d4rl/kitchen-complete-v0")
    observation, _ = env.reset(seed=0)
    # d4rl/kitchen: the first of init_qpos, and those of microwave and kettle.
    assert observation[:3] == pytest.approx([0.148, -1.768, 1.844], abs=0.02)
    assert observation[22:26] == pytest.approx([0.0, -0.269, 0.350, 1.619], abs=0.02)
    assert env.unwrapped.simulation.goal.keys() == {"microwave", "kettle", "light switch", "slide cabinet"}
    env.close()


@robotics
def test_dictionaries_become_one_vector_in_the_order_of_their_keys():
    env = make_env("PointMaze_UMaze-v3")
    observation, _ = env.reset(seed=0)
    parts = env.unwrapped._get_obs(observation[4:])
    np.testing.assert_array_equal(
        observation, np.concatenate([parts["achieved_goal"], parts["desired_goal"], observation[4:]])
    )
    env.close()


@bullet
def test_bullet_episodes_are_recorded_without_states():
    vector = SeededVectorEnv("d4rl/bullet-hopper-v0", 2)
    vector.start(0, seed=0)
    vector.step(np.zeros((2, 3)))
    assert [state.qpos.shape for state in vector.states()] == [(0,), (0,)]
    vector.close()


def test_what_c_code_prints_does_not_reach_stdout(tmp_path):
    code = """
        import ctypes, json
        from seqrl_cli.envs.domains.bullet import _quiet
        print("{", end="")
        with _quiet():
            ctypes.CDLL(None).printf(b"build time: May 20\\n")
        print("}")
    """
    env = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    words = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "{}\n" and not done.stderr
