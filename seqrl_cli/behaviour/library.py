"""The shipped policies: one YAML file per environment family in ``presets/behaviour``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.behaviour.policies import LinearPolicy
from seqrl_cli.config.resources import presets_folder
from seqrl_cli.errors import unknown
from seqrl_cli.files.atomic import write_text_atomic
from seqrl_cli.files.yaml_text import dump_yaml, read_package_yaml


@dataclass(frozen=True)
class Behaviour:
    """The policies of one family and the datasets that they generate.

    Attributes:
        family: name of the family, for example ``hopper``.
        env_id: gymnasium id of the environment, for example ``Hopper-v4``.
        search: settings, seed and steps of the search that found the policies.
        expert: the best iterate.
        medium: an iterate that earns a third to a half of the expert's return.
        replay: iterates from the start of the search up to ``medium``.
        iterations: the numbers of these iterates; keys ``expert``, ``medium`` (int) and ``replay`` (list).
        datasets: the default ``transitions`` of each quality, and the measurements on the default dataset.
    """

    family: str
    env_id: str
    search: Mapping[str, Any]
    expert: LinearPolicy
    medium: LinearPolicy
    replay: tuple[LinearPolicy, ...]
    iterations: Mapping[str, Any]
    datasets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def list_families(folder: Path | None = None) -> list[str]:
    """Families with shipped policies; ``folder`` replaces ``presets/behaviour``."""
    return sorted(path.stem for path in _folder(folder).glob("*.yaml"))


def load_behaviour(family: str, folder: Path | None = None) -> Behaviour:
    """Read the policies of one family.

    Raises:
        UsageError: there are no policies for this family.
    """
    families = list_families(folder)
    if family not in families:
        raise unknown("environment family", family, families)
    content = read_package_yaml(_folder(folder) / f"{family}.yaml")
    replay = [{"noise_std": content["replay"]["noise_std"], **row} for row in content["replay"]["iterates"]]
    return Behaviour(
        family=family,
        env_id=content["env_id"],
        search=content["search"],
        expert=_read_policy(content["expert"]),
        medium=_read_policy(content["medium"]),
        replay=tuple(_read_policy(row) for row in replay),
        iterations={
            "expert": content["expert"]["iteration"],
            "medium": content["medium"]["iteration"],
            "replay": [row["iteration"] for row in replay],
        },
        datasets=content["datasets"],
    )


def save_behaviour(behaviour: Behaviour, folder: Path | None = None) -> Path:
    """Write the policies of one family; returns the path of the file."""
    iterations = behaviour.iterations
    replay = zip(iterations["replay"], behaviour.replay, strict=True)
    sections = {
        "env_id": behaviour.env_id,
        "search": dict(behaviour.search),
        "datasets": {quality: dict(facts) for quality, facts in behaviour.datasets.items()},
        "expert": _policy_section(iterations["expert"], behaviour.expert),
        "medium": _policy_section(iterations["medium"], behaviour.medium),
        "replay": {
            "noise_std": behaviour.replay[0].noise_std,
            "iterates": [_policy_section(iteration, policy, with_noise=False) for iteration, policy in replay],
        },
    }
    path = _folder(folder) / f"{behaviour.family}.yaml"
    text = dump_yaml(sections, default_flow_style=None, allow_unicode=False, width=118)
    write_text_atomic(path, _HEADER + text)
    return path


def rounded(policy: LinearPolicy) -> LinearPolicy:
    """The policy rounded to six significant digits, as in its file."""
    return replace(policy, weight=_round(policy.weight), bias=_round(policy.bias))


_HEADER = """\
# Linear policies, action = clip(weight @ observation + bias + noise_std * N(0, 1), -1, 1), and the datasets they make.
# Written by `python -m tests.campaigns.behaviour_search select`; scores are D4RL's normalized score times 100.
"""


def _folder(folder: Path | None) -> Path:
    return folder or presets_folder() / "behaviour"


def _round(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{value:.6g}") for value in values.flat]).reshape(values.shape)


def _read_policy(section: Mapping[str, Any]) -> LinearPolicy:
    weight = np.array(section["weight"], dtype=np.float64)
    bias = np.array(section["bias"], dtype=np.float64)
    assert weight.ndim == 2 and bias.shape == weight.shape[:1]
    return LinearPolicy(weight, bias, float(section["noise_std"]))


def _policy_section(iteration: int, policy: LinearPolicy, with_noise: bool = True) -> dict[str, Any]:
    noise = {"noise_std": policy.noise_std} if with_noise else {}
    return {"iteration": iteration, **noise, "bias": policy.bias.tolist(), "weight": policy.weight.tolist()}
