"""The grid of a sweep: values separated by commas, ranges of seeds, and the names that runs get from them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from seqrl_cli.config.architectures import DEFAULT
from seqrl_cli.config.limits import MAX_SEED
from seqrl_cli.config.overrides import check_key, parse_overrides
from seqrl_cli.config.value_text import name_of_flag, split_values
from seqrl_cli.errors import UsageError
from seqrl_cli.files.yaml_text import parse_yaml

MAX_SWEEP_RUNS = 10_000
"""Runs of one sweep; more are a mistake."""

_SEEDS_HINT = "write 1-4, 1..4 or 1,2,5"
_SHORT = {
    "learning_rate": "lr",
    "batch_size": "batch",
    "weight_decay": "wd",
    "n_layer": "layers",
    "n_head": "heads",
    "sequence_length": "length",
}

Texts = Mapping[str, tuple[str, ...]]
"""The values of keys as they are typed; several are an axis."""


@dataclass(frozen=True)
class Grid:
    """What a sweep trains: the Cartesian product of datasets, architectures, values and seeds.

    Attributes:
        datasets: names or paths.
        archs: architectures; none = the default.
        seeds: seeds of the runs.
        train: values of configuration keys.
        plan: values of the keys below ``plan`` for planning with every run; None = no planning.
        size: ``paper`` or ``laptop``; None = by the dataset.
        preset: name of a preset; None = by the dataset.
        config_file: a run's config.yaml to start from.
    """

    datasets: tuple[str, ...]
    archs: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (42,)
    train: Texts = field(default_factory=dict)
    plan: Texts | None = None
    size: str | None = None
    preset: str | None = None
    config_file: str | None = None

    @property
    def count(self) -> int:
        """How many runs it has."""
        count = len(self.datasets) * max(1, len(self.archs)) * len(self.seeds)
        for texts in self.train.values():
            count *= len(texts)
        return count

    @property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """What has several values, in the order in which members follow each other: the seeds vary fastest."""
        named = {"dataset": self.datasets, "model.arch": self.archs, **self.train, "seed": tuple(map(str, self.seeds))}
        return {key: tuple(texts) for key, texts in named.items() if len(texts) > 1}

    @property
    def plan_settings(self) -> list[dict[str, str]]:
        """Each setting to plan with, as texts by key; none without planning."""
        return [] if self.plan is None else [dict(texts) for texts in combinations(self.plan)]

    def points(self) -> Iterator[Point]:
        """Every run of the product."""
        axes = self.axes
        for dataset, arch, values, seed in product(
            self.datasets, self.archs or (None,), combinations(self.train), self.seeds
        ):
            varied = [key for key in values if key in axes]
            yield Point(dataset, arch, dict(values), seed, varied, several_archs=len(self.archs) > 1)


@dataclass(frozen=True)
class Point:
    """One run of a grid.

    Attributes:
        dataset: name or path.
        arch: the architecture; None = the default.
        values: texts by configuration key.
        seed: seed of the run.
        varied: the keys that are axes.
        several_archs: whether the architecture is an axis, too.
    """

    dataset: str
    arch: str | None
    values: Mapping[str, str]
    seed: int
    varied: Sequence[str]
    several_archs: bool = False

    def name(self, prefix: str | None, short: Mapping[str, str]) -> str:
        """The run's name: ``gpt-lr1e-3-s2``; with a prefix ``PREFIX-lr1e-3-s2``, or with more architectures both.

        Args:
            prefix: the sweep's name if the user chose it.
            short: a short word for each axis.
        """
        arch = [self.arch or DEFAULT] if self.several_archs or not prefix else []
        start = [*([prefix] if prefix else []), *arch]
        parts = [f"{short[key]}{name_of_value(self.values[key])}" for key in self.varied]
        return "-".join([*start, *parts, f"s{self.seed}"])

    def axis_values(self, axes: Iterable[str]) -> dict[str, str]:
        """The run's place on each axis."""
        known = {"dataset": self.dataset, "model.arch": self.arch or DEFAULT, "seed": str(self.seed), **self.values}
        return {key: known[key] for key in axes}


