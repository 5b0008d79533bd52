"""What becomes of the rewards at terminals: goals are told from falls by the data, and only then by names."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.terminals import FALL_PENALTY, TerminalRewards, is_locomotion, terminal_rule

LENGTHS = tuple(np.random.default_rng(0).integers(20, 40, 40))


def recorded(rewards: list[np.ndarray], terminated: list[bool]) -> Episodes:
    """Episodes of these rewards; those that no terminal ends are cut by the step limit."""
    ends = np.cumsum([len(one) for one in rewards]) - 1
    terminals = np.zeros(ends[-1] + 1, bool)
    terminals[ends] = terminated
    blank = np.zeros((len(terminals), 1), np.float32)
    cut = np.isin(np.arange(len(terminals)), ends) & ~terminals
    return Episodes.from_flags(blank, blank, np.concatenate(rewards), terminals, cut)


def ending(last: float, usual: float = 0.0, every: int = 2) -> Episodes:
    """One episode in ``every`` ends at a terminal that earns ``last``; all other steps earn ``usual``."""
    rewards = [np.full(length, usual) for length in LENGTHS]
    terminated = [number % every == 0 for number in range(len(rewards))]
    for one, ended in zip(rewards, terminated, strict=True):
        one[-1] = last if ended else usual
    return recorded(rewards, terminated)


def noisy(last: float | None = None) -> Episodes:
    """Rewards about one, also at terminals if no reward is given for them."""
    rng = np.random.default_rng(1)
    rewards = [rng.normal(1, 1, length) for length in LENGTHS]
    for one in rewards:
        one[-1] = one[-1] if last is None else last
    return recorded(rewards, [True] * len(rewards))


def counting() -> Episodes:
    """A count of finished tasks, as a kitchen has it: the fourth is a terminal."""
    rng = np.random.default_rng(2)
    return recorded([np.append(np.sort(rng.integers(0, 4, length)), 4.0) for length in LENGTHS], [True] * len(LENGTHS))


def deaths_and_goals(goals: int) -> Episodes:
    """Terminals that earn 1 at a goal and -1 otherwise."""
    rewards = [np.append(np.zeros(length), 1.0 if number < goals else -1.0) for number, length in enumerate(LENGTHS)]
    return recorded(rewards, [True] * len(rewards))


GOALS = {
    "a goal of 100": ending(100.0),
    "0 after -1 per step": ending(0.0, usual=-1.0),
    "one goal in 40": ending(1.0, every=40),
    "a tiny goal": ending(1e-9),
    "a huge goal": ending(1e30),
    "a count of tasks": counting(),
    "goals and deaths": deaths_and_goals(20),
    "few goals and many deaths": deaths_and_goals(2),
    "a bonus over noise": noisy(20.0),
}
ORDINARY = {
    "noise": noisy(),
    "as every step": ending(1.0, usual=1.0),
    "nothing at the end": ending(0.0, usual=1.0),
    "a penalty of the data's own": noisy(-100.0),
}


@pytest.mark.parametrize("case", GOALS)
def test_rewards_of_goals_are_kept_whatever_the_environment_is_called(case):
    for env_id in (None, "MountainCarContinuous-v0", "Hopper-v4"):
        rule = terminal_rule(GOALS[case], "auto", env_id)
        assert rule.penalty is None and "the best of their episodes" in rule.reason
    assert terminal_rule(GOALS[case], -100.0, "MountainCarContinuous-v0").loses is not None


@pytest.mark.parametrize("case", ORDINARY)
def test_ordinary_rewards_are_replaced_where_terminals_are_falls_and_kept_elsewhere(case):
    falls = terminal_rule(ORDINARY[case], "auto", "Hopper-v4")
    assert falls.penalty == FALL_PENALTY and falls.reason == "replaced by -100: the terminals of Hopper-v4 are falls"
    for env_id in (None, "d4rl/antmaze-umaze-v2", "my_env:Hopper-v0"):
        assert terminal_rule(ORDINARY[case], "auto", env_id).penalty is None
    assert terminal_rule(ORDINARY[case], -100.0, "Hopper-v4").loses is None


def test_what_is_asked_for_is_obeyed():
    assert terminal_rule(noisy(), -50.0, None).penalty == -50.0
    assert terminal_rule(ending(100.0), -50.0, None).penalty == -50.0
    assert terminal_rule(noisy(), None, "Hopper-v4").penalty is None


def test_without_terminals_there_is_nothing_to_decide():
    episodes = recorded([np.ones(5)] * 3, [False] * 3)
    assert TerminalRewards.of(episodes) == TerminalRewards(0, 0.0, 0, 0, 0.0, 0)
    assert terminal_rule(episodes, "auto", "Hopper-v4").terminals == 0
    assert terminal_rule(episodes, -100.0, None).loses is None


def test_episodes_of_one_step_are_compared_with_nothing():
    episodes = recorded([np.array([float(number)]) for number in range(10)], [True] * 10)
    assert TerminalRewards.of(episodes).compared == 0
    assert terminal_rule(episodes, "auto", None).penalty is None


@pytest.mark.parametrize("env_id", ["Hopper-v4", "Walker2d-v5", "Ant-v2", "Humanoid-v4", "d4rl/bullet-hopper-v0"])
def test_robots_that_fall(env_id):
    assert is_locomotion(env_id)


@pytest.mark.parametrize(
    "env_id", [None, "AntMaze_UMaze-v4", "d4rl/antmaze-umaze-v2", "d4rl/pen-v1", "my_env:Ant-v0", "Reacher-v4"]
)
def test_robots_and_mazes_that_do_not(env_id):
    assert not is_locomotion(env_id)
