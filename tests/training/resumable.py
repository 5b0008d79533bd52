"""Train the tiny model in a process that kills itself: ``python -m tests.training.resumable FOLDER THREADS MOMENT N``.

It dies after its N-th ``update``, or at the N-th ``write``: the opening of a temporary file to be written or synced.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path

import torch

from seqrl_cli.training.loop import Outcome, fit
from tests.training.fixtures import pattern_windows, tiny_gpt, tiny_settings

UPDATES = 23


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_write(number: int) -> None:
    writes = count(1)

    def notice(event: str, arguments: tuple) -> None:
        if event == "open" and ".tmp" in str(arguments[0]) and next(writes) == number:
            die()

    sys.addaudithook(notice)


def train(folder: Path, die_after: int | None = None) -> Outcome:
    updates = count(1)

    def after_update(step: int, total: int) -> None:
        if next(updates) == die_after:
            die()

    return fit(
        tiny_gpt(),
        pattern_windows(),
        pattern_windows(episodes=2, length=9),
        tiny_settings(UPDATES),
        checkpoints=folder / "checkpoints",
        metrics=folder / "metrics.jsonl",
        on_progress=after_update,
    )


if __name__ == "__main__":
    folder, threads, moment, number = sys.argv[1:]
    torch.set_num_threads(int(threads))
    if moment == "write":
        die_at_write(int(number))
    train(Path(folder), die_after=int(number) if moment == "update" else None)
