"""Environments in a process of their own: when it dies, the program starts another one and continues.

Environments compute in native code. When that crashes, or memory runs out, the whole process ends without a
message. Little is lost: an episode follows from its seed and its actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.envs.trust import require_accepted
from seqrl_cli.envs.vector.backend import Columns, EnvSpec
from seqrl_cli.envs.vector.child import Child
from seqrl_cli.envs.vector.process import NoAnswerError, ProcessDiedError

Answer = TypeVar("Answer")

ANSWER_SECONDS = 300.0  # to make, reset or step all environments
_SHOWN = ("observation", "qpos", "qvel")


class EnvironmentDiedError(EnvironmentFailedError):
    """The process of an environment died, or gave no answer in time."""


@dataclass
class _Episode:
    """An episode in progress: everything that it follows from."""

    seed: int
    actions: list[np.ndarray] = field(default_factory=list)


class SubprocessBackend:
    """Environments in a process of their own, which is started again when it dies.

    An environment is deterministic given a seed and actions. So a new process replays the episodes in progress, with
    the results of a process that never died. A process that gives no answer is ended after ``timeout``, and not started
    again, because it would most likely hang again.

    Args:
        spec: the environments to make.
        on_warning: called when a process dies.
        timeout: seconds to wait for an answer; without effect on Windows.
        wait_hint: advice on what the user can do where an answer takes longer.

    Raises:
        EnvironmentFailedError: one broke when it was made; :class:`EnvironmentDiedError` if its process died or hung.
        SeqrlError: there is no such environment, or its observations or actions are neither boxes nor discrete.
    """

    def __init__(
        self,
        spec: EnvSpec,
        on_warning: Callable[[str], None] | None = None,
        timeout: float = ANSWER_SECONDS,
        wait_hint: str = "--env-timeout waits longer",
    ) -> None:
        require_accepted(spec.env_id)
        self._spec = spec
        self._on_warning = on_warning
        self._timeout = timeout
        self._wait_hint = wait_hint
        self._child: Child | None = None
        self._under_way: dict[int, _Episode] = {}
        self.layout = self._insist(lambda: "when it was made", lambda child: child.layout)
        self.rows = np.zeros(spec.num_envs, self.layout.row)
        self._columns = Columns.of(self.rows)

    def start(self, index: int, seed: int) -> None:
        """Reset one environment.

        Raises:
            EnvironmentFailedError: it broke, or killed its process twice.
        """
        self._under_way.pop(index, None)
        rows = self._insist(lambda: "when it was reset", lambda child: child.start(index, seed))
        self._under_way[index] = _Episode(seed)
        self._columns.forget_step()
        self.rows[index] = rows[index]

    def step(self, actions: np.ndarray, chosen: np.ndarray) -> None:
        """Step the chosen environments.

        Raises:
            EnvironmentFailedError: one broke, or killed their process twice.
        """
        indices = np.flatnonzero(chosen).tolist()
        if not indices:  # no process is needed
            self._columns.forget_step()
            return
        rows = self._insist(lambda: self._in_step(indices), lambda child: child.step(actions, chosen))
        self._columns.forget_step()
        self.rows[chosen] = rows[chosen]
        for index in indices:
            self._under_way[index].actions.append(actions[index].copy())
            if rows["terminated"][index] or rows["truncated"][index]:
                del self._under_way[index]

    def close(self) -> None:
        """Free the environments and end their process."""
        if self._child:
            self._child.close()
            self._child = None

    def _insist(self, when: Callable[[], str], ask: Callable[[Child], Answer]) -> Answer:
        """Ask the process, or a new one in its place; a request that kills two in a row would kill any.

        Raises:
            EnvironmentFailedError: it broke.
            EnvironmentDiedError: it gave no answer in time, or killed two processes.
        """
        for is_last in (False, True):
            try:
                if self._child is None:
                    self._child = self._caught_up()
                return ask(self._child)
            except ProcessDiedError as death:
                self._child = None
                what = f"the process of environment {self._spec.env_id} {death.how} {when()}"
                if is_last:
                    raise EnvironmentDiedError(f"{what}, and so did the next one", death.hint) from None
                if self._on_warning:
                    self._on_warning(f"{what}: it is started again")
            except NoAnswerError:
                self._child = None
                message = f"environment {self._spec.env_id} gave no answer for {self._timeout:g} seconds {when()}"
                raise EnvironmentDiedError(f"{message}, and was ended", self._wait_hint) from None
        raise AssertionError("the loop returns or raises")

    def _in_step(self, indices: list[int]) -> str:
        """The step in which these environments are; which of them crashed is unknown."""
        numbers = {len(self._under_way[index].actions) + 1 for index in indices}
        first, last = min(numbers), max(numbers)
        return f"in step {first:,}" if first == last else f"in steps {first:,} to {last:,} of its episodes"

    def _caught_up(self) -> Child:
        """A new process in place of the old one.

        Raises:
            EnvironmentFailedError: an episode in progress cannot be repeated, or an environment broke.
            ProcessDiedError: the process did not survive it.
            NoAnswerError: it took too long.
        """
        child = Child(self._spec, self._timeout)
        try:
            self._catch_up(child)
        except BaseException:  # half a start is of no use
            child.close()
            raise
        return child

    def _catch_up(self, child: Child) -> None:
        """Replay the episodes in progress.

        Raises:
            EnvironmentFailedError: one cannot be repeated.
        """
        for index, episode in self._under_way.items():
            rows = child.start(index, episode.seed)
            actions = np.zeros((len(rows), *self.layout.spaces.action.shape))
            chosen = np.arange(len(rows)) == index
            for action in episode.actions:
                actions = actions.astype(action.dtype, copy=False)
                actions[index] = action
                rows = child.step(actions, chosen)
            if any(rows[name][index].tobytes() != self.rows[name][index].tobytes() for name in _SHOWN):
                raise EnvironmentFailedError(
                    f"the process of environment {self._spec.env_id} died, and its episode cannot continue: replayed "
                    f"with the same seed and actions, step {len(episode.actions):,} shows something else",
                    "episodes must depend on the seed of reset and the actions alone",
                )
