"""The five qualities of simulated datasets, as in D4RL, relative to our own best policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from seqrl_cli.behaviour.collect import Part, collect
from seqrl_cli.behaviour.library import Behaviour, load_behaviour
from seqrl_cli.behaviour.policies import PolicyFactory, linear_factory, uniform_factory
from seqrl_cli.data.catalogue import QUALITIES, resolve
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.envs.limits import known_step_limit
from seqrl_cli.envs.scores import normalized_score
from seqrl_cli.errors import unknown


@dataclass(frozen=True)
class Collected:
    """A dataset and the attributes to store with it; equal inputs give equal attributes, byte for byte."""

    episodes: Episodes
    attributes: dict[str, str | int | float]


def collect_quality(
    family: str,
    quality: str,
    *,
    transitions: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    folder: Path | None = None,
) -> Collected:
    """Collect ``sim/<family>-<quality>`` with the shipped policies.

    Args:
        family: ``hopper``, ``halfcheetah``, ``walker2d`` or ``ant``.
        quality: ``random``, ``medium``, ``medium-replay``, ``medium-expert`` or ``expert``.
        transitions: rows; by default the preset file's number for this quality.
        seed: seed of the collection, see :func:`~seqrl_cli.behaviour.collect.collect`.
        workers: number of processes.
        progress: called with (rows so far, total rows).
        folder: folder of the preset files; by default the shipped ones.

    Raises:
        UsageError: there is no such family or quality.
        SeqrlError: a worker died.
    """
    behaviour = load_behaviour(family, folder)
    if quality not in QUALITIES:
        raise unknown("quality", quality, QUALITIES)
    rows = transitions or int(behaviour.datasets[quality]["transitions"])
    return collect_behaviour(behaviour, quality, rows, seed=seed, workers=workers, progress=progress)


def collect_behaviour(
    behaviour: Behaviour,
    quality: str,
    transitions: int,
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Collected:
    """Collect one quality with the given policies; arguments as for :func:`collect_quality`."""
    parts = _parts(behaviour, quality)
    episodes = collect(behaviour.env_id, parts, transitions, seed, workers=workers, progress=progress)
    spec = resolve(f"sim/{behaviour.family}-{quality}")
    attributes: dict[str, str | int | float] = {
        "source": "seqrl",
        "dataset_id": spec.id,
        "policy": _policy_text(behaviour, quality),
        "search_seed": int(behaviour.search["seed"]),
        **describe(episodes, behaviour.env_id, seed, spec.reference_min, spec.reference_max),
    }
    return Collected(episodes, attributes)


def named_policy(family: str, name: str, folder: Path | None = None) -> PolicyFactory:
    """A shipped policy by name: ``expert``, ``medium`` or ``random``.

    Raises:
        UsageError: there is no such family or policy.
    """
    behaviour = load_behaviour(family, folder)
    if name == "random":
        return uniform_factory(behaviour.env_id)
    policies = {"expert": behaviour.expert, "medium": behaviour.medium}
    if name not in policies:
        raise unknown("policy", name, [*policies, "random"])
    return linear_factory(policies[name])


def describe(
    episodes: Episodes, env_id: str, seed: int, reference_min: float | None, reference_max: float | None
) -> dict[str, str | int | float]:
    """Attributes of a collected dataset: environment, versions, seed, returns and score.

    Args:
        episodes: the data.
        env_id: gymnasium id.
        seed: the seed of the collection.
        reference_min: return that scores 0; None if undefined.
        reference_max: return that scores 1.

    Raises:
        SeqrlError: the environment does not exist.
    """
    returns = episodes.returns
    attributes: dict[str, str | int | float] = {
        "env_id": env_id,
        "seed": seed,
        "transitions": episodes.transitions,
        "episodes": len(episodes),
        "mean_length": float(episodes.lengths.mean()),
        "mean_return": float(returns.mean()),
        "mean_return_standard_error": float(returns.std() / np.sqrt(len(returns))),
        "mujoco_version": version("mujoco"),
        "gymnasium_version": version("gymnasium"),
    }
    if (limit := known_step_limit(env_id)) is not None:
        attributes["max_episode_steps"] = limit
    if reference_min is not None and reference_max is not None:
        score = normalized_score(float(returns.mean()), reference_min, reference_max)
        attributes |= {"reference_min": reference_min, "reference_max": reference_max, "normalized_score": score}
    return attributes


def _parts(behaviour: Behaviour, quality: str) -> list[Part]:
    medium, expert = linear_factory(behaviour.medium), linear_factory(behaviour.expert)
    if quality == "random":
        return [Part(uniform_factory(behaviour.env_id), 1.0)]
    if quality == "medium":
        return [Part(medium, 1.0)]
    if quality == "expert":
        return [Part(expert, 1.0)]
    if quality == "medium-expert":
        return [Part(medium, 0.5), Part(expert, 0.5)]
    assert quality == "medium-replay"
    return [Part(linear_factory(policy), 1 / len(behaviour.replay)) for policy in behaviour.replay]


def _policy_text(behaviour: Behaviour, quality: str) -> str:
    """A description such as ``medium: search iterate 92, noise 0.3``."""
    if quality == "random":
        return "uniform random actions"
    if quality == "medium-replay":
        iterations = ", ".join(str(iteration) for iteration in behaviour.iterations["replay"])
        return f"search iterates {iterations}, noise {behaviour.replay[0].noise_std}"
    named = {"medium": behaviour.medium, "expert": behaviour.expert}
    return "; ".join(
        f"{name}: search iterate {behaviour.iterations[name]}, noise {named[name].noise_std}"
        for name in quality.split("-")
    )
