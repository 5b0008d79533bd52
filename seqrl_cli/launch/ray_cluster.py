"""Tasks on a Ray cluster. Only Ray Core is used: it places tasks, notices deaths, and runs a dead task again."""

from __future__ import annotations

import logging
import os
import socket
import sys
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqrl_cli.config.extras import require_extra
from seqrl_cli.errors import SeqrlError
from seqrl_cli.launch.task import Ended, Task, died, run_task

LOCAL = "local"
_STORE_BYTES = 80 * 2**20  # tasks hand over nothing but an exit code
_CONNECT_SECONDS = 5.0
_MAX_PER_NODE = 1024


class MemberDied(Exception):  # noqa: N818
    """A command ended by a signal, so that Ray runs its task again."""


class RayLauncher:
    """Runs each task as one Ray task.

    Args:
        address: ``HOST:PORT`` of the cluster's head, ``auto`` or None for the one that this machine belongs to, or
            ``local`` for one of this machine alone, which ends with the launcher.
        cpus: cores of a task.
        gpus: GPUs of a task.
        retries: the most times that a task that dies is run again, also on another node.

    Raises:
        SeqrlError: Ray is not installed, no cluster answers, or none of its nodes has that many cores or GPUs.
    """

    def __init__(self, address: str | None, *, cpus: int, gpus: float, retries: int) -> None:
        self._ray = require_extra("ray", "ray", "--on ray")
        self._retries = retries
        connect(self._ray, address or "auto")
        try:
            self.slots = check_resources(self._ray.nodes(), cpus, gpus)
        except SeqrlError:
            self._ray.shutdown()
            raise
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": retries, "retry_exceptions": [MemberDied]}
        self._remote = self._ray.remote(**options)(_run)
        self._running: dict[Any, Task] = {}
        self._redirection = ExitStack()

    def start(self, task: Task) -> None:
        """See :class:`~seqrl_cli.launch.launcher.Launcher`."""
        self._running[self._remote.remote(task, os.getcwd())] = task

    def wait(self, seconds: float | None = None) -> list[Ended]:
        """See :class:`~seqrl_cli.launch.launcher.Launcher`."""
        if not self._running:
            return []
        ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [self._ended(reference) for reference in ended]

    def stop(self, task: Task) -> None:
        """See :class:`~seqrl_cli.launch.launcher.Launcher`."""
        for reference, known in self._running.items():
            if known == task:
                self._ray.cancel(reference, force=False, recursive=False)

    def __enter__(self) -> RayLauncher:
        # Ray prints what happens to its workers to stdout, which belongs to the command's result.
        self._redirection.enter_context(redirect_stdout(sys.stderr))
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the cluster, which ends what this launcher started there; the commands save first."""
        with self._redirection:
            self._ray.shutdown()

    def _ended(self, reference: Any) -> Ended:
        task = self._running.pop(reference)
        exceptions = self._ray.exceptions
        try:
            ended: Ended = self._ray.get(reference)
            return ended
        except exceptions.TaskCancelledError:
            return Ended(task, 130)
        except exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            text = str(cause) if isinstance(cause, MemberDied) else type(error).__name__
            return Ended(task, 1, self._retries + 1, f"{text}, {self._retries + 1} times")


def _run(task: Task, folder: str) -> Ended:
    """Runs on a node: the commands of a task, from the folder in which the sweep was started, if it is there too."""
    if Path(folder).is_dir():
        os.chdir(folder)
    try:
        ended = run_task(task)
    except KeyboardInterrupt:  # Ray cancelled it
        return Ended(task, 130)
    if died(ended.code):
        raise MemberDied(ended.reason)
    return replace(ended, error=f"{ended.error} (on {socket.gethostname()})") if ended.error else ended


def connect(ray: Any, address: str) -> None:
    """Join a cluster, or start one of this machine.

    Raises:
        SeqrlError: no cluster answers.
    """
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        try:
            ray.init(address=LOCAL, include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)
        except Exception as error:  # Ray raises no other class if its processes are too slow
            message = f"Ray cannot start on this machine: {str(error).splitlines()[0]:.200}"
            raise SeqrlError(message, "leave out --on ray: this machine needs no Ray for itself") from error
        return
    hint = "start one with `ray start --head`, or name one: --address HOST:6379"
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        except OSError as error:
            raise SeqrlError(f"no Ray cluster answers at {address}: {error.strerror or error}", hint) from error
    try:
        ray.init(address=address, **quiet)
    except Exception as error:  # of any class: ConnectionError, RuntimeError, ValueError, and Exception itself
        raise SeqrlError(f"no Ray cluster answers at {address}: {str(error).splitlines()[0]:.200}", hint) from error


def check_resources(nodes: list[dict[str, Any]], cpus: int, gpus: float) -> int:
    """Tasks that a cluster runs at once, where Ray would wait forever for a node that is large enough.

    Raises:
        SeqrlError: no node is.
    """
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    slots = sum(_slots(own, cpus, gpus) for own in resources)
    if slots:
        return slots
    asked = f"{cpus} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
    has = "; ".join(f"{own.get('CPU', 0):g} CPUs, {own.get('GPU', 0):g} GPUs" for own in resources)
    raise SeqrlError(f"no node of the Ray cluster has {asked}: they have {has}", "ask for less: --cpus, --gpus")


def _slots(own: dict[str, float], cpus: int, gpus: float) -> int:
    """Tasks of this size that a node runs at once."""
    by_gpu = [own.get("GPU", 0) / gpus] if gpus else []
    return int(min(own.get("CPU", 0) / cpus, *by_gpu, _MAX_PER_NODE))
