"""Actions that do not fit the bounds of their environment."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.envs.fit import describe_misfit

BOX = (-np.ones(3), np.ones(3))


def test_the_share_and_the_distance_of_actions_outside_are_told():
    actions = np.linspace(-1.8, 1.8, 3000).reshape(1000, 3)
    found = describe_misfit(actions, BOX, "Hopper-v4")
    assert found.startswith(
        "44 % of the action values lie outside Hopper-v4's bounds, by up to 0.8; `seqrl plan` clips"
    )
    assert "cannot reproduce them" in describe_misfit(actions, BOX, "Hopper-v4", within_bounds=True)


def test_few_actions_outside_are_counted():
    actions = np.zeros((1000, 3))
    actions[7] = (2, 1, 1)
    assert "1 of 3,000 action values lie outside" in describe_misfit(actions, BOX, "Hopper-v4")


@pytest.mark.parametrize("size", [0.0, 1e-4])
def test_actions_in_another_scale_are_told(size):
    found = describe_misfit(np.full((5, 3), size), BOX, "Hopper-v4")
    assert "no action is larger than" in found and "other units" in found


@pytest.mark.parametrize("size", [0.5, 1.0, np.float32(1) + np.finfo(np.float32).eps])
def test_actions_inside_or_at_the_bounds_are_no_misfit(size):
    assert describe_misfit(np.full((5, 3), size), BOX, "Hopper-v4") is None


def test_a_dimension_that_cannot_act_does_not_silence_the_others():
    box = (np.array([-1.0, 0.0, -1.0]), np.array([1.0, 0.0, 1.0]))
    found = describe_misfit(np.array([[1e-4, 0.0, 1e-4]]), box, "Hopper-v4")
    assert "other units" in found


def test_nothing_is_said_where_there_is_nothing_to_compare():
    assert describe_misfit(np.zeros((0, 3)), BOX, "Hopper-v4") is None
    assert describe_misfit(np.zeros((5, 1)), (np.zeros(1), np.zeros(1)), "Hopper-v4") is None
