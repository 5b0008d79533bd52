"""A tiny sweep that takes a while, its bits, and the processes behind its members."""

from __future__ import annotations

import hashlib
from pathlib import Path

import psutil

from tests.cli.conftest import TINY_TRAIN, succeed

LONG = (*TINY_TRAIN, "train.updates=300", "train.batch_size=16", "train.checkpoint_every=10", "train.log_every=50")
LONG = tuple(dict((word.partition("=")[0], word) for word in LONG).values())
DATASET = "sim/hopper-medium"


def make_serial(runs: Path, seeds: range, *prefix: str) -> None:
    """Train the members one after the other, as a sweep of this process would name them."""
    for seed in seeds:
        name = "-".join([*prefix, f"s{seed}"])
        succeed(runs, "train", DATASET, "--seed", seed, "--name", name, "--threads", 1, *LONG)


def hashes(runs: Path, names: list[str]) -> dict[str, str]:
    """The hash of the newest weights of each run."""
    found = {}
    for name in names:
        folder = runs / DATASET / name / "checkpoints"
        newest = folder / (folder / "last").read_text().strip()
        found[name] = hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()
    return found


def trainings(runs: Path) -> dict[str, psutil.Process]:
    """The processes that train below a run directory now, by the run's name."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "seqrl_cli.launch.tied" in words and "train" in words and str(runs) in words:
            found[words[words.index("--name") + 1]] = process
    return found


def has_checkpoint(runs: Path, name: str) -> bool:
    """Whether a run has saved."""
    return (runs / DATASET / name / "checkpoints" / "last").exists()
