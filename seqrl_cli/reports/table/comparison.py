"""Methods side by side, as plain data: one column per method, D4RL's settings in the published table's order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

QUALITIES = ("medium-expert", "medium", "medium-replay")
FAMILIES = ("halfcheetah", "hopper", "walker2d", "ant")
TITLES = {"halfcheetah": "HalfCheetah", "hopper": "Hopper", "walker2d": "Walker2d", "ant": "Ant"}
D4RL_DATASETS = tuple(f"{family}-{quality}-v2" for quality in QUALITIES for family in FAMILIES)
OTHER_DATA = "Other data than D4RL's"
NINE_DATASETS = tuple(dataset for dataset in D4RL_DATASETS if not dataset.startswith("ant-"))


@dataclass(frozen=True)
class Cell:
    """A score, where 100 is the reference policy, and its standard error if known.

    Attributes:
        mean: the score, or the return.
        error: its standard error; None if unknown.
        is_return: whether it is a return, because the dataset has no reference scores.
    """

    mean: float
    error: float | None = None
    is_return: bool = False


@dataclass(frozen=True)
class Column:
    """One method's cells by dataset id; ``own`` marks our results."""

    title: str
    latex_title: str
    cells: dict[str, Cell]
    own: bool

    @property
    def has_errors(self) -> bool:
        """Whether any cell has a standard error."""
        return any(cell.error is not None for cell in self.cells.values())

    @property
    def has_returns(self) -> bool:
        """Whether any cell is a return instead of a score."""
        return any(cell.is_return for cell in self.cells.values())

    def average(self, datasets: Iterable[str]) -> float | None:
        """The mean over ``datasets``; None if one of them is missing."""
        cells = [self.cells.get(dataset) for dataset in datasets]
        found = [cell.mean for cell in cells if cell is not None and not cell.is_return]
        return float(np.mean(found)) if len(found) == len(cells) else None


@dataclass(frozen=True)
class Comparison:
    """Methods side by side.

    Attributes:
        columns: published methods first, then ours.
        groups: dataset ids in the order of the table; rules separate the groups.
    """

    columns: tuple[Column, ...]
    groups: tuple[tuple[str, ...], ...]

    def is_unpublished(self, group: tuple[str, ...]) -> bool:
        """Whether a group's datasets have no published figures although the table shows some."""
        return group[0] not in D4RL_DATASETS and any(not column.own for column in self.columns)

    def of_d4rl(self) -> Comparison:
        """The comparison on D4RL's settings alone, without methods that have no result on them."""
        columns = tuple(column for column in self.columns if not column.own or set(column.cells) & set(D4RL_DATASETS))
        return Comparison(columns, tuple(group for group in self.groups if group[0] in D4RL_DATASETS))

    def published(self) -> Comparison:
        """The comparison without our columns."""
        return Comparison(tuple(column for column in self.columns if not column.own), self.groups)

    def averages(self) -> list[tuple[str, list[float | None]]]:
        """The published table's last lines: averages over nine settings, and over twelve if a column has them."""
        lines = []
        for title, datasets in (("Average (without Ant)", NINE_DATASETS), ("Average (all settings)", D4RL_DATASETS)):
            values = [column.average(datasets) for column in self.columns]
            if any(value is not None for value in values):
                lines.append((title, values))
        return lines


def dataset_order(dataset: str) -> tuple[int, int, str]:
    """A sort key: the published table's settings in its order, then every other dataset by name."""
    if dataset in D4RL_DATASETS:
        return (0, D4RL_DATASETS.index(dataset), dataset)
    return (1, 0, dataset)


def dataset_titles(dataset: str) -> tuple[str, str]:
    """Dataset and environment as in the published table; other datasets keep their id."""
    family = next((name for name in FAMILIES if re.search(rf"(?<![a-z]){name}", dataset)), None)
    environment = TITLES[family] if family else ""
    if dataset in D4RL_DATASETS:
        quality = dataset.removeprefix(f"{family}-").removesuffix("-v2")
        return "-".join(word.capitalize() for word in quality.split("-")), environment
    return dataset, environment


def grouped(datasets: set[str]) -> tuple[tuple[str, ...], ...]:
    """Dataset ids in the order of the table; rules separate the groups."""
    known = [tuple(d for d in D4RL_DATASETS if d in datasets and _quality(d) == quality) for quality in QUALITIES]
    others = tuple(sorted(datasets - set(D4RL_DATASETS)))
    return tuple(group for group in [*known, others] if group)


def _quality(dataset: str) -> str:
    return dataset.split("-", 1)[1].removesuffix("-v2")
