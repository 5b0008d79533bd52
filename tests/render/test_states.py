"""States from observations, against the simulator's own."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.render.states import check_states, imagined_positions, load_body
from tests.render.recorded import FAMILIES, play


@pytest.mark.parametrize("env_id", [*FAMILIES, "Swimmer-v4"])
def test_a_perfect_plan_passes_through_the_true_positions(env_id):
    body, episode = load_body(env_id), play(env_id, 30)
    true = episode["qpos"][10:25]
    imagined = imagined_positions(body, episode["observations"][10:25], true[0])
    np.testing.assert_allclose(imagined[:, body.hidden :], true[:, body.hidden :], atol=1e-12)
    np.testing.assert_array_equal(imagined[0], true[0])
    way = np.abs(np.diff(true[:, : body.hidden], axis=0)).sum()
    assert np.abs(imagined[:, : body.hidden] - true[:, : body.hidden]).max() < 0.1 * way


@pytest.mark.parametrize(
    ("env_id", "dt", "hidden"), [("Hopper-v4", 0.008, 1), ("Ant-v4", 0.05, 2), ("Swimmer-v4", 0.04, 2)]
)
def test_bodies_know_their_step_and_what_observations_hide(env_id, dt, hidden):
    body = load_body(env_id)
    assert (body.dt, body.hidden, body.readable) == (pytest.approx(dt), hidden, True)


@pytest.mark.parametrize(("env_id", "hidden"), [("InvertedPendulum-v4", 0), ("Reacher-v4", None)])
def test_what_observations_hide_is_looked_up_not_guessed(env_id, hidden):
    body = load_body(env_id)
    assert (body.hidden if body.readable else None) == hidden


def test_contact_forces_after_the_state_are_not_looked_at():
    body, episode = load_body("Ant-v4"), play("Ant-v4", 5)
    observations = np.hstack([episode["observations"], np.full((6, 84), np.nan)])
    expected = imagined_positions(body, episode["observations"], episode["qpos"][0])
    np.testing.assert_array_equal(imagined_positions(body, observations, episode["qpos"][0]), expected)


def test_a_plan_ends_before_its_first_unknown_row():
    body, episode = load_body("Hopper-v4"), play("Hopper-v4", 5)
    observations = episode["observations"].copy()
    observations[3, 7] = np.nan
    assert len(imagined_positions(body, observations, episode["qpos"][0])) == 3
    assert len(imagined_positions(body, observations[3:], episode["qpos"][3])) == 0


def test_environments_that_cannot_be_drawn_are_named():
    with pytest.raises(SeqrlError, match="CartPole-v1"):
        load_body("CartPole-v1")


def test_states_of_another_body_are_refused():
    body = load_body("Hopper-v4")
    with pytest.raises(SeqrlError, match="9 positions"):
        check_states(body, np.zeros((3, 9)), None, "it")
    with pytest.raises(SeqrlError, match="plans of 4 numbers"):
        check_states(body, np.zeros((3, 6)), np.zeros((2, 5, 4)), "it")
