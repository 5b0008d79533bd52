"""Ends of episodes that look wrong: too long for the environment, after one step, or terminals where its limit is."""

from __future__ import annotations

import numpy as np

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.episode_ends import CLUSTER, CLUSTER_SHARE

_LONG_RECORDING = 1000


def doubtful_ends(episodes: Episodes, limit: int | None, environment: str) -> list[str]:
    """What looks wrong about the ends of some episodes, a sentence without a full stop each.

    Args:
        episodes: the data.
        limit: the environment's step limit; None if unknown.
        environment: name of the environment.
    """
    doubts = (
        _too_long(episodes, limit, environment),
        _no_end(episodes, limit),
        single_steps(episodes),
        _terminals_at_the_limit(episodes, limit, environment),
    )
    return [doubt for doubt in doubts if doubt]


def _too_long(episodes: Episodes, limit: int | None, environment: str) -> str | None:
    if limit is None or not (count := int((episodes.lengths > limit).sum())):
        return None
    return (
        f"{count:,} of {len(episodes):,} episodes are longer than the {limit:,} steps of {environment}, "
        f"the longest {int(episodes.lengths.max()):,}; if they are several in one, "
        "a column timeouts must mark where they end"
    )


def _no_end(episodes: Episodes, limit: int | None) -> str | None:
    if limit is not None or len(episodes) > 1 or episodes.transitions <= _LONG_RECORDING or episodes.terminals.any():
        return None
    return f"all {episodes.transitions:,} rows are one episode, because no column marks an end in them"


def single_steps(episodes: Episodes) -> str | None:
    """One-step episodes, as terminals in consecutive rows make them; the last one may be cut off."""
    single = episodes.lengths[:-1] == 1
    if not single.any():
        return None
    terminals = episodes.terminals[episodes.offsets[1:-1] - 1]
    cause = (
        ", most of them because terminals follow one another" if (single & terminals).mean() > single.mean() / 2 else ""
    )
    return f"{int(single.sum()):,} of {len(episodes):,} episodes have one step{cause}"


def _terminals_at_the_limit(episodes: Episodes, limit: int | None, environment: str) -> str | None:
    """Terminals that are step limits by all appearances, as after renaming ``dones``."""
    lengths = episodes.lengths[episodes.terminals[episodes.offsets[1:] - 1]]
    if len(lengths) < CLUSTER or lengths.max() == 1:
        return None
    longest = int(lengths.max())
    count = int(np.count_nonzero(lengths == longest))
    is_limit = longest == limit or (count == len(lengths) == len(episodes))
    if not is_limit or count < max(CLUSTER, CLUSTER_SHARE * len(lengths)):
        return None
    where = f", the limit of {environment}" if longest == limit else ""
    return (
        f"{count:,} terminals come after exactly {longest:,} steps{where}; if they are step limits, say data.dones=ends"
    )
