"""Environments that cannot be made: modules that are not found, and why gymnasium refuses, with what would work."""

from __future__ import annotations

import importlib
import warnings

import gymnasium
from gymnasium.error import DependencyNotInstalled, DeprecatedEnv, UnregisteredEnv
from gymnasium.error import Error as GymnasiumError

from seqrl_cli.data.domains import task_of
from seqrl_cli.envs.guard import EnvironmentFailedError, naming_failures
from seqrl_cli.errors import SeqrlError, nearest


def import_module_of(env_id: str) -> str:
    """Import the module that an id names, if it names one, and return the id without it.

    Raises:
        EnvironmentFailedError: the module raised something.
        SeqrlError: there is no such module.
    """
    module, colon, name = env_id.partition(":")
    if not colon:
        return env_id
    with naming_failures(env_id, f"when its module {module} was imported"):
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # another one, which the module itself imports
            message = f"there is no module {error.name!r}, which environment {env_id!r} names"
            hint = f"{error.name}.py must be in this folder, beside the data, or in a folder that PYTHONPATH names"
            raise SeqrlError(message, hint) from error
    return name


def explained(env_id: str, failure: EnvironmentFailedError) -> SeqrlError:
    """The error to raise in place of a failure to make an environment; the same one if the environment is at fault."""
    error = failure.__cause__
    if isinstance(error, DependencyNotInstalled) and "mujoco_py" not in str(error):  # a dead package
        return SeqrlError(f"environment {env_id!r} needs a package that is not installed", str(error))
    reason = str(error).split(". ")[0].rstrip(".")
    if isinstance(error, ImportError | DependencyNotInstalled):
        other = _other_version(env_id)
        hint = f"did you mean {other!r}?" if other else "install what it needs, or choose another environment"
        return SeqrlError(f"environment {env_id!r} cannot be made here: {reason}", hint)
    if isinstance(error, UnregisteredEnv | DeprecatedEnv) or type(error) is GymnasiumError:
        return SeqrlError(f"there is no environment {env_id!r} here: {reason}", suggestion(env_id))
    return failure


def may_exist(env_id: str) -> bool:
    """Whether an environment is registered, or may be once the module that its id names is imported."""
    names = {name for known in gymnasium.registry for name in (known, known.rpartition("-v")[0])}
    return ":" in env_id or env_id in names or task_of(env_id) is not None


def suggestion(env_id: str) -> str:
    """What an environment that does not exist may have been meant to be.

    That is the same environment in another version; else the nearest name, first among those of the id's module.
    """
    module, _, name = env_id.rpartition(":")
    own = [known for known in gymnasium.registry if module and _module_of(known) == module.partition(".")[0]]
    other = _other_version(name)
    close = (nearest(name, own) or (own[0] if own else None)) if module else None
    close = close or other or nearest(name, gymnasium.registry)
    if close is None:
        return "gymnasium ids look like 'Hopper-v4'."
    return f"did you mean {f'{module}:{close}' if close in own else close!r}?"


def _other_version(name: str) -> str | None:
    """Another version of an environment that can be made; version 4, today's of D4RL's MuJoCo ones, before others."""
    stem = name.rpartition("-v")[0]
    versions = [f"{stem}-v4", *(known for known in sorted(gymnasium.registry, reverse=True))]
    others = (known for known in versions if stem and known.rpartition("-v")[0] == stem and known != name)
    return next((known for known in others if _can_be_made(known)), None)


def _can_be_made(name: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gymnasium.make(name, disable_env_checker=True).close()
    except Exception:  # whatever it is, it is no advice
        return False
    return True


def _module_of(name: str) -> str:
    """The package that has a registered environment's code."""
    entry = gymnasium.registry[name].entry_point
    module = entry.partition(":")[0] if isinstance(entry, str) else getattr(entry, "__module__", "")
    return module.partition(".")[0]
