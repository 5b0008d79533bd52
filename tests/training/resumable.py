"""Train a tiny model in a process that kills itself: ``… -m tests.training.resumable FOLDER THREADS MOMENT N ARCH``.

It dies after its N-th ``update``, or at the N-th ``write``: the opening of a temporary file to be written or synced.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

import torch

from seqrl_cli.tracking.sinks import JsonlSink
from seqrl_cli.training.loop import FitOutcome, fit
from seqrl_cli.training.policy_trainer import PolicyTrainer
from tests.training.fixtures import (
    pattern_windows,
    policy_windows,
    tiny_gpt,
    tiny_policy,
    tiny_policy_settings,
    tiny_settings,
)

UPDATES = 23


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_write(number: int) -> None:
    writes = count(1)

    def notice(event: str, arguments: tuple) -> None:
        if event == "open" and ".tmp" in str(arguments[0]) and next(writes) == number:
            die()

    sys.addaudithook(notice)


def train(folder: Path, die_after: int | None = None, arch: str = "gpt", **callbacks: Any) -> FitOutcome:
    """A run of ``UPDATES``, or what is left of one."""
    folder.mkdir(parents=True, exist_ok=True)
    updates = count(1)

    def after_update(step: int, total: int) -> None:
        if next(updates) == die_after:
            die()

    sinks = [JsonlSink(folder / "metrics.jsonl")]
    kept = {"checkpoints": folder / "checkpoints", "sinks": sinks, "on_progress": after_update}
    if arch == "gpt":
        data = pattern_windows(), pattern_windows(episodes=2, length=9)
        return fit(tiny_gpt(), *data, tiny_settings(UPDATES), **{**kept, **callbacks})
    policy, data = tiny_policy(arch), (policy_windows(), policy_windows(seed=1))
    return fit(policy, *data, tiny_policy_settings(UPDATES), trainer=PolicyTrainer, **{**kept, **callbacks})


if __name__ == "__main__":
    folder, threads, moment, number, arch = sys.argv[1:]
    torch.set_num_threads(int(threads))
    if moment == "write":
        die_at_write(int(number))
    train(Path(folder), die_after=int(number) if moment == "update" else None, arch=arch)
