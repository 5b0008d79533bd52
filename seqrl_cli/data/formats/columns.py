"""Flat arrays from untrusted files, checked and split into episodes.

HDF5 files, ``.npz`` archives and pickled episodes contain the same columns under D4RL's names: ``observations``,
``actions``, ``rewards``, ``terminals`` and, optionally, ``timeouts`` and ``next_observations``.

An episode ends, in order of precedence:

1. after every terminal and every timeout;
2. where ``next_observations`` differs from the following observation: a reset without a flag (in medium-replay sets,
   whose timeouts mark the collector's iterations and not always the step limit);
3. after ``max_episode_steps`` without either; without a ``timeouts`` column, after 1000 steps.

Ends of the second and third kind become timeouts, which carry no penalty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.errors import SeqrlError, nearest

DEFAULT_EPISODE_STEPS = 1000
REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")

LAYOUT_HINT = (
    "a dataset contains float arrays observations (n, O), actions (n, A), rewards (n,) "
    "and flags terminals (n,), timeouts (n,)"
)
FILE_HINT = "download or collect the dataset again, or give the path of another file"
_REPAIR_HINT = "remove or repair those rows in the file"
_CHOICE_HINT = "discrete actions are numbered from 0"
_IMAGE_HINT = "observations and actions are flat vectors here; images would need an encoder first"

# Other projects' names for the columns, where the spelling is not similar.
_OTHER_NAMES = {
    "observations": ("obs", "states", "state"),
    "actions": ("acts",),
    "rewards": ("rews",),
    "terminals": ("dones", "done", "terminations", "terminated", "is_terminal"),
}

_RESET_TOLERANCE = 1e-3
_SMALL_BYTES = 64 * 2**20
_MAX_INFLATION = 100

Column: TypeAlias = h5py.Dataset | NDArray[Any]


@dataclass(frozen=True)
class ReadOptions:
    """How to turn columns into episodes.

    Attributes:
        observation_slice: number of leading observation dimensions to keep; None keeps all.
        max_episode_steps: longest possible episode; None trusts the timeouts.
        default_steps: length of an episode if there are no timeouts; None = the recording is one episode.
        finite: refuse NaN and infinity; False for inspecting a file.
    """

    observation_slice: int | None = None
    max_episode_steps: int | None = None
    default_steps: int | None = DEFAULT_EPISODE_STEPS
    finite: bool = True


def read_columns(columns: Mapping[str, Column], source: str, options: ReadOptions) -> Episodes:
    """Check columns and split them into episodes, by the rules at the top of this module.

    Args:
        columns: columns by name: all required ones (:func:`check_names`) and any optional ones.
        source: name of the file in errors.
        options: how to read them.

    Raises:
        SeqrlError: a column has the wrong shape or values, or there are no rows.
    """
    table = _Table(columns, source, options.finite)
    observations = table.vectors("observations", options.observation_slice)
    count = len(observations)
    if count == 0:
        raise SeqrlError(f"{source} contains no transitions", FILE_HINT)
    actions = table.actions()
    rewards = table.scalars("rewards")
    terminals = table.flags("terminals")
    timeouts = table.flags("timeouts") if "timeouts" in columns else np.zeros_like(terminals)
    others = {"actions": actions, "rewards": rewards, "terminals": terminals, "timeouts": timeouts}
    for name, column in others.items():
        if len(column) != count:
            raise SeqrlError(f"{source}: {name} has {len(column)} rows, but observations has {count}", LAYOUT_HINT)
    if "next_observations" in columns:
        timeouts |= _unflagged_resets(table, observations, terminals | timeouts)
    limit = options.max_episode_steps or (None if "timeouts" in columns else options.default_steps)
    if limit is not None:
        timeouts |= _overlong(terminals | timeouts, limit)
    return Episodes.from_flags(observations, actions, rewards, terminals, timeouts)


def check_names(found: Iterable[str], source: str) -> None:
    """Check that all required columns exist; the error suggests similar columns.

    Raises:
        SeqrlError: a column is missing.
    """
    names = list(found)
    missing = [name for name in REQUIRED if name not in names]
    if not missing:
        return
    similar = {name: _similar(name, names) for name in missing}
    renamed = [f"{other!r} to {name!r}" for name, other in similar.items() if other]
    hint = f"rename {', '.join(renamed)} in the file" if renamed else LAYOUT_HINT
    shown = [name if name.isprintable() and len(name) < 40 else f"{name!r:.40}" for name in sorted(names)[:8]]
    listing = f" (it has {', '.join(shown)}{' …' if len(names) > 8 else ''})" if names else ""
    raise SeqrlError(f"{source} has no {', '.join(missing)}{listing}", hint)


def _similar(name: str, found: list[str]) -> str | None:
    known = next((other for other in _OTHER_NAMES[name] if other in found), None)
    return known or nearest(name, [other for other in found if other not in (*REQUIRED, *OPTIONAL)])


def check_size(claimed: int, file_bytes: int, source: str) -> None:
    """Refuse a file that claims far more data than its bytes can contain, which would fill the memory.

    Args:
        claimed: bytes of the arrays.
        file_bytes: bytes of the file; compression and constant columns may make it up to a hundred times smaller.
        source: name of the file in errors.

    Raises:
        SeqrlError: it claims more than a hundred times its size.
    """
    if claimed > _SMALL_BYTES + _MAX_INFLATION * file_bytes:
        message = f"{source} claims {claimed:,} bytes of arrays, which its {file_bytes:,} bytes cannot contain"
        raise SeqrlError(message, "nothing was read; get the file again from a source you trust")


def join_episodes(parts: Iterable[tuple[str, Episodes]]) -> Episodes:
    """Join the episodes of several recordings, in order.

    Args:
        parts: at least one recording, with its name in errors.

    Raises:
        SeqrlError: the sizes of a recording differ from those of the first.
    """
    named = list(parts)
    first, whole = named[0]
    for name, part in named:
        if not whole.spaces.fits(part.spaces):  # a recording may lack some of the discrete actions
            part.spaces.require_fit(name, whole.spaces, first, "join only recordings of the same environment")
    return whole if len(named) == 1 else Episodes.concatenate([part for _, part in named])


@dataclass(frozen=True)
class _Table:
    """Columns by name, each checked when it is read."""

    columns: Mapping[str, Column]
    source: str
    finite: bool

    def vectors(self, name: str, size: int | None = None) -> NDArray[np.float32]:
        """An array ``(n, size)``, converted while it is read, so that float64 data is never entirely in memory."""
        column = self._numbers(name)
        if column.ndim != 2 or column.shape[1] == 0:
            hint = _IMAGE_HINT if column.ndim > 2 else LAYOUT_HINT
            raise SeqrlError(f"{self.source}: {name} has shape {column.shape}, not one vector per row", hint)
        if size is not None and size > column.shape[1]:
            raise SeqrlError(f"{self.source}: {name} has {column.shape[1]} columns, not {size} or more", FILE_HINT)
        return self._finite(_as_float32(column)[:, :size], name)

    def actions(self) -> NDArray[Any]:
        """Vectors ``(n, size)``, or discrete choices ``(n,)``, which are whole numbers from 0."""
        column = self._numbers("actions")
        if column.ndim != 1 or column.dtype.kind not in "iu":
            return self.vectors("actions")
        choices = np.asarray(column[:], np.int64)
        if (choices < 0).any():
            row = int((choices < 0).argmax())
            raise SeqrlError(f"{self.source}: actions contains the choice {choices[row]} at row {row}", _CHOICE_HINT)
        return choices

    def scalars(self, name: str) -> NDArray[np.float32]:
        """An array ``(n,)``, possibly stored as ``(n, 1)``."""
        column = self._numbers(name)
        if column.ndim != 1 and column.shape[1:] != (1,):
            raise SeqrlError(f"{self.source}: {name} has shape {column.shape}, not one number per row", LAYOUT_HINT)
        return self._finite(_as_float32(column)[:].reshape(len(column)), name)

    def flags(self, name: str) -> NDArray[np.bool_]:
        """A boolean array ``(n,)``, possibly stored as numbers 0 and 1."""
        values = self.scalars(name)
        bad = (values != 0) & (values != 1)
        if bad.any():
            row = int(bad.argmax())
            raise SeqrlError(f"{self.source}: {name} is {values[row]:g} at row {row}, not 0 or 1", LAYOUT_HINT)
        return values.astype(bool)

    def _numbers(self, name: str) -> Column:
        column = self.columns[name]
        if column.dtype.kind not in "biuf":
            raise SeqrlError(f"{self.source}: {name} contains {column.dtype}, not numbers", LAYOUT_HINT)
        return column

    def _finite(self, values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        """The values, all finite unless the options allow others."""
        if not self.finite:
            return values
        bad = ~np.isfinite(values)
        if bad.any():
            place = np.unravel_index(int(bad.argmax()), values.shape)
            where = f"row {place[0]}" + (f", column {place[1]}" if values.ndim == 2 else "")
            raise SeqrlError(f"{self.source}: {name} is {values[place]} at {where}", _REPAIR_HINT)
        return values


def _as_float32(column: Column) -> Any:
    """A view that reads as float32; numbers beyond its range become infinite, which is checked later."""
    if isinstance(column, h5py.Dataset):
        return column.astype(np.float32)
    with np.errstate(over="ignore"):
        return column.astype(np.float32)


def _unflagged_resets(
    table: _Table, observations: NDArray[np.float32], flagged: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Rows ``(n,)`` without a flag after which the recording jumps to another state."""
    source = table.source
    following = table.vectors("next_observations", observations.shape[1])
    if following.shape != observations.shape:
        raise SeqrlError(f"{source}: next_observations is {following.shape}, not {observations.shape}", LAYOUT_HINT)
    jumps = np.zeros(len(observations), dtype=bool)
    for announced, observed in zip(following[:-1].T, observations[1:].T, strict=True):
        jumps[:-1] |= np.abs(announced - observed) > _RESET_TOLERANCE * (1.0 + np.abs(observed))
    jumps &= ~flagged
    if jumps.sum() > np.count_nonzero(~flagged) / 2:
        raise SeqrlError(
            f"{source}: next_observations differs from the following observation in {jumps.sum()} rows",
            "the rows must be in the order of recording; delete next_observations if it is wrong",
        )
    return jumps


def _overlong(ended: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """Rows ``(n,)`` that complete ``limit`` steps since the last end without a flag."""
    overlong = np.zeros_like(ended)
    bounds = np.concatenate([[-1], np.flatnonzero(ended), [len(ended) - 1]])
    for index in np.flatnonzero(np.diff(bounds) > limit):
        overlong[bounds[index] + limit : bounds[index + 1] : limit] = True
    return overlong
