"""A run directory with one tiny run per kind that the pages name, and functions that run commands in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from seqrl_cli.cli.app import app
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import write_d4rl

_SHORT = ("train.updates=4", "train.batch_size=8", "train.checkpoint_every=2", "train.log_every=1")
_TINY = ("model.n_layer=1", "model.width=16", *_SHORT)
_ATTENTION = ("model.n_head=2", "model.sequence_length=4", "plan.max_context_transitions=3")
TRAIN = {
    "gpt": (*_TINY, *_ATTENTION, "plan.horizon=2", "plan.beam_width=4"),
    "retnet": (*_TINY, *_ATTENTION, "plan.horizon=2", "plan.beam_width=4"),
    "dt": (*_TINY, *_ATTENTION),
    "odt": (*_TINY, *_ATTENTION, "policy.stochastic_tanh=false"),
    "bc": _TINY,
}
PLAN = ("--horizon", "2", "--beam-width", "4", "--episodes", "2", "plan.max_steps=6")
PLAY = ("--episodes", "2", "plan.max_steps=6")
TUNE = (
    *("--iterations", "2", "--envs", "2", "--updates", "2", "--threads", "1"),
    *("online.max_steps=12", "online.eval_every=2", "online.eval_episodes=2", "online.checkpoint_every=2"),
)

Seqrl = Callable[..., Result]


def invoke(runs: Path, *words: str, mirrors: str = "") -> Result:
    """Run a command in this process with its run directory."""
    environment = {"COLUMNS": "120", "SEQRL_RUNS": str(runs), "SEQRL_MIRRORS": mirrors}
    return CliRunner(env=environment).invoke(app, [*words])


def succeed(runs: Path, *words: str, mirrors: str = "") -> Result:
    """Run a command that must exit with 0."""
    result = invoke(runs, *words, mirrors=mirrors)
    assert result.exit_code == 0, f"seqrl {' '.join(words)}\n{result.output}"
    return result


@pytest.fixture(scope="session")
def seeds(made_once) -> Path:
    """Made once, and not to be written to: a folder with ``runs/`` and the file of the user's that the pages name."""
    return made_once("docs", _make_seeds)


def _make_seeds(folder: Path) -> None:
    runs = folder / "runs"
    succeed(runs, "download", "sim/hopper-medium", "data.transitions=1500")
    succeed(runs, "train", "sim/hopper-medium", "--arch", "odt", *TRAIN["odt"])
    succeed(runs, "finetune-online", "odt-s42", "--name", "tuned", *TUNE)
    succeed(runs, "train", "sim/hopper-medium", "--arch", "retnet", *TRAIN["retnet"])
    succeed(runs, "train", "sim/hopper-medium", *TRAIN["gpt"])
    succeed(runs, "plan", *PLAN)
    rng = np.random.default_rng(0)
    ends = np.arange(60) % 12 == 11
    episodes = Episodes.from_flags(
        rng.normal(size=(60, 11)), rng.uniform(-1, 1, (60, 3)), rng.normal(size=60), ends, np.zeros(60)
    )
    write_d4rl(folder / "path/to/file.hdf5", episodes, {})
    succeed(runs, "download", str(folder / "path/to/file.hdf5"), "data.env_id=Hopper-v4")


@pytest.fixture
def workplace(seeds, tmp_path, monkeypatch) -> Path:
    """A copy of ``seeds`` that a test may change, and its current folder."""
    folder = Path(shutil.copytree(seeds, tmp_path / "copy"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def unchanged(seeds, monkeypatch) -> Path:
    """``seeds`` itself as the current folder, for what writes nothing; a new file is a failure."""
    monkeypatch.chdir(seeds)
    before = _files(seeds)
    yield seeds
    assert _files(seeds) == before


def _files(folder: Path) -> set[str]:
    """Files below a folder, but for locks."""
    return {str(Path(root, name)) for root, _, names in os.walk(folder) for name in names if ".lock" not in name}
