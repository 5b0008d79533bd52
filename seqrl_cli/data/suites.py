"""Suites: names for lists of datasets, in ``presets/suites/*.yaml``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from seqrl_cli.config.resources import presets_folder, read_package_mapping


@dataclass(frozen=True)
class Suite:
    """A list of datasets with a name.

    Attributes:
        name: name that the user types, for example ``cw10``.
        about: description of the suite.
        datasets: ids, in order.
        repeats: number of times that a continual run goes through them.
    """

    name: str
    about: str
    datasets: tuple[str, ...]
    repeats: int = 1


@cache
def suites() -> dict[str, Suite]:
    """All suites by name."""
    found = {}
    for path in sorted((presets_folder() / "suites").glob("*.yaml")):
        facts = read_package_mapping(path)
        found[path.stem] = Suite(path.stem, facts["about"], tuple(facts["datasets"]), facts.get("repeats", 1))
    return found


def expand(names: Iterable[str]) -> list[str]:
    """Datasets and suites by name as datasets; one that several suites contain appears once."""
    known = suites()
    listed = (dataset for name in names for dataset in (known[name].datasets if name in known else (name,)))
    return list(dict.fromkeys(listed))


def has_suite(names: Iterable[str]) -> bool:
    """Whether one of the names is a suite's."""
    return any(name in suites() for name in names)
