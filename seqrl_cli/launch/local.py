"""Tasks as processes of this machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from seqrl_cli.launch.task import Ended, Stop, Task, run_task


class LocalLauncher:
    """Runs some tasks at a time, each in a thread that waits for its process.

    Args:
        jobs: tasks at a time.
        retries: the most times that a command that dies is started again.
        say: told when a command starts again.
    """

    def __init__(self, jobs: int, retries: int, say: Callable[[str], None] | None = None) -> None:
        self.slots = jobs
        self._pool = ThreadPoolExecutor(jobs)
        self._retries = retries
        self._say = say
        self._running: dict[Future[Ended], tuple[Task, Stop]] = {}

    def start(self, task: Task) -> None:
        """See :class:`~seqrl_cli.launch.launcher.Launcher`."""
        stop = Stop()
        self._running[self._pool.submit(run_task, task, self._retries, stop, self._say)] = (task, stop)

    def wait(self, seconds: float | None = None) -> list[Ended]:
        """See :class:`~seqrl_cli.launch.launcher.Launcher`."""
        if not self._running:
            return []
        ended = wait(self._running, seconds, FIRST_COMPLETED).done
        return [self._result(future) for future in ended]

    def _result(self, future: Future[Ended]) -> Ended:
        """How a task ended; also one that could not be run, so that the others that ended with it are not lost."""
        task, _ = self._running.pop(future)
        error = future.exception()
        return future.result() if error is None else Ended(task, 1, 0, str(error) or type(error).__name__)

    def stop(self, task: Task) -> None:
        """See :class:`~seqrl_cli.launch.launcher.Launcher`."""
        for known, stop in self._running.values():
            if known == task:
                stop()

    def __enter__(self) -> LocalLauncher:
        return self

    def __exit__(self, *error: object) -> None:
        """Stop what still runs, and wait until it has saved; Ctrl-C meanwhile ends it at once."""
        stops = [stop for _, stop in self._running.values()]
        for stop in stops:
            stop()
        try:
            self._pool.shutdown(wait=True, cancel_futures=True)
        except KeyboardInterrupt:
            for stop in stops:
                stop.kill()
            raise
