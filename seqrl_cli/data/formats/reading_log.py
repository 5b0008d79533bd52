"""What a reader decided about a file, for the user and for the dataset that is made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

_SHOWN, _LONGEST = 20, 60


@dataclass
class ReadingLog:
    """Decisions that were taken while a dataset was read; each is kept once, however many parts a dataset has.

    Attributes:
        columns: meanings of the file's columns, by their names, where these are not D4RL's.
        left_out: names of columns that nothing was read from.
        remarks: remarks on how ends were found, where it is not obvious; sentences without a full stop.
        warnings: remarks on what may be wrong, likewise.
        cut_after: steps after which an episode without a mark is cut; None if columns mark all ends.
        cuts: number of such cuts.
        open_dones: name of a column that may mark terminals or all ends, which only all episodes together can tell.
        only_terminals: whether some episodes end without a mark there, so that it marks terminals only.
        unmarked_parts: parts of the dataset, each an episode, whose last row has no mark there.
        marks_first_rows: whether a column says which row is the first of its episode.
        has_is_last: whether ``is_last`` tells of ends, as in RLDS.
        has_shaped_rewards: whether rewards of several sizes, in demonstrations with ``dones``, do not tell success.
        minimal_actions: whether actions are numbered among those that have an effect in their game of Atari.
    """

    columns: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cut_after: int | None = None
    cuts: int = 0
    open_dones: str | None = None
    only_terminals: bool = False
    unmarked_parts: int = 0
    marks_first_rows: bool = False
    has_is_last: bool = False
    has_shaped_rewards: bool = False
    minimal_actions: bool = False

    def take(self, name: str, meaning: str) -> None:
        """Record what a column was taken for; the name of that meaning is no news."""
        if name != meaning:
            self.columns[name] = meaning

    def leave_out(self, names: Iterable[str]) -> None:
        """Record columns that nothing is read from."""
        self.left_out += [name for name in names if name not in self.left_out]

    def remark(self, text: str) -> None:
        """Record a decision."""
        if text not in self.remarks:
            self.remarks.append(text)

    def warn(self, text: str) -> None:
        """Record what may be wrong."""
        if text not in self.warnings:
            self.warnings.append(text)

    @property
    def note(self) -> str | None:
        """All decisions in one line; None if there were none."""
        taken = [f"{name} as {meaning}" for name, meaning in self.columns.items()]
        parts = [f"took {', '.join(taken)}" if taken else "", *self.remarks]
        return "; ".join(part for part in parts if part) or None

    @property
    def facts(self) -> dict[str, str | int]:
        """The decisions as attributes of a dataset's file."""
        note: dict[str, str | int] = {"read_as": self.note} if self.note else {}
        if self.left_out:
            more = " …" if len(self.left_out) > _SHOWN else ""
            note["not_read"] = ", ".join(name[:_LONGEST] for name in self.left_out[:_SHOWN]) + more
        return {**note, **({"cut_after": self.cut_after} if self.cut_after else {})}
