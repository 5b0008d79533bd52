"""Runs pushed to a URL and pulled from it, and what a run's training leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from seqrl_cli.console import Console
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoints import Checkpoint, write_checkpoint
from seqrl_cli.workflows.exchange import pull, push

RUN = "d/r"


def train(run: Path, step: int) -> None:
    """What an update of a run leaves: a checkpoint and a line of the log; it keeps two checkpoints."""
    weights = {"weight": torch.full((3,), float(step))}
    write_checkpoint(
        run / "checkpoints", Checkpoint(step, weights, {"weight.step": torch.tensor(float(step))}, {}), keep=2
    )
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "loss": 1.0}) + "\n")


def pushed(store: RunStore, url: str, *runs: str) -> push.PushReport:
    request = push.PushRequest(store, runs or (RUN,), url, wait=lambda seconds: None)
    return push.run(request, Console(quiet=True))


def pulled(root: Path, url: str, *runs: str, force: bool = False, data: bool = True) -> pull.PullReport:
    return pull.run(pull.PullRequest(RunStore(root), runs, url, data, force), Console(quiet=True))


class Emitted(Console):
    """A console that remembers what ``--json`` would print."""

    def emit(self, value: Any) -> None:
        self.payload = value


def would_pull(root: Path, url: str, **options: bool) -> list[str]:
    console = Emitted(quiet=True)
    pull.dry_run(pull.PullRequest(RunStore(root), (), url, **options), console)
    return list(console.payload["folders"])


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a run or dataset but locks."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
