"""A map over the nodes of a Ray cluster: tasks of Ray Core, which keeps its processes from one task to the next."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from seqrl_cli.config.extras import require_extra
from seqrl_cli.launch.ordered_map import DeadWorkerError, Result, Task, outcome_of
from seqrl_cli.launch.ray_cluster import check_resources, connect

_RETRIES = 3
_BEAT = 0.5  # seconds between calls of ``on_wait``


class RayMap:
    """Gives all tasks to the cluster at once.

    A task needs one core. Ray runs it again, also on another node, if its process or its node dies.

    Args:
        ray: the package, connected to a cluster.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._remote = ray.remote(num_cpus=1, max_retries=_RETRIES)(_call)

    def __call__(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], /, on_wait: Callable[[], None] | None = None
    ) -> Iterator[Result]:
        """See :class:`~seqrl_cli.launch.ordered_map.OrderedMap`."""
        common = self._ray.put(function)  # each node fetches it once
        for reference in [self._remote.remote(common, task, os.getcwd()) for task in tasks]:
            while not self._ray.wait([reference], timeout=_BEAT)[0]:
                if on_wait:
                    on_wait()
            yield self._outcome(reference)()

    def _outcome(self, reference: Any) -> Callable[[], Any]:
        exceptions = self._ray.exceptions
        try:
            outcome: Callable[[], Any] = self._ray.get(reference)
            return outcome
        except exceptions.RayTaskError as error:  # it could not begin
            message = f"a node of the Ray cluster cannot take part: {str(error.cause).splitlines()[0]:.200}"
            raise DeadWorkerError(message, "every node needs the same version of seqrl and its packages") from error
        except exceptions.RayError as error:
            message = f"a process on the Ray cluster died {_RETRIES + 1} times in one task: {type(error).__name__}"
            raise DeadWorkerError(message, "the logs of Ray on its nodes say why") from error


@contextmanager
def ray_map(address: str | None) -> Iterator[tuple[RayMap, int]]:
    """A map over the nodes of a cluster, and the number of tasks that they run at once.

    Args:
        address: see :class:`~seqrl_cli.launch.ray_cluster.RayLauncher`.

    Raises:
        SeqrlError: Ray is not installed, or no cluster answers.
    """
    ray = require_extra("ray", "ray", "--on ray")
    with redirect_stdout(sys.stderr):  # Ray prints there what happens to its workers
        connect(ray, address or "auto")
        try:
            yield RayMap(ray), check_resources(ray.nodes(), cpus=1, gpus=0)
        finally:
            ray.shutdown()


def _call(function: Callable[[Any], Any], task: Any, folder: str) -> Callable[[], Any]:
    """Runs on a node, in the folder in which the command was started, if it is there too."""
    if Path(folder).is_dir():
        os.chdir(folder)
    return outcome_of(function, task)