def combinations(texts: Texts) -> list[dict[str, str]]:
    """Every choice of one value per key; one empty choice without keys."""
    return [dict(zip(texts, chosen, strict=True)) for chosen in product(*texts.values())]


def parse_axes(arguments: Iterable[str], keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Read ``["train.learning_rate=1e-3,3e-4", …]``; every value is checked to be YAML, and its key to exist.

    Raises:
        UsageError: an unknown key, a key twice, an axis without values or with one value twice.
    """
    known = list(keys)
    texts: dict[str, tuple[str, ...]] = {}
    for argument in arguments:
        key, _, text = argument.partition("=")
        check_key(key, known)
        if key in texts:
            raise UsageError(f"{key} is given twice", f"give all of its values at once: {key}=A,B")
        texts[key] = split_values(text)
        if "" in texts[key]:
            raise UsageError(f"{key} has an empty value: {argument!r}", f"write {key}=A,B, or {key}=null for none")
        values = [parse_overrides([f"{key}={value}"], known)[key] for value in texts[key]]
        refuse_repeats(key, texts[key], values)
    return texts


def refuse_repeats(key: str, texts: Sequence[str], values: Sequence[Any]) -> None:
    """Stop at an axis with one value twice, even if it is spelled in two ways.

    Raises:
        UsageError: names the axis and the value.
    """
    seen: dict[str, str] = {}
    for text, value in zip(texts, values, strict=True):
        known = json.dumps(_as_number(value), sort_keys=True, default=str)
        if known in seen:
            first = seen[known]
            twice = f"{text!r} twice" if text == first else f"{first!r} and {text!r}, which are the same value"
            raise UsageError(f"{key} has {twice}", "give each value once")
        seen[known] = text


def parse_seeds(text: str) -> tuple[int, ...]:
    """The seeds of ``1-4``, ``1..4``, ``1,2,5`` or ``1-3,7``.

    Raises:
        UsageError: it is something else, empty, too large, or has a seed twice.
    """
    ranges = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,20})(?:\s*(?:-|\.\.)\s*(\d{1,20}))?\s*", part, re.ASCII)
        if not found:
            raise UsageError(f"{text[:80]!r} is not a list of seeds", _SEEDS_HINT)
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise UsageError(f"the seeds {part.strip()} end before they begin", _SEEDS_HINT)
        if last > MAX_SEED:
            raise UsageError(f"seed {last} is larger than {MAX_SEED}", _SEEDS_HINT)
        ranges.append((first, last))
    count = sum(last - first + 1 for first, last in ranges)
    if count > MAX_SWEEP_RUNS:
        raise UsageError(f"{text} are {count:,} seeds", f"a sweep has {MAX_SWEEP_RUNS:,} runs at most")
    seeds = tuple(seed for first, last in ranges for seed in range(first, last + 1))
    refuse_repeats("--seeds", [str(seed) for seed in seeds], seeds)
    return seeds


def short_words(axes: Iterable[str]) -> dict[str, str]:
    """A short word for each key, for names: ``lr`` for ``train.learning_rate``; unlike keys get unlike words."""
    words: dict[str, str] = {}
    keys = list(axes)
    leaves = [key.rpartition(".")[2] for key in keys]
    for key, leaf in zip(keys, leaves, strict=True):
        word = _SHORT.get(leaf, leaf.replace("_", ""))
        words[key] = word if leaves.count(leaf) == 1 else f"{key.partition('.')[0]}{word}"
    return words


def name_of_value(text: str) -> str:
    """A value as a part of a run's name: ``1e-3``, ``on``, ``none``, ``0.9-0.95``; ``m1`` for -1."""
    try:
        value = parse_yaml(text)
    except ValueError:
        value = text
    if value is None or isinstance(value, bool):
        return name_of_flag(value)
    return re.sub(r"[^A-Za-z0-9.]+", "-", re.sub(r"^-(?=[\d.])", "m", text.replace("+", ""))).strip("-.")


def _as_number(value: Any) -> Any:
    """1 and 1.0 are one value, but 1 and true are two."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
