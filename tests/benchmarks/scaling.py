"""Tokens per second of training in one process and in several: ``python -m tests.benchmarks.scaling --help``.

A batch is the same for any number of processes. The share of communication is what an update takes longer than one that
does all but exchange gradients; rounds of both alternate, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from seqrl_cli.training.distributed import Ranks, joined
from seqrl_cli.training.placement import Placement
from seqrl_cli.training.world import ALONE, Measures, Pass, World, add, backpropagated
from tests.benchmarks.training import BLOCK_SIZE, make_trainer


class Silent(Ranks):
    """Computes its shard, and tells nobody."""

    def accumulate(self, passes: Callable[[int], Sequence[Pass]], names: Sequence[str]) -> Measures:
        assert self._wrapped is not None
        totals: Measures = {}
        for one in passes(self.placement.rank):
            with self._wrapped.no_sync():
                add(totals, backpropagated(self._wrapped(one)))
        return totals


def updates(world: World, batch_size: int, rounds: int) -> Callable[[], list[float]]:
    """A function that times some updates, after two that do not count."""
    trainer = make_trainer(batch_size, "float32", False, world)

    def timed(count: int = rounds) -> list[float]:
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            trainer.update()
            world.any(False)
            seconds.append(time.perf_counter() - start)
        return seconds

    timed(2)
    return timed


def measure(rank: int, size: int, batch_size: int, rounds: int, meeting: str) -> dict[str, float]:
    """Seconds per update in this process, with and without the exchange of gradients."""
    if size == 1:
        seconds = statistics.median(updates(ALONE, batch_size, rounds)())
        return {"processes": 1, "seconds": seconds, "communication": 0.0}
    placement = Placement(rank, size, rank, size, meeting)
    with joined(placement, torch.device("cpu")) as world:
        with_others, alone = updates(world, batch_size, 1), updates(Silent(placement), batch_size, 1)
        pairs = [(with_others()[0], alone()[0]) for _ in range(rounds)]
    seconds, silent = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"processes": size, "seconds": seconds, "communication": max(0.0, 1 - silent / seconds)}


def run(size: int, threads: int, batch_size: int, rounds: int) -> dict[str, float]:
    """Start the processes, and return what the first of them measured."""
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": "lo"}
        words = [sys.executable, "-m", "tests.benchmarks.scaling", "--child"]
        started = [
            subprocess.Popen(
                [*words, *map(str, (rank, size, batch_size, rounds)), meeting], env=environment, stdout=subprocess.PIPE
            )
            for rank in range(size)
        ]
        outputs = [one.communicate()[0] for one in started]
    assert not any(one.returncode for one in started)
    return json.loads(outputs[0])


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        rank, size, batch_size, rounds = map(int, sys.argv[2:6])
        print(json.dumps(measure(rank, size, batch_size, rounds, sys.argv[6])))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--batch-size", type=int, default=64, help="windows of all processes together")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [run(size, options.threads, options.batch_size, options.rounds) for size in options.processes]
    for row in rows:
        row["tokens_per_second"] = options.batch_size * BLOCK_SIZE / row["seconds"]
        row["speedup"] = rows[0]["seconds"] / row["seconds"]
    if options.json:
        print(json.dumps(rows))
        return
    print("processes  tokens/s  speed-up  communication")
    for row in rows:
        numbers = row["processes"], row["tokens_per_second"], row["speedup"], row["communication"]
        print("{:9.0f} {:9,.0f} {:9.2f} {:14.0%}".format(*numbers))


if __name__ == "__main__":
    main()
