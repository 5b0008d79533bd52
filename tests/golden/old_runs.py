"""A run directory of an earlier version, ``data/runs``, and how its unfinished work goes on.

Version 0.1.0 wrote it, with the dataset of `ours` as ``/tmp/tiny.hdf5`` and ``/tmp/flat.hdf5``; each ``run.json`` has
the command. ``gpt-half`` and ``odt-half`` were stopped after 10 of 20 updates, and the imported run is
``data/tt_checkpoint`` for ``data/tt_dataset.npz``. These files are never written anew: later versions must read them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from tests.cli.conftest import succeed
from tests.golden.ours import read_metrics, read_plan

RUNS = Path(__file__).parent / "data" / "runs"
TRAIN = (
    *("model.n_layer=1", "model.width=4", "train.updates=20", "train.batch_size=8", "train.log_every=1"),
    *("train.checkpoint_every=5", "train.keep_checkpoints=1", "train.precision=float32", "--threads", "1"),
    *("model.n_head=2", "model.sequence_length=4", "plan.max_context_transitions=3", "model.residual_dropout=0.1"),
)
# the recipe was the default then
GPT = ("train", "local/tiny", "--arch", "gpt", "data.bins=6", *TRAIN, "train.recipe=paper")
ODT = ("train", "local/tiny", "--arch", "odt", *TRAIN)
GPT_PLAN = (
    *("plan", "gpt-s42", "--horizon", "2", "--beam-width", "4", "--episodes", "1"),
    *("plan.max_steps=6", "plan.engine=torch", "--threads", "1"),
)
ODT_PLAN = ("plan", "odt-s42", "--episodes", "1", "plan.max_steps=6", "--threads", "1")


def copy_runs(folder: Path) -> Path:
    """A copy that may be changed, ``folder / "runs"``."""
    runs = Path(shutil.copytree(RUNS, folder / "runs"))
    for dataset in runs.rglob("dataset.h5"):
        os.utime(dataset, (0, 0))  # tokens older than their dataset are made anew, and a checkout sets times at random
    return runs


def go_on(runs: Path) -> dict[str, np.ndarray]:
    """Finish what was interrupted, fine-tune on, and plan anew, in a copy.

    Returns:
        Arrays by name, ``train/WHAT/KEY``, ``plan/WHAT/EPISODE/KEY`` and ``online/WHAT/KEY``.
    """
    tiny = runs / "local" / "tiny"
    succeed(runs, *GPT, "--name", "gpt-half")
    succeed(runs, *ODT, "--name", "odt-half")
    succeed(runs, "finetune-online", "odt-s42", "--iterations", 3, "--threads", 1)
    found = {
        **read_metrics(tiny / "gpt-half", "train/gpt", ("step", "loss", "validation_loss")),
        **read_metrics(tiny / "odt-half", "train/odt", ("step", "loss", "validation_loss")),
        **read_metrics(tiny / "odt-s42-online", "online/odt", ("iteration", "loss", "evaluation_return")),
    }
    for words in (GPT_PLAN, ODT_PLAN):
        run = tiny / words[1]
        had = set((run / "plans").iterdir())
        succeed(runs, *words, "--seed", 5)
        (new,) = set((run / "plans").iterdir()) - had
        found |= read_plan(new, f"plan/{words[1]}")
    return found
