"""Where episodes end, and which of the ends are terminals.

A row is the last of its episode, in order of precedence:

1. where a column marks it: terminals, timeouts, ``dones`` (or zeros of ``masks``), last rows, or the row before a first
   one, or before another episode's number, or before a step counter that starts again;
2. where ``next_observations`` differs from the following observation: a reset without a flag (in medium-replay sets,
   whose timeouts mark the collector's iterations and not always the step limit);
3. after the step limit, if no column tells of ends other than terminals: the environment's, else 1000 steps.

Ends are terminals where a column of that meaning says so; all others are timeouts, which carry no penalty.

``dones`` has two meanings: the environment's own ends, or these and time limits. Beside ``terminals`` it marks ends;
beside timeouts, whatever is not a timeout is a terminal. Alone, the lengths of all episodes decide
(:func:`settle_dones`): ends at the step limit are timeouts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.errors import SeqrlError

Flags = NDArray[np.bool_]
DonesMeaning = Literal["terminals", "ends"]

# How many ends at exactly the greatest length are more than a coincidence.
CLUSTER, CLUSTER_SHARE = 3, 0.1
_DONES_HINT = "say which: data.dones=terminals (the environment ended them) or data.dones=ends (time limits count, too)"


@dataclass(frozen=True)
class EndMarks:
    """What a file's columns say about ends, each ``(rows,)``; None where it has no such column.

    Attributes:
        terminals: the environment ended the episode.
        timeouts: a step limit did.
        dones: the environment did, and perhaps a step limit, too.
        ends: the last row of an episode, whatever ended it.
    """

    terminals: Flags | None
    timeouts: Flags | None
    dones: Flags | None
    ends: Flags | None


@dataclass(frozen=True)
class FoundEnds:
    """Where a recording's episodes end, ``(rows,)`` each.

    Attributes:
        terminals: ends by the environment; all ``dones`` as long as their meaning is open.
        timeouts: other ends; may overlap with terminals.
        complete: whether all ends are known, so that no step limit needs to cut.
        open_dones: whether it is open which of the terminals are time limits.
    """

    terminals: Flags
    timeouts: Flags
    complete: bool
    open_dones: bool = False


def combine(marks: EndMarks, rows: int) -> FoundEnds:
    """Where episodes end by the columns of a file, by the rules at the top of this module."""
    never = np.zeros(rows, dtype=bool)
    timeouts = never if marks.timeouts is None else marks.timeouts
    ends = never if marks.ends is None else marks.ends
    complete = bool(timeouts.any()) or marks.ends is not None
    if marks.terminals is not None:
        dones = never if marks.dones is None else marks.dones & ~marks.terminals
        return FoundEnds(marks.terminals, timeouts | ends | dones, complete or bool(dones.any()))
    if marks.dones is None:
        return FoundEnds(never, timeouts | ends, complete)
    if timeouts.any():
        every_end = not (timeouts & ~marks.dones).any()
        return FoundEnds(marks.dones & ~timeouts if every_end else marks.dones, timeouts | ends, complete)
    return FoundEnds(marks.dones, ends & ~marks.dones, complete or _equally_long(marks.dones), open_dones=True)


def _equally_long(ended: Flags) -> bool:
    """Whether several episodes end, all after the same number of steps."""
    lengths = np.diff(np.flatnonzero(ended), prepend=-1)
    return len(lengths) > 1 and len(set(lengths.tolist())) == 1


def flags_from_bounds(values: NDArray[Any], rows: int, *, first: bool) -> Flags | None:
    """Last rows of episodes from the row numbers of their first or last rows; None if the values are none.

    Ends may be inclusive or exclusive; starts may include the number of rows.

    Args:
        values: ``(episodes,)`` numbers.
        rows: number of rows of the recording.
        first: whether they are first rows.
    """
    numbers = values.astype(np.int64)
    if not len(numbers) or (numbers != values).any() or (np.diff(numbers) <= 0).any():
        return None
    ends = numbers - 1 if first or numbers[-1] == rows else numbers
    if first and (numbers[0] != 0 or numbers[-1] > rows):
        return None
    if not first and ends[-1] != rows - 1:
        return None
    flags = np.zeros(rows, dtype=bool)
    flags[ends[ends >= 0]] = True
    return flags


def flags_from_lengths(values: NDArray[Any], rows: int) -> Flags | None:
    """Last rows of episodes from the number of rows of each, of which some may have none; None if the sum is wrong."""
    lengths = values.astype(np.int64)
    if (lengths != values).any() or (lengths < 0).any() or lengths.sum() != rows:
        return None
    flags = np.zeros(rows, dtype=bool)
    flags[np.cumsum(lengths[lengths > 0]) - 1] = True
    return flags


def before(starts: Flags) -> Flags:
    """The rows before first rows; a first row at the beginning has none."""
    return np.append(starts[1:], False)


def jumps(observations: NDArray[np.float32], following: NDArray[np.float32], tolerance: float = 1e-3) -> Flags:
    """Rows after which the recording goes on from another state than the one that was announced.

    Args:
        observations: ``(rows, size)``.
        following: ``(rows, size)`` next observations.
        tolerance: relative to the size of a number, and absolute for small ones.
    """
    found = np.zeros(len(observations), dtype=bool)
    for announced, observed in zip(following[:-1].T, observations[1:].T, strict=True):
        found[:-1] |= np.abs(announced - observed) > tolerance * (1.0 + np.abs(observed))
    return found


def overlong(ended: Flags, limit: int) -> Flags:
    """Rows ``(rows,)`` that complete ``limit`` steps since the last end without a flag."""
    found = np.zeros_like(ended)
    bounds = np.concatenate([[-1], np.flatnonzero(ended), [len(ended) - 1]])
    for index in np.flatnonzero(np.diff(bounds) > limit):
        found[bounds[index] + limit : bounds[index + 1] : limit] = True
    return found


def cut_again(episodes: Episodes, limit: int) -> Episodes:
    """The same rows, cut at terminals and after ``limit`` steps; for data whose other ends were not marked."""
    terminals = episodes.terminals
    cut = overlong(terminals, limit)
    whole = Episodes.from_flags(episodes.observations, episodes.actions, episodes.rewards, terminals, cut)
    return replace(whole, declared=episodes.declared)


def settle_dones(
    episodes: Episodes, log: ReadingLog, *, limit: int | None, meaning: DonesMeaning | None, strict: bool, source: str
) -> Episodes:
    """Decide which of the ends that ``dones`` marks are time limits, once all episodes are there.

    Args:
        episodes: the episodes, whose terminals are all ``dones`` if the log says that their meaning is open.
        log: the log, which says what the file's columns told; receives the decision.
        limit: the environment's step limit; None if unknown.
        meaning: meaning of ``dones`` that the user states; None leaves it to the data.
        strict: whether to raise; otherwise an open question becomes a warning.
        source: name of the file in errors.

    Raises:
        SeqrlError: the data do not tell, and the user did not say.
    """
    name = log.open_dones
    ended = episodes.terminals[episodes.offsets[1:] - 1]
    if not ended.any() or (name is None and meaning != "ends"):
        return episodes
    name = name or "terminals"
    only_terminals = log.only_terminals or log.unmarked_parts > 1
    found = None if meaning == "terminals" else _steps_of_limit(episodes.lengths[ended], limit)
    if meaning == "ends":
        found = int(episodes.lengths[ended].max()) if found in (None, 0) else found
    elif only_terminals:
        found = None
    if meaning is None and log.has_shaped_rewards and not only_terminals:
        _ask(f"{name} may mark only that a demonstration stopped, and its rewards do not tell", log, strict, source)
        found = None
    elif found == 0:
        longest = int(episodes.lengths[ended].max())
        _ask(f"{name} may mark time limits, too: its longest episodes have {longest:,} steps", log, strict, source)
        found = None
    log.take(name, "terminals" if found is None else f"ends, timeouts after {found:,} steps, else terminals")
    return episodes if found is None else _time_limits(episodes, found)


def _steps_of_limit(lengths: NDArray[np.int64], limit: int | None) -> int | None:
    """The steps after which ends are time limits; None if no end is one; 0 if the lengths do not tell.

    Args:
        lengths: lengths of the episodes that have an end.
        limit: the environment's step limit; None if unknown.
    """
    longest = int(lengths.max())
    count = int((lengths == longest).sum())
    if limit == longest:
        return limit
    if count == len(lengths) > 1:
        return longest
    if len(lengths) == 1:
        return None if limit is not None and longest < limit else 0
    return 0 if count >= max(CLUSTER, CLUSTER_SHARE * len(lengths)) else None


def _ask(message: str, log: ReadingLog, strict: bool, source: str) -> None:
    if strict:
        raise SeqrlError(f"{source}: {message}", _DONES_HINT)
    log.warn(f"{message}; {_DONES_HINT}")


def _time_limits(episodes: Episodes, steps: int) -> Episodes:
    """The same episodes, whose terminals after this many steps, and beside timeouts, are timeouts only."""
    last = episodes.offsets[1:] - 1
    limited = last[(episodes.lengths == steps) & episodes.terminals[last]]
    terminals, timeouts = episodes.terminals & ~episodes.timeouts, episodes.timeouts.copy()
    terminals[limited], timeouts[limited] = False, True
    return replace(episodes, terminals=terminals, timeouts=timeouts)
