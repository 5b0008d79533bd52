"""Whatever an environment does wrong is reported as its failure: its code is not ours, and may raise anything."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import DependencyNotInstalled

from seqrl_cli.errors import SeqrlError

Environment = gymnasium.Env[Any, Any]


class EnvironmentFailedError(SeqrlError):
    """An environment broke while it was made, reset, stepped or drawn."""


class BrokenContractError(Exception):
    """An environment gave something that gymnasium's environments do not give."""


class naming_failures:  # noqa: N801 (used as a function; a generator would take three times as long, in every step)
    """A context that reports whatever an environment raises as its failure.

    Args:
        env_id: the environment.
        when: ``in a step``, ``when it was reset`` …

    Raises:
        EnvironmentFailedError: it raised something, or tried to end the program.
    """

    __slots__ = ("_env_id", "_when")

    def __init__(self, env_id: str, when: str) -> None:
        self._env_id = env_id
        self._when = when

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Replace an environment's error; others pass."""
        if error is None or isinstance(error, SeqrlError) or not isinstance(error, Exception | SystemExit):
            return
        text = str(error) if isinstance(error, BrokenContractError) else f"{type(error).__name__}: {error}"
        first_line = text.splitlines()[0]
        hint = "SEQRL_DEBUG=1 shows where the environment failed"
        raise EnvironmentFailedError(f"environment {self._env_id} failed {self._when}: {first_line}", hint) from error


class GuardedEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that keeps gymnasium's contract, or fails by name.

    Rewards become floats, also those that come as an array of one number. Observations have the shape of their space.

    Args:
        env: the environment, whose spaces are gymnasium's.
        env_id: name of the environment in errors.
    """

    def __init__(self, env: Environment, env_id: str) -> None:
        super().__init__(env)
        self._env_id = env_id
        self._shape = env.observation_space.shape

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """As :meth:`gymnasium.Env.reset`.

        Raises:
            EnvironmentFailedError: the environment failed.
        """
        with naming_failures(self._env_id, "when it was reset"):
            returned = self.env.reset(**options)
            if not isinstance(returned, tuple) or len(returned) != 2:  # as in gym, before gymnasium
                raise BrokenContractError("it did not return an observation and a dictionary")
            self._check_shape(returned[0])
        return returned

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As :meth:`gymnasium.Env.step`.

        Raises:
            EnvironmentFailedError: the environment failed.
        """
        with naming_failures(self._env_id, "in a step"):
            observation, reward, terminated, truncated, info = self.env.step(action)
            self._check_shape(observation)
            return observation, _number(reward), bool(terminated), bool(truncated), info

    def render(self) -> Any:
        """As :meth:`gymnasium.Env.render`.

        Raises:
            SeqrlError: drawing needs a package that is not installed, or the environment failed.
        """
        with naming_failures(self._env_id, "when it was drawn"):
            try:
                return self.env.render()
            except DependencyNotInstalled as error:
                missing, _, advice = str(error).partition(", ")
                raise SeqrlError(f"environment {self._env_id!r} cannot be drawn: {missing}", advice) from error

    def close(self) -> None:
        """Free the environment; its results are complete, so that a failure no longer matters."""
        with suppress(Exception):
            self.env.close()

    def _check_shape(self, observation: Any) -> None:
        shape = observation.shape if type(observation) is np.ndarray else np.shape(observation)  # the latter is slow
        if self._shape is not None and shape != self._shape:
            raise BrokenContractError(f"its observation has shape {shape}, not {self._shape}")


def check_spaces(env: Environment) -> None:
    """Raise BrokenContractError unless the spaces of an environment are gymnasium's."""
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, gymnasium.Space):
            raise BrokenContractError(f"its {name} is {space!r:.80}, not a space of gymnasium's")


def _number(reward: Any) -> float:
    if type(reward) is float:
        return reward
    if np.size(reward) != 1:
        raise BrokenContractError(f"its reward has shape {np.shape(reward)}, not one number")
    return float(np.asarray(reward).item())
