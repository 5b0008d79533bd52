"""``record(env, path)``: write what is played in any gymnasium environment as a dataset."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.spaces.utils import flatten
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.envs.guard import Environment
from seqrl_cli.envs.make import FLATTENED, spaces_of
from seqrl_cli.envs.success import stated_success
from seqrl_cli.errors import SeqrlError
from seqrl_cli.scripting.dataset import check_file
from seqrl_cli.scripting.keys import PathLike


def record(env: Environment, path: PathLike, *, env_id: str | None = None, force: bool = False) -> Recorder:
    """Wrap an environment so that its episodes are written to a file that ``seqrl train`` takes.

    ::

        with record(gymnasium.make("Pendulum-v1"), "pendulum.h5") as env:
            ...  # play as usual

    Args:
        env: any environment of gymnasium's, not a vector of several.
        path: file to write, ``.h5`` or ``.hdf5``.
        env_id: gymnasium id of the environment; None = as it states itself.
        force: replace the file if it exists.

    Raises:
        UsageError: the file's name ends in something else.
        SeqrlError: the file exists, or observations or actions are of a kind that no dataset has.
    """
    return Recorder(env, path, env_id=env_id, force=force)


@dataclass
class _Playing:
    """The steps of an episode so far; the observations are those before each step."""

    observations: list[NDArray[Any]] = field(default_factory=list)
    actions: list[NDArray[Any]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    successes: list[bool | None] = field(default_factory=list)
    terminated: bool = False

    def episodes(self) -> Episodes:
        """The recording as one episode; it ended in a terminal, or else by a time limit or because nobody went on."""
        last = np.arange(len(self.rewards)) == len(self.rewards) - 1
        ends = last & self.terminated
        episode = Episodes.from_flags(
            np.stack(self.observations), np.stack(self.actions), np.array(self.rewards), ends, last & ~ends
        )
        known = [success for success in self.successes if success is not None]
        return replace(episode, successes=np.array(known) if len(known) == len(last) else None)


class Recorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that records its episodes; :func:`record` makes it.

    The file is written when the ``with`` block ends, or on ``close()``. A block that ends by itself also keeps the
    episode that is being played, as one that was cut short, and so does ``reset()`` in the middle of an episode. A
    block that an exception ends, such as Ctrl-C, keeps whole episodes only.
    """

    def __init__(self, env: Environment, path: PathLike, *, env_id: str | None = None, force: bool = False) -> None:
        if not isinstance(env, gymnasium.Env):
            kind = type(env).__name__
            raise SeqrlError(f"{kind} is not an environment of gymnasium's", "record one environment, not a vector")
        super().__init__(env)
        self.path: Path = check_file(path)
        if self.path.exists() and not force:
            raise SeqrlError(f"{self.path} exists", "choose another file, or replace it with force=True")
        self._flattens = isinstance(env.observation_space, FLATTENED)
        self._facts = _facts(env, env_id)
        self._check_spaces()
        self._finished: list[Episodes] = []
        self._playing = _Playing()
        self._observation: NDArray[Any] | None = None
        self._written = -1

    def __enter__(self) -> Recorder:
        """The environment to play in."""
        return self

    def __exit__(self, *error: Any) -> Literal[False]:
        """Write the file and close the environment; an exception passes on."""
        if error[0] is not None:
            self._playing = _Playing()
        self.close()
        return False

    @property
    def transitions(self) -> int:
        """Steps recorded so far."""
        return sum(part.transitions for part in self._finished) + len(self._playing.rewards)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset as :meth:`gymnasium.Env.reset` does; an unfinished episode is kept as one that was cut short."""
        self._finish()
        observation, info = self.env.reset(seed=seed, options=options)
        self._observation = self._flat(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make a step as :meth:`gymnasium.Env.step` does, and record it."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        assert self._observation is not None, "gymnasium demands a reset before the first step"
        playing = self._playing
        playing.observations.append(self._observation)
        playing.actions.append(np.array(action).reshape(self.action_space.shape or ()))
        playing.rewards.append(float(reward))
        playing.successes.append(stated_success(info))
        self._observation = self._flat(observation)
        if terminated or truncated:
            playing.terminated = bool(terminated)
            self._finish()
        return observation, float(reward), bool(terminated), bool(truncated), info

    def write(self) -> None:
        """Write the episodes that are finished; the file is complete at any time."""
        if self._finished and self._written != len(self._finished):
            write_d4rl(self.path, Episodes.concatenate(self._finished), self._facts)
            self._written = len(self._finished)

    def close(self) -> None:
        """Write the file and close the environment."""
        self._finish()
        try:
            self.write()
        finally:
            self.env.close()

    def _finish(self) -> None:
        """Move the episode that is being played, if it has a step, to the finished ones."""
        if self._playing.rewards:
            self._finished.append(self._playing.episodes())
        self._playing = _Playing()

    def _flat(self, observation: Any) -> NDArray[Any]:
        """An observation as datasets keep it, as a copy: environments may reuse their arrays."""
        if self._flattens:
            observation = flatten(self.env.observation_space, observation)
        return np.array(observation)

    def _check_spaces(self) -> None:
        """Raise UnsupportedSpacesError unless models can read the observations and predict the actions."""
        env: Any = self.env
        if self._flattens:
            env = gymnasium.wrappers.FlattenObservation(env)
        name = self._facts["env_id"] or f"environment {type(env.unwrapped).__name__!r}"
        spaces_of(env).require_readable(name, images=True)


def _facts(env: Environment, env_id: str | None) -> dict[str, Any]:
    spec = env.spec
    return {
        "source": "collected",
        "env_id": env_id or (spec.id if spec else None),
        "gymnasium_version": gymnasium.__version__,
    }
