"""Windows per second for a model of many tasks, from memory and from the disk: ``python -m tests.benchmarks.windows``.

Tasks of Meta-World's sizes are written to a folder. Each way of reading them is measured in a process of its own, whose
peak memory is stated. *Cold* means that the system has forgotten the files before each update. *Waits* is how long an
update waits for its windows while a model would compute for 50 ms in between.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import read_d4rl, write_d4rl
from seqrl_cli.data.task_data import TaskData
from seqrl_cli.data.task_sampler import SamplingRules, TaskSampler
from seqrl_cli.files.mapped import PageLimit, release

OBSERVATION_DIM, ACTION_DIM, STEPS, CONTEXT, BATCH = 39, 4, 200, 5, 256
PAGES, MODEL_SECONDS = 64 * 2**20, 0.05
WAYS = ("memory", "disk, warm", "disk, cold")


def write_task(path: Path, transitions: int, seed: int) -> None:
    """A file with as many numbers as a task of Meta-World has."""
    rng = np.random.default_rng(seed)
    ends = np.arange(1, transitions + 1) % STEPS == 0
    observations = rng.random((transitions, OBSERVATION_DIM), np.float32)
    actions = rng.random((transitions, ACTION_DIM), np.float32)
    write_d4rl(path, Episodes.from_flags(observations, actions, rng.random(transitions), ends & False, ends), {})


def open_task(path: Path, pages: PageLimit | None) -> TaskData:
    """A task in memory, or on the disk if there is a limit for its pages."""
    episodes = read_d4rl(path, mapped=pages is not None)
    task = TaskData.of(path.stem, "metaworld/hammer-v3", episodes, (-np.ones(ACTION_DIM), np.ones(ACTION_DIM)))
    if pages is not None:
        pages.watch(episodes.observations, episodes.actions)
    return replace(task, pages=pages)


def forget(paths: list[Path], tasks: list[TaskData]) -> None:
    """Let the system drop the files from its cache."""
    for task in tasks:
        release(task.stored.observations)
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def seconds(updates: int, draw: Callable[[], object], before: Callable[[], object], pause: float = 0.0) -> float:
    """Mean seconds of a draw; ``before`` and the pause, which precede each, do not count."""
    spent = 0.0
    for _ in range(updates):
        before()
        time.sleep(pause)
        start = time.perf_counter()
        draw()
        spent += time.perf_counter() - start
    return spent / updates


def peak() -> int:
    """The most memory that the process ever had, with the pages of mapped files, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def measure(way: str, paths: list[Path], updates: int) -> dict[str, Any]:
    """Rate, waiting and memory of one way of reading the files."""
    empty = peak()
    pages = PageLimit(PAGES) if way != "memory" else None
    tasks = [open_task(path, pages) for path in paths]
    sampler = TaskSampler(tasks, CONTEXT, SamplingRules(), np.random.default_rng(0))

    def draw() -> object:
        return sampler.next_batches(BATCH)

    def prepare() -> None:
        if way == "disk, cold":
            forget(paths, tasks)

    def prepare_and_ask() -> None:
        prepare()
        draw()  # asks for the windows of the next one, which the disk reads during the pause

    draw()
    rate = BATCH / seconds(updates, draw, prepare)
    wait = seconds(min(updates, 40), draw, prepare_and_ask, MODEL_SECONDS)
    return {
        "from": way,
        "windows_per_second": round(rate),
        "wait_ms": round(1000 * wait, 2),
        "peak_mb": round((peak() - empty) / 1e6),
        "data_mb": round(sum(path.stat().st_size for path in paths) / 1e6),
    }


def measured_apart(way: str, paths: list[Path], updates: int) -> dict[str, Any]:
    """What :func:`measure` returns, measured in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (way, paths, updates))


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--transitions", type=int, default=2_000_000, help="of each task")
    parser.add_argument("--updates", type=int, default=200, help=f"of {BATCH} windows of {CONTEXT} steps")
    parser.add_argument("--folder", type=Path, help="where to write the files for the time of the measurement")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        paths = [Path(folder) / f"{number}.h5" for number in range(options.tasks)]
        for number, path in enumerate(paths):
            write_task(path, options.transitions, number)
        rows = [measured_apart(way, paths, options.updates) for way in WAYS]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{options.tasks} tasks of {options.transitions:,} steps, {rows[0]['data_mb']:,} MB")
    print(f"{'from':12}  windows/s  wait of an update  peak memory of the data")
    for row in rows:
        rate, wait, most = row["windows_per_second"], row["wait_ms"], row["peak_mb"]
        print(f"{row['from']:12}  {rate:>9,}  {wait:>14.2f} ms  {most:>20,} MB")


if __name__ == "__main__":
    main()
