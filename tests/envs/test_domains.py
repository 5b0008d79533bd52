"""Environments of the domains; those whose package is not installed are skipped."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

from seqrl_cli.behaviour.collect import play_episode
from seqrl_cli.behaviour.scripted import collect_task, has_scripted_policy, scripted_parts
from seqrl_cli.config.extras import install_line, is_installed
from seqrl_cli.data.domains import domains, task_of, tasks_by_environment
from seqrl_cli.data.formats.d4rl import read_d4rl, write_d4rl
from seqrl_cli.data.space import DiscreteSpace
from seqrl_cli.envs.domains.dmc import LAYOUT, SIZE, STARTS
from seqrl_cli.envs.limits import known_step_limit
from seqrl_cli.envs.make import make_env, spaces_of
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.render.mujoco_view import find_backend

pytestmark = pytest.mark.slow

SAMPLES = ("metaworld/reach-v3", "dmc/cartpole-balance", "dmc/reacher-easy", "atari/Freeway", "procgen/coinrun")


def needs(domain: str):
    return pytest.mark.skipif(not is_installed(domain), reason=f"the package of {domain} is not installed")


@pytest.fixture(params=SAMPLES)
def env_id(request) -> str:
    if not is_installed(task_of(request.param).domain):
        pytest.skip("its package is not installed")
    return request.param


def observations(env, seed: int, steps: int = 15) -> np.ndarray:
    """An episode with actions that depend on the seed alone."""
    rng = np.random.default_rng(seed)
    found = [env.reset(seed=seed)[0]]
    space = spaces_of(env).action
    for _ in range(steps):
        action = rng.integers(space.n) if isinstance(space, DiscreteSpace) else rng.uniform(-1, 1, space.shape)
        found.append(env.step(action)[0])
    return np.array(found)


def test_it_is_as_the_table_says(env_id):
    with closing(make_env(env_id)) as env:
        spaces, task = spaces_of(env), task_of(env_id)
        assert spaces.fits(task.spaces) and task.spaces.fits(spaces)
        assert env.spec.max_episode_steps == task.episode_steps == known_step_limit(env_id)
        assert env.reset(seed=0)[0].dtype == spaces.observation.dtype


def test_an_episode_depends_on_its_seed_alone(env_id):
    with closing(make_env(env_id)) as env, closing(make_env(env_id)) as other:
        first = observations(env, 3)
        assert not np.array_equal(first, observations(env, 4))
        assert np.array_equal(first, observations(env, 3))
        assert np.array_equal(first, observations(other, 3))


@needs("metaworld")
def test_the_goal_of_metaworld_is_shown_and_drawn_from_its_half():
    with (
        closing(make_env("metaworld/reach-v3")) as seen,
        closing(make_env("metaworld/reach-v3", goals="held-out")) as new,
    ):
        observation, info = seen.reset(seed=5)
        assert np.array_equal(observation[-3:], seen.step(np.zeros(4))[0][-3:]) and observation[-3:].any()
        goals = {seen.reset(seed=seed)[1]["goal"] for seed in range(20)}
        held_out = {new.reset(seed=seed)[1]["goal"] for seed in range(20)}
        assert len(goals) == 20 and max(goals) < 2**30 <= min(held_out)
        assert info["goal"] in goals


@needs("metaworld")
def test_scripted_policies_solve_tasks_and_success_is_recorded(tmp_path):
    collected = collect_task(task_of("metaworld/reach-v3"), transitions=600, workers=1)
    assert collected.attributes["success_rate"] == 1.0
    path = tmp_path / "dataset.h5"
    write_d4rl(path, collected.episodes, collected.attributes)
    read = read_d4rl(path)
    assert len(read) == 3 and np.array_equal(read.successes, collected.episodes.successes)
    assert read.successes[read.offsets[1:] - 1].any() and not read.successes[0]


@needs("metaworld")
def test_a_vector_reports_success_where_the_environment_does():
    with (
        closing(SeededVectorEnv("metaworld/reach-v3", 2)) as vector,
        closing(SeededVectorEnv("Pendulum-v1", 1)) as other,
    ):
        vector.start(0, 1)
        assert vector.step(np.zeros((2, 4))).successes.tolist() == [0, -1]
        other.start(0, 1)
        assert other.step(np.zeros((1, 1))).successes.tolist() == [-1]


@needs("dmc")
@pytest.mark.parametrize("env_id", [name for name in tasks_by_environment() if name.startswith("dmc/")])
def test_written_controllers_earn_most_of_what_there_is(env_id):
    if not has_scripted_policy(env_id) or env_id.endswith("sparse"):
        pytest.skip("no controller")
    with closing(make_env(env_id)) as env:
        policy = scripted_parts(env_id)[0].make_policy()
        episode = play_episode(env, policy, np.random.default_rng(1))
    assert episode.returns[0] > 700


@needs("dmc")
def test_tasks_are_drawn_after_others_were_played_without_drawing(monkeypatch):
    if (backend := find_backend()) is None:
        pytest.skip("neither EGL nor OSMesa works")
    with closing(make_env("dmc/cartpole-balance")) as env:
        env.reset(seed=0)
    monkeypatch.setenv("MUJOCO_GL", backend)
    with closing(make_env("dmc/cartpole-balance", render_mode="rgb_array")) as env:
        env.reset(seed=0)
        assert env.render().shape == (240, 320, 3) and env.render().std() > 5


@needs("dmc")
def test_a_task_that_does_not_fit_the_layout_is_named():
    from seqrl_cli.envs.domains.dmc import DMControlEnv

    with pytest.raises(SeqrlError, match="73 numbers of joint_angles, for which the layout has room for 21"):
        DMControlEnv("dog-stand")


def test_the_layout_is_the_papers():
    assert SIZE == 204 and STARTS["velocity"] == 14 and STARTS["body_velocities"] == 158 and STARTS["height"] == 203
    assert sum(LAYOUT.values()) == 204


@needs("atari")
def test_a_frame_is_grey_and_a_game_starts_after_some_frames():
    with closing(make_env("atari/Freeway")) as env:
        frame, _ = env.reset(seed=1)
        assert frame.shape == (84, 84) and frame.dtype == np.uint8 and len(np.unique(frame)) > 3
        assert not np.array_equal(frame, env.reset(seed=2)[0])


def test_every_table_is_whole():
    assert {name: len(domain.tasks) for name, domain in domains().items()} == {
        "metaworld": 50,
        "dmc": 34,
        "atari": 62,
        "procgen": 16,
    }
    for task in tasks_by_environment().values():
        assert task.spaces.observation.shape == task.shape
        assert task.references is None or task.references[0] < task.references[1]


def test_a_task_that_does_not_exist_is_named():
    with pytest.raises(UsageError, match="hamer") as error:
        domains()["metaworld"].task("hamer")
    assert "hammer" in error.value.hint


@pytest.mark.parametrize("domain", domains())
def test_a_missing_package_is_one_sentence_and_the_line_that_installs_it(domain, monkeypatch):
    task = next(iter(domains()[domain].tasks.values()))
    monkeypatch.setattr("seqrl_cli.envs.registry.is_installed", lambda extra: False)
    with pytest.raises(SeqrlError, match=f"needs the extra {domain}, which is not installed") as error:
        make_env(task.env_id)
    assert error.value.hint == install_line(domain)
    assert "procgen-mirror==0.10.7" in install_line("procgen") and "--no-deps" in install_line("procgen")


def test_registering_imports_no_simulator():
    code = (
        "import seqrl_cli.envs.make, sys; print([m for m in ('metaworld', 'dm_control', 'ale_py') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@needs("atari")
def test_a_missing_or_damaged_game_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(SeqrlError, match=r"the game pong cannot be loaded: .*pong\.bin") as missing:
        make_env("atari/Pong")
    assert "ale-py" in missing.value.hint
    (tmp_path / "pong.bin").write_bytes(b"another game")
    with pytest.raises(SeqrlError, match=r"The hash of pong\.bin"):
        make_env("atari/Pong")
    assert not capsys.readouterr().out


def test_the_old_version_of_a_task_suggests_the_new_one():
    with pytest.raises(SeqrlError, match="hammer-v2") as old:
        make_env("metaworld/hammer-v2")
    assert "metaworld/hammer-v3" in old.value.hint
