"""Which longer runs are the shorter one that went on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seqrl_cli.config.presets import dump_config, resolve_config
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import RunConflictError, SeqrlError
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.workflows.train.resume import check_resumable
from tests.runs.records import make_run


def config(arch: str, more: dict[str, Any] | None = None, **train: Any) -> Config:
    keys = {"model.arch": arch, **{f"train.{key}": value for key, value in train.items()}, **(more or {})}
    return resolve_config("sim/hopper-medium", size="paper", preset="base", overrides=keys)


def goes_on(folder: Path, there: Config, asked: Config) -> bool:
    run = RunFolder(make_run(folder / "runs", "sim/hopper-medium", "run").parent)
    run.config.write_text(dump_config(there))
    data: Any = SimpleNamespace(fingerprint="0")  # as the record says
    return check_resumable(run, asked, data)[1]


def test_the_papers_schedule_has_no_end(tmp_path):
    short, long = config("gpt", n_epochs_ref=50), config("gpt", n_epochs_ref=60)
    assert goes_on(tmp_path, short, long) and not goes_on(tmp_path, short, short)
    with pytest.raises(SeqrlError, match="n_epochs_ref 60 .asked: 50"):
        goes_on(tmp_path, long, short)


def test_a_schedule_for_so_many_updates_has_one(tmp_path):
    short, long = config("retnet", updates=1200), config("retnet", updates=3000)
    with pytest.raises(SeqrlError, match="has a learning-rate schedule for 1,200 updates; 3,000 need a new run"):
        goes_on(tmp_path, short, long)
    with pytest.raises(SeqrlError, match="has train.updates null"):
        goes_on(tmp_path, config("retnet"), long)


def test_a_policy_learns_at_one_rate_or_on_a_line_to_zero(tmp_path):
    assert goes_on(tmp_path, config("dt", updates=1200), config("dt", updates=3000))
    falling = [config("dt", {"policy.curve": "linear"}, updates=updates) for updates in (1200, 3000)]
    with pytest.raises(SeqrlError, match="has a learning-rate schedule for 1,200 updates; 3,000 need a new run"):
        goes_on(tmp_path, *falling)
    with pytest.raises(SeqrlError, match="train.batch_size 64 .asked: 32., train.updates 1200"):
        goes_on(tmp_path, config("dt", updates=1200, batch_size=64), config("dt", updates=3000, batch_size=32))


def test_every_run_that_is_in_the_way_is_a_conflict(tmp_path):
    short, long = config("gpt", updates=1200), config("gpt", updates=3000)
    other = config("gpt", updates=1200, learning_rate=1e-3)
    for asked in (long, other):
        with pytest.raises(RunConflictError):
            goes_on(tmp_path, short, asked)
    run = RunFolder(make_run(tmp_path / "runs", "sim/hopper-medium", "run").parent)
    elsewhere: Any = SimpleNamespace(fingerprint="1")
    with pytest.raises(RunConflictError, match="was trained on other tokens"):
        check_resumable(run, short, elsewhere)


def test_a_run_may_go_on_with_other_bookkeeping(tmp_path):
    short = config("gpt", updates=1200)
    assert not goes_on(tmp_path, short, config("gpt", updates=1200, log_every=7, keep_checkpoints=9, compile=True))
