"""What an environment takes and returns, found out without risking this process.

Making an environment runs its code, which may crash as native code does, or never return. So third-party
environments are first made in a separate process.
"""

from __future__ import annotations

from contextlib import closing

import gymnasium

from seqrl_cli.data.space import DiscreteSpace
from seqrl_cli.data.spaces import Spaces, UnsupportedSpacesError
from seqrl_cli.envs.make import ACTIONS_HINT, OBSERVATIONS_HINT
from seqrl_cli.envs.registry import needed_extra
from seqrl_cli.envs.vector.backend import EnvLayout, EnvSpec
from seqrl_cli.envs.vector.in_process import InProcessBackend
from seqrl_cli.envs.vector.subprocess import EnvironmentDiedError, SubprocessBackend
from seqrl_cli.errors import SeqrlError

PROBE_SECONDS = 120.0  # to make an environment
_WAIT_HINT = "its module may wait for something: python -X faulthandler -c 'import MODULE' shows what"
_KNOWN = ("gymnasium.envs.", "seqrl_cli.envs.domains.")

_third_party_layouts: dict[str, EnvLayout] = {}


def is_third_party(env_id: str) -> bool:
    """Whether the code of an environment is neither gymnasium's nor of an extra, and has not run here before."""
    if needed_extra(env_id) is not None or has_run_here(env_id):
        return False
    known = gymnasium.registry.get(env_id.rpartition(":")[2])
    return known is None or not str(known.entry_point).startswith(_KNOWN)


def has_run_here(env_id: str) -> bool:
    """Whether an environment's code was loaded by this process, which registered its class."""
    known = gymnasium.registry.get(env_id.rpartition(":")[2])
    return known is not None and not isinstance(known.entry_point, str)


def layout_of(env_id: str) -> EnvLayout:
    """What an environment takes and returns.

    A third-party environment is made once per command, in a separate process.

    Raises:
        EnvironmentDiedError: its process died, or gave no answer in time.
        UnsupportedSpacesError: its observations or actions are neither boxes nor discrete.
        SeqrlError: there is no such environment, or it cannot be made.
    """
    if env_id in _third_party_layouts:
        return _third_party_layouts[env_id]
    spec = EnvSpec(env_id, 1)
    if not is_third_party(env_id):
        with closing(InProcessBackend(spec)) as backend:
            return backend.layout
    with closing(SubprocessBackend(spec, timeout=PROBE_SECONDS, wait_hint=_WAIT_HINT)) as backend:
        return _third_party_layouts.setdefault(env_id, backend.layout)


def clear_cache() -> None:
    """Forget what third-party environments take and return, because their code may have changed."""
    _third_party_layouts.clear()


def seen_step_limit(env_id: str) -> int | None:
    """The registered step limit of a third-party environment that was made before in another process; else None."""
    return _third_party_layouts[env_id].registered_steps if env_id in _third_party_layouts else None


def check_in_subprocess(env_id: str, render_mode: str | None = None) -> None:
    """Check that making a third-party environment does not end its process, before it is made in this one.

    Any other failure is left to whoever makes it.

    Raises:
        EnvironmentDiedError: its process died, or gave no answer in time.
    """
    if not is_third_party(env_id):
        return
    spec = EnvSpec(env_id, 1, render_mode=render_mode)
    try:
        SubprocessBackend(spec, timeout=PROBE_SECONDS, wait_hint=_WAIT_HINT).close()
    except EnvironmentDiedError:
        raise
    except SeqrlError:
        return


def recordable_spaces(env_id: str) -> Spaces:
    """The spaces of an environment whose episodes fit in a dataset file.

    Observations are vectors or images of bytes; actions are vectors or discrete.

    Raises:
        UnsupportedSpacesError: observations or actions are of another kind.
        SeqrlError: there is no such environment, or it cannot be made.
    """
    spaces = layout_of(env_id).spaces
    observation, action = spaces.observation, spaces.action
    action_fits = action.is_vector or isinstance(action, DiscreteSpace)
    if not (action_fits and (observation.is_vector or observation.is_image)):
        hint = OBSERVATIONS_HINT if action_fits else ACTIONS_HINT
        raise UnsupportedSpacesError(f"environment {env_id!r} has {spaces.text}, not vectors", hint)
    return spaces
