"""The returns that score 0 and 100: of a dataset's environment, or its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from seqrl_cli.artifacts.facts import DatasetFacts, DatasetFile, state_also
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import DatasetSpec, scores_of_environment
from seqrl_cli.data.domains import is_scaled_by_data
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.envs.scores import references_of_data
from seqrl_cli.errors import UsageError

LOWER_POLICY, UPPER_POLICY = "reference_min_is", "reference_max_is"
"""Attributes of a dataset that say which policies its references are the returns of, where these were measured."""


def references_of(spec: DatasetSpec, facts: DatasetFacts | None) -> tuple[float, float] | None:
    """The returns that score 0 and 1: the dataset's own, else its environment's; None when neither is known.

    Where a domain's scores are those of its data, the dataset's mean return scores 1.
    """
    env_id = (facts.env_id if facts is not None else None) or spec.env_id
    mean_return = facts.attributes.get("mean_return") if facts is not None else None
    if is_scaled_by_data(env_id) and isinstance(mean_return, float):
        return references_of_data(env_id, mean_return)
    stated = facts.reference_scores if facts is not None else None
    if stated is not None and spec.source == "file":
        return stated
    if spec.reference_min is not None and spec.reference_max is not None:
        return spec.reference_min, spec.reference_max
    return stated or (scores_of_environment(facts.env_id) if facts is not None else None)


def given_references(
    spec: DatasetSpec, data: DataConfig, stated: Mapping[str, object] | None = None
) -> dict[str, float]:
    """The returns that score 0 and 100 as the user gives them, by the name of their attribute; empty if not given.

    Args:
        spec: the dataset.
        data: the user's settings of the data; one of the two returns is enough where the other is stated.
        stated: attributes of the existing dataset.

    Raises:
        UsageError: it is a dataset of the catalogue, one of the two is missing, or they are in the wrong order.
    """
    given = {"reference_min": data.reference_min, "reference_max": data.reference_max}
    if all(value is None for value in given.values()):
        return {}
    if spec.source != "file":
        raise UsageError(f"data.reference_min is for files of your own, which {spec.id} is not", "leave it out")
    known = {"reference_min": spec.reference_min, "reference_max": spec.reference_max, **(stated or {})}
    low, high = (given[name] if given[name] is not None else known.get(name) for name in given)
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        missing = "reference_max" if isinstance(low, int | float) else "reference_min"
        raise UsageError(f"data.{missing} is missing: scores need both", f"add data.{missing}=RETURN")
    if low >= high:
        raise UsageError(f"data.reference_min={low:g} is not below data.reference_max={high:g}", "exchange them")
    return {"reference_min": float(low), "reference_max": float(high)}


def own_references(stated: Mapping[str, object], env_id: str | None) -> dict[str, object]:
    """The returns that score 0 and 100 where a dataset states others than those of its environment; else empty."""
    found = {name: stated[name] for name in ("reference_min", "reference_max") if name in stated}
    if len(found) < 2 or tuple(found.values()) == scores_of_environment(env_id):
        return {}
    return found


def _measured_in(stated: Mapping[str, object]) -> list[str]:
    """The attributes that describe earlier references, which the user's own replace."""
    return [name for name in (LOWER_POLICY, UPPER_POLICY) if stated.get(name)]


def take_references(
    spec: DatasetSpec, file: DatasetFile, data: DataConfig, load: Callable[[], Episodes], console: Console
) -> None:
    """Store the returns that score 0 and 100 if the user tells other ones than an existing dataset has.

    Args:
        spec: the dataset.
        file: the dataset's ``dataset.h5``.
        data: what the user says.
        load: reads its episodes.
        console: gets one line.

    Raises:
        UsageError: as :func:`given_references`.
    """
    facts = file.read()
    given = given_references(spec, data, facts.attributes)
    if given and (given["reference_min"], given["reference_max"]) != facts.reference_scores:
        state_also(file, load(), **given, **dict.fromkeys(_measured_in(facts.attributes), ""))
        console.note(f"{spec.id}: a return of {given['reference_min']:g} now scores 0, {given['reference_max']:g} 100")
