"""The domains of many tasks: which tasks they have, and what is known about these without their packages.

Facts are in ``presets/domains/*.yaml``, one file per domain. A task has one name in its environment and in datasets:
``hammer`` is played in ``metaworld/hammer-v3``, and ``sim/metaworld/hammer`` is a dataset of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from seqrl_cli.config.resources import presets_folder, read_package_mapping
from seqrl_cli.errors import unknown

if TYPE_CHECKING:
    from seqrl_cli.data.spaces import Spaces

NAMES = ("metaworld", "dmc", "atari", "procgen")


@dataclass(frozen=True)
class Task:
    """One task of a domain.

    Attributes:
        domain: name of its domain, for example ``metaworld``.
        name: name of the task, for example ``hammer``.
        env_id: gymnasium id of its environment, for example ``metaworld/hammer-v3``.
        arguments: arguments of the environment's constructor, by name.
        shape: shape of an observation; more than one axis means an image.
        action_dim: numbers per action, between -1 and 1; None if actions are discrete.
        choices: number of discrete actions; None if they are continuous.
        episode_steps: most steps of an episode.
        transitions: usual size of a simulated dataset.
        references: returns that score 0 and 100; None if its domain counts successes instead, or if they are unknown.
        random_return: mean return of a random policy; None if its domain counts successes instead, or if it is unknown.
        paper_target: the return that a paper asks a model for; None if none does.
    """

    domain: str
    name: str
    env_id: str
    arguments: Mapping[str, str]
    shape: tuple[int, ...]
    action_dim: int | None
    choices: int | None
    episode_steps: int
    transitions: int
    references: tuple[float, float] | None = None
    random_return: float | None = None
    paper_target: float | None = None

    @property
    def body(self) -> str:
        """What its observations are standardized with: tasks of one body observe the same numbers in the same places.

        All tasks of Meta-World have one arm and table; those of the Control Suite have the robot of their name.
        """
        return f"dmc-{self.name.partition('-')[0]}" if self.domain == "dmc" else self.domain

    @property
    def spaces(self) -> Spaces:
        """What it observes and which actions it takes."""
        # Shell completion lists tasks through this module and must not wait for NumPy.
        from seqrl_cli.data.space import BoxSpace, DiscreteSpace
        from seqrl_cli.data.spaces import Spaces

        is_image = len(self.shape) > 1
        observation = BoxSpace.bounded(self.shape, "uint8", 0, 255) if is_image else BoxSpace(self.shape)
        if self.choices is not None:
            return Spaces(observation, DiscreteSpace(self.choices))
        return Spaces(observation, BoxSpace.bounded((self.action_dim or 0,), "float32", -1.0, 1.0))


@dataclass(frozen=True)
class Domain:
    """A set of tasks with one kind of observation.

    Attributes:
        name: name of the domain, for example ``metaworld``.
        extra: the extra that installs its package.
        entry: environment of the domain below ``seqrl_cli.envs.domains``, as ``module:class``.
        tasks: the tasks, by name.
        scale: meaning of its scores; None if it counts successes instead.
        scaled_by_data: whether the mean return of a run's own data scores 100.
    """

    name: str
    extra: str
    entry: str
    tasks: Mapping[str, Task]
    scale: str | None = None
    scaled_by_data: bool = False

    def task(self, name: str) -> Task:
        """A task by name.

        Raises:
            UsageError: the domain has no such task.
        """
        if name not in self.tasks:
            raise unknown(f"task of {self.name}", name, self.tasks, f"seqrl download --list {self.name}")
        return self.tasks[name]


@cache
def domains() -> dict[str, Domain]:
    """The domains by name."""
    return {name: _domain(name, read_package_mapping(presets_folder() / "domains" / f"{name}.yaml")) for name in NAMES}


@cache
def tasks_by_environment() -> dict[str, Task]:
    """All tasks by the gymnasium id of their environment."""
    return {task.env_id: task for domain in domains().values() for task in domain.tasks.values()}


def task_of(env_id: object) -> Task | None:
    """The task that is played in an environment; None if it belongs to no domain."""
    return tasks_by_environment().get(env_id) if isinstance(env_id, str) else None


def domain_of(env_id: str) -> Domain | None:
    """The domain that an environment belongs to, if any."""
    task = task_of(env_id)
    return domains()[task.domain] if task else None


def is_scaled_by_data(env_id: object) -> bool:
    """Whether the mean return of the data scores 100 in an environment."""
    task = task_of(env_id)
    return task is not None and domains()[task.domain].scaled_by_data


def _domain(name: str, facts: Mapping[str, Any]) -> Domain:
    listed = facts["tasks"]
    about = listed if isinstance(listed, dict) else dict.fromkeys(listed, {})
    tasks = {task: _task(name, task, {**facts, **own}) for task, own in about.items()}
    return Domain(name, facts["extra"], facts["entry"], tasks, facts.get("scale"), facts.get("scaled_by_data", False))


def _task(domain: str, name: str, facts: Mapping[str, Any]) -> Task:
    camel_case = "".join(part.capitalize() for part in name.split("_"))
    scores = facts.get("scores")
    random = scores[0] if scores and facts.get("zero_is_random", True) else facts.get("random")
    target = facts.get("paper_targets", {}).get(name)
    return Task(
        domain,
        name,
        facts["environment"].format(task=name, Task=camel_case),
        {key: text.format(task=name) for key, text in facts["arguments"].items()},
        tuple(facts["observation"]),
        facts.get("action"),
        facts.get("actions"),
        facts["steps"],
        facts["transitions"],
        (float(scores[0]), float(scores[1])) if scores else None,
        None if random is None else float(random),
        None if target is None else float(target),
    )
