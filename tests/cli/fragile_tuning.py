"""Online fine-tuning in the fragile environment, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqrl_cli.tracking.metrics import read_online_lines
from tests.cli.conftest import TINY_ODT, TINY_TUNE, succeed
from tests.cli.weights import same_weights
from tests.envs.fragile import FRAGILE

TUNE = ("finetune-online", "odt-s42", *TINY_TUNE, "--envs", "3", f"data.env_id={FRAGILE}")


def make_fragile_runs(runs: Path) -> None:
    """A dataset of the fragile environment, an odt, and the same fine-tuned without any mischief: ``whole``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRAGILE", str(runs.parent))
        succeed(runs, "collect", FRAGILE, "--policy", "random", "-n", 300, "--name", "fragile", "--workers", 1)
        succeed(runs, "train", "fragile", *TINY_ODT)
        succeed(runs, *TUNE, "--name", "whole")


def tuned(runs: Path, name: str = "odt-s42-online") -> Path:
    return runs / "fragile" / name


def metrics(run: Path) -> list[dict]:
    return [{**line.as_dict(), "elapsed": 0.0} for line in read_online_lines(run / "metrics.jsonl")]


def assert_whole(runs: Path) -> None:
    """The run has the metrics, the buffer and the weights of the one that had no mischief."""
    one, other = tuned(runs), tuned(runs, "whole")
    assert metrics(one) == metrics(other) and same_weights(one, other)
    assert buffer_of(one) == buffer_of(other)


def buffer_of(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "buffer").iterdir()}
