"""Seconds and memory of discretizing: ``python -m tests.benchmarks.discretize [--rows N] [--json]``.

The memory ratio is the peak of all Python and numpy allocations while a dataset file is read, tokenized and saved,
over the bytes of its raw arrays; it is taken in a run of its own, because tracing costs time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import read_d4rl, write_d4rl
from seqrl_cli.data.tokens import TokenizedDataset, tokenize
from seqrl_cli.data.tokens_file import save_tokens
from tests.reference import array_bytes

OBSERVATION_DIM, ACTION_DIM = 11, 3


def synthetic_episodes(rows: int, seed: int = 0) -> Episodes:
    """Hopper-sized transitions in episodes of about 200 steps, half of them ended by a terminal."""
    rng = np.random.default_rng(seed)
    ends = rng.random(rows) < 1 / 200
    fell = rng.random(rows) < 0.5
    return Episodes.from_flags(
        rng.standard_normal((rows, OBSERVATION_DIM), dtype=np.float32),
        rng.uniform(-1, 1, (rows, ACTION_DIM)),
        rng.standard_normal(rows, dtype=np.float32),
        ends & fell,
        ends & ~fell,
    )


def discretize(source: Path, target: Path) -> TokenizedDataset:
    """What the command does: read, tokenize, save."""
    dataset = tokenize(read_d4rl(source), dataset_id="benchmark", env_id=None)
    save_tokens(target, dataset)
    return dataset


def peak_bytes(work: Callable[[], object]) -> int:
    """Peak of traced allocations during ``work``."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def measure(rows: int) -> dict[str, float]:
    """Seconds of the whole chain and of tokenizing alone, and the peak memory ratio."""
    episodes = synthetic_episodes(rows)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "dataset.h5", Path(folder) / "tokens.h5"
        write_d4rl(source, episodes, {})
        started = time.perf_counter()
        discretize(source, target)
        total = time.perf_counter() - started
        started = time.perf_counter()
        tokenize(episodes, dataset_id="benchmark", env_id=None)
        alone = time.perf_counter() - started
        ratio = peak_bytes(lambda: discretize(source, target)) / array_bytes(episodes)
    return {
        "rows": rows,
        "dims": OBSERVATION_DIM + ACTION_DIM + 2,
        "seconds": round(total, 3),
        "seconds_tokenize": round(alone, 3),
        "raw_megabytes": round(array_bytes(episodes) / 1e6, 1),
        "memory_ratio": round(ratio, 2),
    }


def main() -> None:
    """Print one result, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measure(arguments.rows)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>18}  {value:>12,}")


if __name__ == "__main__":
    main()
