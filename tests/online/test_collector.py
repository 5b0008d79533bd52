from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.behaviour.workers import worker_map
from seqrl_cli.envs.vector.backend import EnvSpec
from seqrl_cli.online.collector import EpisodeCollector
from seqrl_cli.online.players import SharedPlayer
from tests.online.fixtures import STEPS, hopper, small_learner


@pytest.fixture(scope="module")
def learner():
    return small_learner()


def play(player, iteration):
    return player(iteration, lambda: None)


def alike(one, two) -> bool:
    return np.array_equal(one.actions, two.actions) and np.array_equal(one.rewards, two.rewards)


def test_exploration_is_new_in_every_iteration_and_the_same_again(learner):
    player = hopper(learner, 3, seed=5, explores=True)
    first, second = play(player, 1), play(player, 2)
    assert len(first) == len(second) == 3 and all(len(one) <= STEPS for one in first)
    assert not any(alike(one, two) for one in first for two in second)
    assert all(alike(*pair) for pair in zip(first, play(player, 1), strict=True))
    again = hopper(learner, 3, seed=5, explores=True)
    assert all(alike(*pair) for pair in zip(second, play(again, 2), strict=True))


def test_evaluations_start_alike(learner):
    player = hopper(learner, 2, seed=6, explores=False)
    assert all(alike(*pair) for pair in zip(play(player, 0), play(player, 10), strict=True))


def test_it_can_be_stopped_amid_an_episode(learner):
    steps = iter(range(4))

    def stop_at_the_end() -> None:
        next(steps)

    with pytest.raises(StopIteration):
        hopper(learner, 2, seed=5, explores=True)(1, stop_at_the_end)


def test_an_episode_with_numbers_that_are_not_finite_is_left_out(learner, monkeypatch):
    player, said = hopper(learner, 2, seed=5, explores=True), []
    player.on_warning = said.append
    vector = player.player.vector
    step = vector.step

    def blow_up(actions, active=None):
        result = step(actions, active)
        result.rewards[0] = np.nan
        return result

    monkeypatch.setattr(vector, "step", blow_up)
    assert len(play(player, 1)) == 1
    assert said == ["exploration episode 2 is left out: it has rewards of step 0 that are not finite"]


@pytest.mark.slow
@pytest.mark.parametrize("explores", [False, True])
def test_processes_that_share_the_episodes_play_the_same(learner, explores):
    alone = hopper(learner, 5, seed=5, explores=explores)
    spec = EnvSpec("Hopper-v4", 2, max_episode_steps=STEPS)
    with worker_map(3) as processes:
        player = SharedPlayer(processes, 3, spec, timeout=60, on_warning=pytest.fail)
        shared = EpisodeCollector(alone.make_agent, player, 5, 5, fresh=explores)
        for iteration in (1, 2):
            pairs = zip(play(alone, iteration), play(shared, iteration), strict=True)
            assert all(alike(*pair) for pair in pairs)
