"""Steps per second of collection: ``python -m tests.benchmarks.collection --help``.

One process, the shipped medium policies, whole path from simulator to float32 arrays. ``per_core`` divides by the
processor time that this process got and so holds on a busy machine too; ``wall`` divides by the clock. ``bare`` is the
simulator stepped in an empty loop with the same actions: what collection could reach at most.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from seqrl_cli.behaviour.collect import Part, collect, worker_env
from seqrl_cli.behaviour.library import list_families, load_behaviour
from seqrl_cli.behaviour.policies import linear_factory


def measure(family: str, transitions: int, rounds: int) -> dict[str, float]:
    """Steps per second of one family, the best of several rounds."""
    behaviour = load_behaviour(family)
    parts = [Part(linear_factory(behaviour.medium), 1.0)]
    episodes = collect(behaviour.env_id, parts, transitions, 0, workers=1)
    env = worker_env(behaviour.env_id).unwrapped
    actions = episodes.actions.astype(float)

    def bare() -> None:
        for episode in range(len(episodes)):
            env.reset(seed=episode)
            for action in actions[episodes.offsets[episode] : episodes.offsets[episode + 1]]:
                env.step(action)

    def collecting() -> None:
        collect(behaviour.env_id, parts, transitions, 0, workers=1)

    found = [(*_seconds(collecting), *_seconds(bare)) for _ in range(rounds)]
    wall, per_core, _, bare_per_core = (round(transitions / min(column)) for column in zip(*found, strict=True))
    return {"wall": wall, "per_core": per_core, "bare_per_core": bare_per_core}


def _seconds(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock and of processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Measure every family and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--transitions", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    results = {family: measure(family, arguments.transitions, arguments.rounds) for family in list_families()}
    if arguments.json:
        print(json.dumps({"unit": "steps per second", "transitions": arguments.transitions, **results}))
        return
    for family, rates in results.items():
        print(f"{family:12}", *(f"{name} {rate:>7,}" for name, rate in rates.items()), "steps per second", sep="  ")


if __name__ == "__main__":
    main()
