"""Tasks as Slurm jobs of their own that this process waits for; for a search, which needs results to go on."""

from __future__ import annotations

import subprocess
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from seqrl_cli.launch.job_arrays import JobArray, require_scheduler, write_script
from seqrl_cli.launch.task import INTERRUPTED, Ended, Task

_SINGLE = "dependency=singleton"
"""A job waits for earlier jobs of the same name, so what a killed driver left running never runs twice at once."""


class SlurmLauncher:
    """Submits a job per task, and waits for it.

    Args:
        array: settings that the jobs share; each job gets its own name, script and index.
        jobs: tasks at a time.

    Raises:
        SeqrlError: there is no Slurm on this machine.
    """

    def __init__(self, array: JobArray, jobs: int) -> None:
        require_scheduler("slurm")
        self._array = array
        self.slots = jobs
        self._pool = ThreadPoolExecutor(jobs)
        self._running: dict[Future[Ended], Task] = {}
        self._jobs: dict[str, str] = {}
        self._stopped: set[str] = set()

    def start(self, task: Task) -> None:
        """See :class:`~seqrl_cli.launch.launcher.Launcher`."""
        self._running[self._pool.submit(self._run, task)] = task

    def wait(self, seconds: float | None = None) -> list[Ended]:
        """See :class:`~seqrl_cli.launch.launcher.Launcher`."""
        if not self._running:
            return []
        ended = wait(self._running, seconds, FIRST_COMPLETED).done
        for future in ended:
            del self._running[future]
        return [future.result() for future in ended]

    def stop(self, task: Task) -> None:
        """See :class:`~seqrl_cli.launch.launcher.Launcher`."""
        self._stopped.add(task.name)
        if job := self._jobs.get(task.name):
            _cancel(job)

    def __enter__(self) -> SlurmLauncher:
        return self

    def __exit__(self, *error: object) -> None:
        """Cancel the jobs that are left, which save first."""
        for task in self._running.values():
            self.stop(task)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, task: Task) -> Ended:
        assert task.index is not None
        own = replace(
            self._array,
            indices=[task.index],
            script=self._array.script.with_name(f"slurm-{task.index:03d}.sh"),
            job=f"{self._array.name}-{task.index:03d}",
            options=(*self._array.options, _SINGLE),
        )
        write_script(own)
        if task.name in self._stopped:
            return Ended(task, INTERRUPTED, 0)
        words = ["sbatch", "--parsable", "--wait", str(own.script)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stderr is not None
            self._jobs[task.name] = process.stdout.readline().strip().partition(";")[0]
            if task.name in self._stopped and self._jobs[task.name]:  # stopped before its job had a number
                _cancel(self._jobs[task.name])
            said = process.stderr.read().strip().splitlines()
            code = process.wait()
        if code and not self._jobs[task.name]:
            return Ended(task, 1, 1, f"sbatch refuses {own.script}: {said[-1] if said else code}")
        return Ended(
            task, INTERRUPTED if code > 128 else code, 1, f"see {own.logs}/slurm-{task.index}.log" if code else ""
        )


def _cancel(job: str) -> None:
    subprocess.run(["scancel", job], check=False)
