"""Methods side by side, as plain data: one column per method, D4RL's settings in the published table's order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

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
        error: standard error of the mean; None if unknown.
        is_return: whether it is a return, because the dataset has no reference scores.
        interval: 95 % interval of the mean; None if unknown.
        iqm: interquartile mean; None if unknown.
        iqm_interval: 95 % interval of the interquartile mean; None if unknown.
        seeds: number of seeds; 0 if unknown.
        count: seeds × episodes, as text; empty if unknown.
    """

    mean: float
    error: float | None = None
    is_return: bool = False
    interval: tuple[float, float] | None = None
    iqm: float | None = None
    iqm_interval: tuple[float, float] | None = None
    seeds: int = 0
    count: str = ""


@dataclass(frozen=True)
class Column:
    """One method.

    Attributes:
        title, latex_title: name of the method above the column.
        cells: the cells by dataset id.
        own: whether these are our results.
        remarks: remarks about the models, shown beside the name.
        settings: plan settings by dataset id, where the title does not contain them.
        differs: the settings that set its models apart from others of the architecture, if they are those on all
            datasets; else empty.
    """

    title: str
    latex_title: str
    cells: dict[str, Cell]
    own: bool
    remarks: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    differs: str = ""

    @property
    def full_title(self) -> str:
        """The title with its remarks."""
        return " ".join([self.title, *self.remarks])

    @property
    def has_errors(self) -> bool:
        """Whether any cell has a standard error."""
        return any(cell.error is not None for cell in self.cells.values())

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
        environments: environments that our results were played in, by dataset id.
        own_scales: what scores of 0 and 100 stand for, in datasets whose scores are not D4RL's.
    """

    columns: tuple[Column, ...]
    groups: tuple[tuple[str, ...], ...]
    environments: Mapping[str, str] = field(default_factory=dict)
    own_scales: Mapping[str, str] = field(default_factory=dict)

    def is_unpublished(self, group: tuple[str, ...]) -> bool:
        """Whether a group's datasets have no published figures although the table shows some."""
        return group[0] not in D4RL_DATASETS and any(not column.own for column in self.columns)

    def of_d4rl(self) -> Comparison:
        """The comparison on D4RL's settings alone, without methods that have no result on them."""
        columns = tuple(column for column in self.columns if not column.own or set(column.cells) & set(D4RL_DATASETS))
        return replace(self, columns=columns, groups=tuple(g for g in self.groups if g[0] in D4RL_DATASETS))

    def published(self) -> Comparison:
        """The comparison without our columns."""
        return replace(self, columns=tuple(column for column in self.columns if not column.own))

    def titles(self, dataset: str) -> tuple[str, str]:
        """Dataset and environment: as in the published table, else as the results state it."""
        title, environment = dataset_titles(dataset)
        return title, environment or self.environments.get(dataset, "")

    def averages(self) -> list[tuple[str, list[float | None]]]:
        """The published table's last lines: averages over nine settings, and over twelve if a column has them.

        Our results on other data have an average over all of these instead.
        """
        lines = []
        for title, datasets in (("Average (without Ant)", NINE_DATASETS), ("Average (all settings)", D4RL_DATASETS)):
            values = [column.average(datasets) for column in self.columns]
            if any(value is not None for value in values):
                lines.append((title, values))
        shown = [dataset for group in self.groups for dataset in group]
        if not lines and len(shown) > 1 and all(column.own for column in self.columns):
            values = [column.average(shown) for column in self.columns]
            lines += [("Average", values)] if any(value is not None for value in values) else []
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
