"""Which column of a file tells what, whatever its author called it.

Each role below lists the names that the field's recorders and libraries use, D4RL's own first. Case, camel case and
punctuation do not count: ``isFirst`` is ``is_first``. Where several names of one role are in a file, the first in the
table is used. What the roles mean for the ends of episodes is in :mod:`~seqrl_cli.data.formats.episode_ends`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice

from seqrl_cli.data.formats.reading_log import ReadingLog
from seqrl_cli.errors import SeqrlError, nearest

LAYOUT_HINT = (
    "a dataset contains float arrays observations (n, O), actions (n, A), rewards (n,) "
    "and flags terminals (n,), timeouts (n,)"
)
IMAGE_HINT = "observations are vectors, or images of bytes (uint8); actions are vectors, or whole numbers from 0"
_IMAGES = ("image", "images", "pixels")

NAMES: dict[str, tuple[str, ...]] = {
    # Images count where nothing else is observed, as in Dreamer's episodes.
    "observations": ("observations", "observation", "obs", "states", "state", "observation_state", *_IMAGES),
    # What Gymnasium's goal environments observe besides, each under a name of its own.
    "achieved_goals": ("achieved_goals", "achieved_goal"),
    "desired_goals": ("desired_goals", "desired_goal"),
    "actions": ("actions", "action", "acts", "act"),
    "rewards": ("rewards", "reward", "rews", "rew", "next_reward"),
    "next_observations": (
        *("next_observations", "next_observation", "next_obs", "next_states", "next_state"),
        *("observations_next", "observation_next", "obs_next", "new_observations", "new_obs", "obs2"),
    ),
    # The environment ended the episode: there is no future after this row.
    "terminals": (
        *("terminals", "terminal", "terminations", "termination", "terminated", "terminateds"),
        *("is_terminal", "is_terminals", "is_terminated", "terms"),
    ),
    # Only a step limit, or the recorder, ended it.
    "timeouts": (
        *("timeouts", "timeout", "time_outs", "time_out", "is_timeout", "time_limits", "time_limit", "timelimits"),
        *("truncations", "truncation", "truncated", "truncateds", "is_truncated", "time_limit_truncated", "truncs"),
        *("trunc", "truncation_flag", "truncation_flags", "timelimit_reached", "time_limit_reached"),
    ),
    # Either of the two, or the first only: two meanings.
    "dones": ("dones", "done", "is_done", "dones_bool", "done_flags", "next_dones", "next_done"),
    # Zero where a flag of the role above is one.
    "continues": (
        *("not_dones", "not_done", "nonterminals", "nonterminal", "not_terminals", "not_terminal"),
        *("masks", "mask", "continues", "continue", "discounts", "discount"),
    ),
    # The last row of an episode, whatever ended it: a flag per row, or the row numbers.
    "ends": (
        *("episode_ends", "episode_end", "episode_terminals", "episode_dones", "episode_done", "end_of_episode"),
        *("trajectory_ends", "traj_ends", "is_last", "last", "is_final", "final", "ends", "dones_float"),
        *("ep_ends", "ep_end", "ep_dones", "ep_done", "is_episode_end", "trajectory_end", "traj_end"),
        *("is_last_step", "rollout_ends", "rollout_end"),
    ),
    # The first row: a flag per row, or the row numbers.
    "starts": (
        *("episode_starts", "episode_start", "trajectory_starts", "traj_starts", "is_first", "first", "is_start"),
        *("starts", "start", "episode_offsets", "offsets", "is_episode_start", "trajectory_start", "traj_start"),
        *("new_episode", "new_episodes", "is_new_episode", "episode_start_indices", "episode_start_index"),
    ),
    # The first row or the last one: whichever row of the recording is marked tells.
    "resets": ("resets", "reset", "is_reset"),
    # dm_env's and garage's kinds of rows: 0 is first, 1 between, 2 last; garage has 3 for time limits.
    "step_types": ("step_types", "step_type"),
    # One number per episode, the same in all of its rows.
    "ids": (
        *("episode_ids", "episode_id", "episodes", "episode", "episode_index", "episode_indices", "episode_idx"),
        *("episode_number", "episode_num", "episode_nr", "eps_id", "ep_id", "ep_ids", "ep_idx"),
        *("trajectory_ids", "trajectory_id", "trajectory_index", "trajectory_idx", "trajectories", "trajectory"),
        *("traj_ids", "traj_id", "traj_index", "traj_idx", "traj", "demo_id", "demo_ids", "path_id", "path_ids"),
        *("rollout_ids", "rollout_id", "rollout", "rollout_index", "rollout_idx", "trial_ids", "trial_id", "trial"),
        *("sequence_ids", "sequence_id", "seq_ids", "seq_id"),
    ),
    # Counts up within an episode, and starts again in the next.
    "steps": (
        *("episode_steps", "episode_step", "timesteps", "timestep", "time_steps", "time_step", "frame_index"),
        *("step_ids", "step_id", "steps", "step", "t", "step_index", "step_idx", "elapsed_steps", "elapsed_step"),
        *("step_in_episode", "env_steps", "env_step"),
    ),
    # How many rows each episode has.
    "lengths": (
        *("episode_lengths", "episode_length", "episode_lens", "ep_lengths", "ep_lens", "trajectory_lengths"),
        *("traj_lengths", "traj_lens", "path_lengths", "lengths", "lens", "seq_lengths", "seq_length", "seq_lens"),
        *("seq_len", "sequence_lengths", "sequence_length", "sequence_lens", "sequence_len"),
        *("episode_len", "ep_len", "ep_length", "trajectory_len", "trajectory_length", "traj_len", "traj_length"),
    ),
    # One in rows that fill up an episode.
    "padding": ("is_pad", "is_padding", "is_padded", "action_is_pad", "padded"),
    # One number: how many rows of a buffer were written to.
    "used": ("size", "buffer_size", "ptr", "pos", "position", "pointer", "cursor", "num_transitions", "n_transitions"),
}
REQUIRED = ("observations", "actions", "rewards")
MAX_NAMES = 1000
"""A file has far fewer columns; a hostile one has millions of names, and comparing them would take minutes."""

GOAL_ROLES = ("achieved_goals", "desired_goals")
FLAG_ROLES = ("terminals", "timeouts", "dones")
END_ROLES = (
    "terminals",
    "timeouts",
    "dones",
    "continues",
    "ends",
    "starts",
    "resets",
    "step_types",
    "ids",
    "steps",
    "lengths",
)
_LIMIT_ROLES = {"next_observations", *END_ROLES} - {"terminals", "continues"}
_TERMINAL_ROLES = ("terminals", "dones", "continues")

_ROLES = {name: role for role, names in NAMES.items() for name in names}

# Parts of names that suggest that a column tells of ends, or that rows do not count.
_HINTS = re.compile(
    r"done|term|trunc|time_?out|time_?limit|reset|episode|(^|_)ep(s|_|$)|traj|first|last|(^|_)ends?($|_)|start|mask|valid"
    r"|final|absorb|discount|continu|boundar|step_?type|(^|_)pad(s|ded|ding)?($|_)"
)
# More such parts, for files without a column that is known to tell of ends: other columns have these names, too.
_WEAK_HINTS = re.compile(
    r"(^|_)eo[eft]($|_)|rollout|trial|demo|seq|step|frame|chunk|segment|time|index|idx|(^|_)ids?($|_)"
)


@dataclass(frozen=True)
class ColumnNames:
    """The names of a file's columns, by what they tell.

    Attributes:
        by_role: names of each role, the preferred one first; roles without a column are left out.
        doubtful: names that no role knows, but that suggest that the column tells of ends.
    """

    by_role: dict[str, tuple[str, ...]]
    doubtful: tuple[str, ...]

    @classmethod
    def of(cls, found: Iterable[str]) -> ColumnNames:
        """Sort the names of a file's columns, the first ``MAX_NAMES`` of them."""
        names = list(islice(found, MAX_NAMES))
        by_role: dict[str, list[str]] = {}
        for name in names:
            role = _ROLES.get(plain_name(name))
            if role is not None:
                by_role.setdefault(role, []).append(name)
        for role, those in by_role.items():
            those.sort(key=partial(_rank, role))
        unknown = [name for name in names if plain_name(name) not in _ROLES]
        doubtful = [name for name in unknown if _HINTS.search(plain_name(name))]
        if not by_role.keys() & _LIMIT_ROLES:
            doubtful += [name for name in unknown if name not in doubtful and _WEAK_HINTS.search(plain_name(name))]
        return cls({role: tuple(those) for role, those in by_role.items()}, tuple(doubtful))

    def first(self, role: str) -> str | None:
        """The name of the column that has a role; None if there is none."""
        return next(iter(self.by_role.get(role, ())), None)

    def is_possible(self, name: str, size: int | None) -> bool:
        """Whether a column of so many numbers may tell what its name says: how many rows were used is one number."""
        return size is not None and (size == 1 or name not in self.by_role.get("used", ()))

    @property
    def dones_name(self) -> str:
        """What to call the marks that have two meanings; empty if there are none."""
        inverted = self.first("continues")
        return self.first("dones") or (f"{inverted} = 0" if inverted else "")

    @property
    def goals(self) -> tuple[str, ...]:
        """The goals that belong to the observations, in Gymnasium's order; none unless one is to be reached."""
        found = [self.first(role) for role in GOAL_ROLES]
        return tuple(name for name in found if name is not None) if found[1] is not None else ()

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that must be arrays of numbers."""
        chosen = [self.by_role[role][0] for role in (*REQUIRED, "next_observations") if role in self.by_role]
        return (*chosen, *(name for role in FLAG_ROLES for name in self.by_role.get(role, ())))

    def note_left_out(self, listed: Iterable[str], log: ReadingLog) -> None:
        """Tell a log which of the names in a file nothing is read from."""
        known = {*self.needed, *self.possible}
        left_out = [name for name in listed if name not in known]
        log.leave_out(left_out)
        if left_out and plain_name(self.first("observations") or "") in _IMAGES:
            log.remark(f"only images are observed; left out {', '.join(left_out[:5])}")

    @property
    def possible(self) -> tuple[str, ...]:
        """The columns that may tell of ends or of unused rows; a file may have something else under these names."""
        roles = [*(role for role in END_ROLES if role not in FLAG_ROLES), "padding", "used", *GOAL_ROLES]
        return (*(name for role in roles for name in self.by_role.get(role, ())), *self.doubtful)


def columns_to_read(found: Iterable[str], source: str, log: ReadingLog | None = None) -> ColumnNames:
    """Choose the columns to read from the names in a file; the error suggests similar names.

    Args:
        found: names of all columns.
        source: name of the file in errors.
        log: told which columns nothing is read from.

    Raises:
        SeqrlError: nothing can be observations, actions or rewards, or nothing tells where episodes end.
    """
    listed = list(islice(found, MAX_NAMES))
    names = ColumnNames.of(listed)
    missing = [role for role in REQUIRED if role not in names.by_role]
    known = {name for those in names.by_role.values() for name in those}
    others = [name for name in listed if name not in known]
    if not any(role in names.by_role for role in _TERMINAL_ROLES):
        tells_ends = any(role in names.by_role for role in END_ROLES)
        if missing or not tells_ends or nearest("terminals", others):
            missing.append("terminals")
    if not missing:
        if log is not None:
            names.note_left_out(listed, log)
        return names
    similar = {role: nearest(role, others) for role in missing}
    renamed = [f"{other!r} to {role!r}" for role, other in similar.items() if other]
    hint = f"rename {', '.join(renamed)} in the file" if renamed else LAYOUT_HINT
    raise SeqrlError(f"{source} has no {', '.join(missing)}{_listing(listed)}", hint)


def _listing(names: list[str]) -> str:
    shown = [name if name.isprintable() and len(name) < 40 else f"{name!r:.40}" for name in sorted(names)[:8]]
    return f" (it has {', '.join(shown)}{' …' if len(names) > 8 else ''})" if names else ""


def role_of(name: str) -> str | None:
    """What a column tells by its name; None if no role has it."""
    return _ROLES.get(plain_name(name))


def plain_name(name: str) -> str:
    """A name in lower case with single underscores: ``TimeLimit.truncated`` becomes ``time_limit_truncated``."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")


def _rank(role: str, name: str) -> tuple[bool, int]:
    """Sort key: the exact spelling of D4RL's name comes first, then the order of the table."""
    return name != role, NAMES[role].index(plain_name(name))
