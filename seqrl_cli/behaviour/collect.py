"""Collect a dataset: whole episodes, on all cores, with a result independent of their number."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from seqrl_cli.behaviour.policies import Policy, PolicyFactory
from seqrl_cli.behaviour.workers import Watch, still_alive, worker_map
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.envs.make import Environment, environment_name, make_env
from seqrl_cli.envs.probe import has_run_here, recordable_spaces
from seqrl_cli.envs.success import stated_success
from seqrl_cli.envs.trust import accept
from seqrl_cli.envs.vector.choice import is_proven
from seqrl_cli.envs.vector.subprocess import ANSWER_SECONDS
from seqrl_cli.errors import SeqrlError
from seqrl_cli.launch.cores import available_cores
from seqrl_cli.launch.ordered_map import OrderedMap

_CHUNK_STEPS = 1000


@dataclass(frozen=True)
class Part:
    """A policy and its share of a dataset's transitions, between 0 and 1."""

    make_policy: PolicyFactory
    share: float


@dataclass(frozen=True)
class _Chunk:
    """One task: episodes of one policy until they have ``_CHUNK_STEPS`` steps, seeded by ``key``."""

    env_id: str
    make_policy: PolicyFactory
    key: tuple[int, ...]


def collect(
    env_id: str,
    parts: Sequence[Part],
    transitions: int,
    seed: int,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    timeout: float = ANSWER_SECONDS,
) -> Episodes:
    """Play policies one after the other until there are exactly ``transitions`` rows.

    Each episode draws its start and its noise from its own random stream, so the data depends on ``seed`` but not on
    ``workers``. Episodes are whole; only the last one is cut at the final row, as a timeout.

    Args:
        env_id: gymnasium id.
        parts: policies and their shares, which sum to one.
        transitions: rows of the dataset.
        seed: equal seeds give equal bytes on the same machine.
        workers: processes; by default one per core that this process may use. One worker plays in this process if the
            environment is known not to end it.
        progress: called with (rows so far, total rows).
        on_warning: called when a worker died and is started again.
        timeout: seconds to wait for an environment's answer; without effect in this process.

    Raises:
        SeqrlError: ``transitions`` is below 1, the environment is unsuitable, hangs, or killed two workers.
    """
    if transitions < 1:
        raise SeqrlError(f"a dataset needs at least one transition, not {transitions}", "ask for 100000, for example")
    assert abs(sum(part.share for part in parts) - 1) < 1e-9
    recordable_spaces(env_id)
    ends = np.round(np.cumsum([part.share for part in parts]) * transitions).astype(int)
    collected: list[Episodes] = []
    rows = 0
    workers = workers or available_cores()
    plays_here = workers == 1 and (is_proven(env_id) or has_run_here(env_id))
    watch = None if plays_here else Watch(f"a process that played {env_id}", timeout, on_warning)
    with closed_worker_envs(), worker_map(workers, watch) as ordered_map:
        for index, (part, end) in enumerate(zip(parts, ends, strict=True)):
            with closing(_chunks(ordered_map, env_id, part, (seed, index))) as chunks:
                while rows < end:
                    collected.append(_until(next(chunks), end - rows))
                    rows += collected[-1].transitions
                    if progress is not None:
                        progress(min(rows, transitions), transitions)
    return _cut(Episodes.concatenate(collected), transitions)


def play_episode(env: Environment, policy: Policy, rng: np.random.Generator) -> Episodes:
    """Play one episode from a start drawn from ``rng`` until it terminates or reaches its step limit.

    Raises:
        SeqrlError: the environment failed, or gave NaN or infinities.
    """
    observation, _ = env.reset(seed=int(rng.integers(2**31)))
    rows: list[tuple[np.ndarray, np.ndarray, float]] = []
    successes: list[bool] = []
    terminated = truncated = False
    while not (terminated or truncated):
        still_alive()
        action = policy.act(observation, rng)
        # A choice as a number and no array: environments look it up in dictionaries.
        following, reward, terminated, truncated, info = env.step(np.asarray(action)[()])
        rows.append((observation, action, float(reward)))
        if (solved := stated_success(info)) is not None:
            successes.append(solved)
        observation = following
    observations, actions, rewards = zip(*rows, strict=True)
    if not (np.isfinite(observations).all() and np.isfinite(rewards).all()):
        message = f"{environment_name(env)} gave observations or rewards that are not finite: it diverged"
        raise SeqrlError(message, "another --seed plays other episodes")
    last = np.arange(len(rows)) == len(rows) - 1
    episode = Episodes.from_flags(observations, actions, rewards, last & terminated, last & (not terminated))
    return replace(episode, successes=np.array(successes)) if len(successes) == len(rows) else episode


_worker_envs: dict[str, Environment] = {}


def worker_env(env_id: str) -> Environment:
    """The environment of this process, created once; ``closed_worker_envs`` closes it."""
    if env_id not in _worker_envs:
        accept(env_id)  # ``collect`` has checked it, perhaps in another process
        _worker_envs[env_id] = make_env(env_id)
    return _worker_envs[env_id]


@contextmanager
def closed_worker_envs() -> Iterator[None]:
    """Close the environments of this process when the block ends; those of worker processes end with them."""
    try:
        yield
    finally:
        while _worker_envs:
            _worker_envs.popitem()[1].close()


def _chunks(ordered_map: OrderedMap, env_id: str, part: Part, key: tuple[int, ...]) -> Generator[Episodes, None, None]:
    """An endless stream of episodes of one part, in a fixed order."""
    tasks = (_Chunk(env_id, part.make_policy, (*key, number)) for number in itertools.count())
    yield from ordered_map(_play_chunk, tasks)


def _play_chunk(chunk: _Chunk) -> Episodes:
    env = worker_env(chunk.env_id)
    episodes: list[Episodes] = []
    while sum(episode.transitions for episode in episodes) < _CHUNK_STEPS:
        rng = np.random.default_rng([*chunk.key, len(episodes)])
        still_alive()
        episodes.append(play_episode(env, chunk.make_policy(), rng))
    return Episodes.concatenate(episodes)


def _until(episodes: Episodes, rows: int) -> Episodes:
    """The first whole episodes that together reach ``rows``, or all of them."""
    count = min(int(np.searchsorted(episodes.offsets[1:], rows)) + 1, len(episodes))
    return episodes.select(np.arange(count))


def _cut(episodes: Episodes, rows: int) -> Episodes:
    """The first ``rows`` rows; an episode that is cut ends in a timeout."""
    cut = Episodes.from_flags(
        episodes.observations[:rows],
        episodes.actions[:rows],
        episodes.rewards[:rows],
        episodes.terminals[:rows],
        episodes.timeouts[:rows],
    )
    return cut if episodes.successes is None else replace(cut, successes=episodes.successes[:rows])
