"""Written controllers for tasks of the DeepMind Control Suite, for ``CartPole-v1`` and for Atari's Pong.

Those of the suite use linear feedback, energy pumping and geometry. Each maps an observation in the layout of
:mod:`seqrl_cli.envs.domains.dmc` to an action, which is clipped afterwards. The others choose among discrete actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.envs.domains.dmc import STARTS

Controller = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_GRAVITY = 9.81
_POLE_INERTIA = 1.5  # of a thin pole, over its mass and half its length: 2/3 of its length, in units of 1/gravity


def _read(observation: NDArray[np.float64], kind: str, size: int) -> NDArray[np.float64]:
    start = STARTS[kind]
    return observation[start : start + size]


def balance_pole(observation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear feedback that keeps the pole of ``cartpole`` upright and the cart in the middle."""
    x, cosine, sine = _read(observation, "position", 3)
    x_speed, angle_speed = _read(observation, "velocity", 2)
    angle = np.arctan2(sine, cosine)
    return np.array([0.3 * x + 0.6 * x_speed + 6 * angle + 1.5 * angle_speed])


def swing_up_pole(observation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pump energy into the pole of ``cartpole`` until it is nearly upright (Åström and Furuta 2000); then balance."""
    x, cosine, _ = _read(observation, "position", 3)
    if cosine > 0.8:
        return balance_pole(observation)
    x_speed, angle_speed = _read(observation, "velocity", 2)
    missing = cosine - 1 + angle_speed**2 / (2 * _POLE_INERTIA * _GRAVITY)
    return np.array([missing * np.sign(angle_speed * cosine) - 0.3 * x - 0.15 * x_speed])


def hold_point(observation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pull the mass of ``point_mass-easy`` to the middle: proportional and derivative control."""
    return -32 * _read(observation, "position", 2) - 12 * _read(observation, "velocity", 2)


def reach_target(observation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn each joint of ``reacher`` so that what it moves swings the finger towards the target, with damping.

    The transposed Jacobian also weights the joints by their distance to the finger. So it hardly moves a folded arm,
    whose finger is near its shoulder, and an imitation of it stays there.
    """
    shoulder, wrist = _read(observation, "position", 2)
    (x, y), speed = _read(observation, "to_target", 2), _read(observation, "velocity", 2)
    directions = shoulder + np.array([wrist / 2, wrist])  # from either joint to the finger; both links are equally long
    return 10 * (np.cos(directions) * y - np.sin(directions) * x) - 0.2 * speed


CONTROLLERS: dict[str, Controller] = {
    "dmc/cartpole-balance": balance_pole,
    "dmc/cartpole-balance_sparse": balance_pole,
    "dmc/cartpole-swingup": swing_up_pole,
    "dmc/point_mass-easy": hold_point,
    "dmc/reacher-easy": reach_target,
    "dmc/reacher-hard": reach_target,
}
"""The controllers, by environment."""


def push_under_pole(observation: NDArray[np.float64]) -> int:
    """Push the cart of ``CartPole-v1`` (0 left, 1 right) under its falling pole, and back to the middle."""
    x, x_speed, angle, angle_speed = observation
    return int(angle + 0.5 * angle_speed + 0.02 * x + 0.1 * x_speed > 0)


_FIELD = slice(14, 77)  # Pong's rows between its walls, and columns without its left paddle
_BALL_COLUMNS, _PADDLE_COLUMNS = slice(11, 73), slice(73, 76)
_BACKGROUND = 87
_STAY, _UP, _DOWN = 0, 3, 4  # Pong's names for them are right and left
_NEAR = 3  # rows; the paddle glides on for about as many


def follow_ball(observation: NDArray[Any]) -> int:
    """Keep the right paddle of Pong as high as the ball; ``observation`` is (84, 84) uint8."""
    drawn = np.abs(observation[_FIELD].astype(np.int64) - _BACKGROUND) > 5
    ball, paddle = (np.flatnonzero(drawn[:, columns].any(axis=1)) for columns in (_BALL_COLUMNS, _PADDLE_COLUMNS))
    if not len(ball) or not len(paddle):
        return _STAY
    below = ball.mean() - paddle.mean()
    return _STAY if abs(below) < _NEAR else _DOWN if below > 0 else _UP


@dataclass(frozen=True)
class Chooser:
    """A controller with discrete actions.

    Attributes:
        choose: the action for an observation.
        choices: number of actions.
        random_shares: probabilities of a random action in the equal parts of a dataset.
    """

    choose: Callable[[NDArray[Any]], int]
    choices: int
    random_shares: tuple[float, ...]


CHOOSERS = {
    "CartPole-v1": Chooser(push_under_pole, 2, (0.0, 0.4, 0.8)),
    "atari/Pong": Chooser(follow_ball, 18, (0.05, 0.2, 0.4)),  # without chance, it loses the same rally for ever
}
"""The choosers, by environment."""
