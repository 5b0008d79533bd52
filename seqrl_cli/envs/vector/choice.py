"""Where environments play: those that may end a whole process play in another one."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium

from seqrl_cli.data.domains import task_of
from seqrl_cli.envs.vector.backend import EnvBackend, EnvSpec
from seqrl_cli.envs.vector.in_process import InProcessBackend
from seqrl_cli.envs.vector.subprocess import SubprocessBackend

_PROVEN = ("gymnasium.envs.mujoco.", "gymnasium.envs.classic_control.")


def open_backend(spec: EnvSpec, on_warning: Callable[[str], None] | None, timeout: float) -> EnvBackend:
    """The environments of a plan: gymnasium's own and the domains' in this process, all others in one of their own.

    A second process takes seconds to start and 300 MB of memory, which a plan of fifty tasks would need fifty times.
    These environments neither hang nor end their process, so they do without. The results are the same.

    Args:
        spec: the environments to make.
        on_warning: called when a process dies and is started again.
        timeout: seconds to wait for an answer from another process.

    Raises:
        SeqrlError: the environments cannot be made.
    """
    return InProcessBackend(spec) if is_proven(spec.env_id) else SubprocessBackend(spec, on_warning, timeout)


def is_proven(env_id: str) -> bool:
    """Whether an environment is one of gymnasium's own or of a domain, which neither hang nor end their process."""
    known = gymnasium.registry.get(env_id)
    return task_of(env_id) is not None or (known is not None and str(known.entry_point).startswith(_PROVEN))
