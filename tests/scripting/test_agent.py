"""``load(run).act(observation, reward)`` chooses what ``seqrl plan`` chooses, whatever the architecture."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from seqrl_cli import load, train
from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.planning.episode_files import read_array
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.plan.run import run as plan
from seqrl_cli.workflows.plan.setup import PlanRequest
from tests.workflows.tiny import NAME, TINY

STEPS = 8


def played(agent, env, episode: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Actions and rewards of an episode in a loop of a user's own."""
    observation, _ = env.reset(seed=agent.environment_seed(seed, episode))
    agent.reset(seed, episode)
    reward, actions, rewards = None, [], []
    for _ in range(STEPS):
        actions.append(agent.act(observation, reward))
        observation, reward, *_ = env.step(actions[-1])
        rewards.append(reward)
    return np.array(actions), np.array(rewards, np.float32)


def planned(runs, run: str, tasks: str | None = None) -> list:
    settings = {"plan.max_steps": STEPS, "plan.episodes": 2}
    report = plan(PlanRequest(RunStore(runs), run, settings, seed=3, threads=1, tasks=tasks), Console(quiet=True))
    folder = report.tasks[0].folder if tasks else report.folder
    paths = sorted(runs.parent.joinpath(folder).glob("episode-*.h5"))
    return [(read_array(path, "actions"), read_array(path, "rewards")) for path in paths]


@pytest.mark.parametrize("arch", TINY)
def test_actions_are_those_of_plan(runs, arch):
    agent = load(f"{NAME}/{arch}-s42")
    env = gymnasium.make("Pendulum-v1")
    for episode, states in enumerate(planned(runs, f"{NAME}/{arch}-s42")):
        actions, rewards = played(agent, env, episode)
        assert np.array_equal(actions, states[0]) and np.array_equal(rewards, states[1])


@pytest.mark.slow
def test_one_task_of_many_acts_as_plan_plays_it(runs):
    keys = {"data__transitions": 300, "model__width": 16, "model__n_layer": 1, "train__batch_size": 8}
    report = train("sim/hopper-medium+sim/walker2d-medium", arch="mddt", updates=2, quiet=True, **keys)
    with pytest.raises(UsageError, match="2 tasks to choose from: Hopper-v4, Walker2d-v4"):
        load(report.run)
    agent = load(report.run, task="Walker*")
    assert agent.task == "sim/walker2d-medium" and agent.env_id == "Walker2d-v4"
    (first, _) = planned(runs, report.run, tasks="Walker*")
    actions, rewards = played(agent, agent.make_env(), 0)
    assert np.array_equal(actions, first[0]) and np.array_equal(rewards, first[1])


def test_settings_of_planning_replace_the_runs_own(runs):
    assert load("dt-s42", target_return=-50.0).target_return == -50
    with pytest.raises(UsageError, match="plan.horizont") as raised:
        load("gpt-s42", horizont=5)
    assert "plan.horizon'" in raised.value.hint


def test_a_dataset_and_nothing_mean_the_latest_run(runs):
    assert load(NAME).run == load().run


def test_a_missing_reward_is_named_and_bc_needs_none(runs):
    observation = np.zeros(3)
    agent = load("odt-s42")
    agent.act(observation)
    with pytest.raises(SeqrlError, match="needs the reward of its previous action"):
        agent.act(observation)
    imitating = load("bc-s42")
    assert np.array_equal(imitating.act(observation), imitating.act(observation))


@pytest.mark.parametrize(
    ("observation", "message"), [(np.zeros(4), r"shape \(4,\), but .* reads \(3,\)"), ([0, np.nan, 1], "not finite")]
)
def test_a_wrong_observation_is_named(runs, observation, message):
    with pytest.raises(SeqrlError, match=message):
        load("bc-s42").act(observation)


def test_the_hint_is_in_the_traceback(runs):
    with pytest.raises(SeqrlError) as raised:
        load("dt-s1")
    assert raised.value.__notes__ == [f"hint: {raised.value.hint}"]


def test_the_runs_folder_is_found_without_the_variable(runs, monkeypatch):
    monkeypatch.delenv("SEQRL_RUNS")
    assert load("bc-s42").run == load("bc-s42", runs_dir=runs).run.relative_to(runs.parent)
