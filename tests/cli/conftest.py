"""A run directory with a tiny dataset, model and plan, made by the commands themselves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from seqrl_cli.cli.app import app

TINY_MODEL = ("model.n_layer=1", "model.n_head=2", "model.width=16", "model.sequence_length=4")
TINY_TRAIN = (
    *TINY_MODEL,
    "plan.max_context_transitions=3",
    "plan.horizon=2",
    "plan.beam_width=4",
    "plan.elites=1",
    "train.updates=4",
    "train.batch_size=8",
    "train.checkpoint_every=2",
    "train.log_every=1",
)
TINY_PLAN = (
    *("--horizon", "2", "--beam-width", "4", "--episodes", "2"),
    "plan.max_context_transitions=3",
    "plan.max_steps=6",
)

TINY_ODT = (
    *("--arch", "odt", "model.n_layer=1", "model.n_head=2", "model.width=16", "model.sequence_length=4"),
    *("train.updates=4", "train.batch_size=8", "train.checkpoint_every=2", "train.log_every=1"),
    *("policy.stochastic_tanh=false", "plan.max_context_transitions=3"),
)
TINY_TUNE = (
    *("--iterations", "6", "--envs", "2", "--updates", "3", "--threads", "1"),
    *("online.max_steps=12", "online.eval_every=3", "online.eval_episodes=2", "online.checkpoint_every=2"),
)

Seqrl = Callable[..., Result]


def invoke(runs: Path, *words: object) -> Result:
    """Run a command in this process with its run directory."""
    return CliRunner(env={"COLUMNS": "120", "SEQRL_RUNS": str(runs)}).invoke(app, [str(word) for word in words])


def succeed(runs: Path, *words: object) -> Result:
    """Run a command that must exit with 0."""
    result = invoke(runs, *words)
    assert result.exit_code == 0, f"{words}: {result.output}"
    return result


def assert_refused(result: Result, code: int, message: str, hint: str) -> None:
    """One ``error:`` line with the message, one ``hint:`` line, no traceback, the code."""
    lines = result.stderr.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    hints = [line for line in lines if line.startswith("hint: ")]
    assert result.exit_code == code, result.output
    assert len(errors) == 1 and message in errors[0], result.stderr
    assert len(hints) == 1 and hint in hints[0], result.stderr
    assert "Traceback" not in result.output


@pytest.fixture(scope="session")
def made_runs(made_once) -> Path:
    """Made once: a simulated dataset, its tokens, a trained run and two planned episodes. Do not write here."""
    return made_once("runs", _make_runs)


def _make_runs(runs: Path) -> None:
    succeed(runs, "download", "sim/hopper-medium", "data.transitions=1500")
    succeed(runs, "train", "sim/hopper-medium", *TINY_TRAIN)
    succeed(runs, "plan", *TINY_PLAN)


@pytest.fixture
def runs(made_runs, tmp_path) -> Path:
    """A copy of ``made_runs`` that a test may change."""
    return Path(shutil.copytree(made_runs, tmp_path / "runs"))


@pytest.fixture
def seqrl(runs) -> Seqrl:
    """Call commands on the copy: ``seqrl("plan", "--horizon", 3)``."""
    return lambda *words: invoke(runs, *words)


@pytest.fixture
def fresh(tmp_path) -> Seqrl:
    """Call commands on an empty run directory, ``tmp_path / "empty"``."""
    return lambda *words: invoke(tmp_path / "empty", *words)
