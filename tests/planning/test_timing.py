"""The time of a step counts whole cycles from search to search."""

from __future__ import annotations

import pytest

from seqrl_cli.planning import timing


class Clocked:
    """A rollout whose first search takes 9 s, each other 4 s, and a step without a search none."""

    vector = (None,)

    def __init__(self, plan_freq: int) -> None:
        self.plan_freq, self.now, self.steps = plan_freq, 0.0, 0

    def play(self, episodes, on_record, on_step) -> None:
        for step in range(len(episodes)):
            self.now += 0 if step % self.plan_freq else 4 if step else 9
            self.steps += 1
            on_step(1, 0)


@pytest.mark.parametrize("plan_freq", [1, 2, 3, 8])
@pytest.mark.parametrize("patience", [0.5, 10.0, 1000.0])
def test_steps_between_searches_count_as_often_as_they_happen(monkeypatch, plan_freq, patience):
    rollout = Clocked(plan_freq)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: rollout.now)
    assert timing.seconds_per_step(rollout, 5, plan_freq, patience) == pytest.approx(4 / plan_freq)
    assert rollout.steps >= 2 * plan_freq and rollout.steps % plan_freq == 0
