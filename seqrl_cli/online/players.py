"""Who plays episodes: this process, or several that share them.

An episode follows from the agent, its seed and its number, bit for bit. So who plays it makes no difference.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.envs.trust import accept
from seqrl_cli.envs.vector.backend import EnvSpec
from seqrl_cli.envs.vector.choice import open_backend
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.launch.ordered_map import DeadWorkerError, OrderedMap
from seqrl_cli.models.device import use_threads
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.rollout import Agent, Rollout

MakeAgent = Callable[[], Agent]


class EpisodePlayer(Protocol):
    """Plays episodes."""

    def play(
        self, make_agent: MakeAgent, seed: int, episodes: Sequence[int], on_step: Callable[[], None]
    ) -> list[EpisodeRecord]:
        """The episodes in any order.

        Args:
            make_agent: makes the agent that acts in them.
            seed: seed of the environments and of the agent's samples.
            episodes: numbers of the episodes.
            on_step: called now and then, at least once per second or step; may raise.

        Raises:
            EnvironmentFailedError: an environment broke, or a process that played it died twice.
        """


@dataclass(frozen=True)
class VectorPlayer:
    """Plays in this process, as many episodes at once as there are environments."""

    vector: SeededVectorEnv

    def play(
        self, make_agent: MakeAgent, seed: int, episodes: Sequence[int], on_step: Callable[[], None]
    ) -> list[EpisodeRecord]:
        """See :class:`EpisodePlayer`."""
        records: list[EpisodeRecord] = []
        rollout = Rollout(make_agent(), self.vector, seed=seed)
        rollout.play(episodes, records.append, lambda running, finished: on_step())
        return records


@dataclass(frozen=True)
class SharedPlayer:
    """Has other processes play shares of the episodes, each in environments of its own.

    Attributes:
        processes: maps over them.
        count: number of processes.
        spec: the environments of each.
        timeout: seconds to wait for an environment's answer.
        on_warning: receives what the processes warn of.
    """

    processes: OrderedMap
    count: int
    spec: EnvSpec
    timeout: float
    on_warning: Callable[[str], None]

    def play(
        self, make_agent: MakeAgent, seed: int, episodes: Sequence[int], on_step: Callable[[], None]
    ) -> list[EpisodeRecord]:
        """See :class:`EpisodePlayer`."""
        on_step()  # before they begin what nobody waits for
        count = min(self.count, len(episodes))
        shares = [list(episodes[index::count]) for index in range(count)]
        part = _Part(self.spec, self.timeout, seed, _packed(make_agent))
        records: list[EpisodeRecord] = []
        try:
            for share in self.processes(part, shares, on_wait=on_step):
                records += share.records
                for warning in share.warnings:
                    self.on_warning(warning)
        except DeadWorkerError as error:
            raise EnvironmentFailedError(error.message, error.hint) from error
        return records


@dataclass(frozen=True)
class _Share:
    """What a process has played."""

    records: list[EpisodeRecord]
    warnings: list[str]


@dataclass(frozen=True)
class _Part:
    """What each of the processes does with the numbers of its episodes."""

    spec: EnvSpec
    timeout: float
    seed: int
    make_agent: bytes

    def __call__(self, episodes: Sequence[int]) -> _Share:
        """Play them, with one thread."""
        use_threads(1)
        make_agent: MakeAgent = torch.load(io.BytesIO(self.make_agent), "cpu", weights_only=False)  # from ``_packed``
        player = VectorPlayer(_vector(self.spec, self.timeout))
        records = player.play(make_agent, self.seed, episodes, lambda: None)
        warnings = _warnings.copy()
        _warnings.clear()
        return _Share(records, warnings)


def _packed(make_agent: MakeAgent) -> bytes:
    """What makes the agent, to be unpacked on a CPU; in a pipe, PyTorch would move tensors to memory that is shared."""
    buffer = io.BytesIO()
    torch.save(make_agent, buffer)
    return buffer.getvalue()


_vectors: dict[tuple[EnvSpec, float], SeededVectorEnv] = {}
_warnings: list[str] = []


def _vector(spec: EnvSpec, timeout: float) -> SeededVectorEnv:
    """The environments of this process, made once; they end with it."""
    if (spec, timeout) not in _vectors:
        accept(spec.env_id)  # the process that shares its episodes has checked it
        _vectors[spec, timeout] = SeededVectorEnv(
            spec.env_id,
            spec.num_envs,
            max_episode_steps=spec.max_episode_steps,
            observation_size=spec.observation_size,
            backend=partial(open_backend, on_warning=_warnings.append, timeout=timeout),
        )
    return _vectors[spec, timeout]
