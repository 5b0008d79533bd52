"""Registers D4RL's environments as ``d4rl/…`` and those of the domains, and finds the extra that an environment needs.

Registering is cheap: the simulators are imported only when an environment is made.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from functools import cache
from typing import Any

import gymnasium

from seqrl_cli.config.extras import install_line, is_installed
from seqrl_cli.config.resources import presets_folder, read_package_mapping
from seqrl_cli.data.domains import domains, task_of
from seqrl_cli.errors import SeqrlError

# Prefixes of gymnasium-robotics' names.
_ROBOTICS = ("AntMaze_", "PointMaze_", "FrankaKitchen", "AdroitHand", "Fetch", "Hand")


@cache
def _environment_facts() -> dict[str, Any]:
    return read_package_mapping(presets_folder() / "datasets" / "environments.yaml")


def robotics_steps() -> dict[str, int]:
    """Step limits of gymnasium-robotics' environments in the catalogue, by id; the package need not be installed."""
    steps: dict[str, int] = _environment_facts()["robotics"]["steps"]
    return steps


def register_d4rl() -> None:
    """Register D4RL's environments with gymnasium; repeated calls are harmless."""
    facts = _environment_facts()
    for robot, name in facts["bullet"]["robots"].items():
        _register(f"bullet-{robot}-v0", "bullet:BulletEnv", facts["bullet"]["steps"], robot=name)
    for task, about in facts["adroit"]["tasks"].items():
        _register(f"{task}-v1", "robotics:AdroitEnv", about["steps"], base=about["base"])
    for name, tasks in facts["kitchen"]["tasks"].items():
        _register(f"{name}-v0", "robotics:KitchenEnv", facts["kitchen"]["steps"], tasks=tasks)
    for name, about in facts["antmaze"].items():
        _register(f"antmaze-{name}-v2", "mazes:AntMazeEnv", about["steps"], maze=about["maze"])
    for name, about in facts["maze2d"].items():
        for suffix in ("", "-dense"):
            _register(
                f"maze2d-{name}{suffix}-v1",
                "mazes:PointMazeEnv",
                about["steps"],
                maze=about["maze"],
                dense=bool(suffix),
            )


def register_domains() -> None:
    """Register the environments of all domains with gymnasium; repeated calls are harmless."""
    for domain in domains().values():
        for task in domain.tasks.values():
            _register_id(task.env_id, domain.entry, task.episode_steps, order_enforce=False, **task.arguments)


def _register(name: str, entry: str, steps: int, **kwargs: Any) -> None:
    _register_id(f"d4rl/{name}", entry, steps, **kwargs)


def _register_id(env_id: str, entry: str, steps: int, *, order_enforce: bool = True, **kwargs: Any) -> None:
    """Register an environment; without ``order_enforce`` each step is spared a wrapper that asks for a reset."""
    if env_id not in gymnasium.registry:
        gymnasium.register(
            env_id,
            f"seqrl_cli.envs.domains.{entry}",
            max_episode_steps=steps,
            disable_env_checker=True,
            order_enforce=order_enforce,
            kwargs=kwargs,
        )


def has_goals(env_id: str) -> bool:
    """Whether the goals of an environment are split into seen and held-out ones."""
    task = task_of(env_id)
    return task is not None and task.domain == "metaworld"


def needed_extra(env_id: str) -> str | None:
    """The extra that an environment needs; None for gymnasium's own."""
    if task := task_of(env_id):
        return domains()[task.domain].extra
    name = env_id.removeprefix("d4rl/")
    if name != env_id:
        return "bullet" if name.startswith("bullet-") else "robotics"
    return "robotics" if env_id.startswith(_ROBOTICS) else None


def require(env_id: str) -> None:
    """Check that the extra that an environment needs is installed, and register its environments with gymnasium.

    Raises:
        SeqrlError: the extra is not installed; the hint is the command that installs it.
    """
    extra = needed_extra(env_id)
    if extra is None:
        return
    if not is_installed(extra):
        raise SeqrlError(f"environment {env_id!r} needs the extra {extra}, which is not installed", install_line(extra))
    if extra == "robotics":
        with contextlib.redirect_stderr(io.StringIO()):  # it prints news about other environments
            gymnasium.register_envs(importlib.import_module("gymnasium_robotics"))
