"""Whole files, made once for each campaign: a run directory with everything in it, datasets, checkpoints."""

from __future__ import annotations

import json
import shutil
from functools import cached_property
from pathlib import Path

import numpy as np

from seqrl_cli.download.partial import Origin, Partial
from seqrl_cli.runs.download_hashes import record_hash
from tests.campaigns.common import Outcome
from tests.campaigns.forked import command, forked
from tests.cli.conftest import TINY_ODT, TINY_PLAN, TINY_TRAIN
from tests.data.conftest import ragged
from tests.data.files import FORMATS, each, one_array_an_entry, write_npz, write_pickle, written
from tests.interop.folders import faster_trajectory_transformer, trajectory_retnet, trajectory_transformer

DATASET = "sim/hopper-medium"
URL = "https://example.org/hopper.hdf5"
MINUTES = 300.0
TUNE = (
    *("--iterations", "3", "--envs", "2", "--updates", "1", "--threads", "1"),
    *("online.max_steps=4", "online.eval_every=3", "online.eval_episodes=1", "online.checkpoint_every=1"),
)
TUNE_FURTHER = (*TUNE, "--iterations", "4")

MANY = "sim/hopper-medium+walker2d-medium/mddt-s42"
_LATER = ("sim/hopper-medium-replay", "sim/walker2d-medium-replay")
CONTINUAL = "sim/hopper-medium-replay+walker2d-medium-replay/hide-lora-s42"
_FEW, _ONE = "data.transitions=1500", ("--threads", "1")
TRAIN_MANY = (
    *("train", "sim/hopper-medium+sim/walker2d-medium", "--arch", "mddt", _FEW, *_ONE, "model.width=16"),
    *("model.n_layer=1", "train.updates=4", "train.batch_size=8", "train.checkpoint_every=2"),
)
LEARN = (
    *("continual", MANY, "+".join(_LATER), "--method", "hide-lora", *_ONE, "--updates", "4", "--episodes", "1"),
    *("continual.max_steps=5", "continual.batch_size=8", "continual.retention_episodes=1"),
    *("continual.checkpoint_every=2", "continual.log_every=2", "continual.rank=2"),
)
SWEEP = ("sweep", DATASET, "--seeds", "1-2", "--name", "sw", *TINY_TRAIN)
ADAPT = (
    *("finetune", f"{DATASET}/odt-s42", DATASET, "--adapter", "lora", "--name", "adapted", "--updates", "2", *_ONE),
    "train.checkpoint_every=1",
)


def make_rooms(folder: Path) -> Path:
    """``runs`` with a continual run, a sweep and an adapter more; ``hub-gpt``, ``hub-odt``, ``peft`` and ``remote``."""
    gpt, odt, adapted = (f"{DATASET}/{name}" for name in ("gpt-s42", "odt-s42", "adapted"))
    for words in (
        *(TRAIN_MANY, *(("download", name, _FEW) for name in _LATER), LEARN, SWEEP, ADAPT),
        ("export", gpt, "-f", "hub", "-o", "hub-gpt"),
        ("export", odt, "-f", "hub", "-o", "hub-odt"),
        ("export", adapted, "-f", "peft", "-o", "peft"),
        ("runs", "push", gpt, f"file://{folder / 'remote'}"),
    ):
        _succeed(command([*words, "--runs-dir", "runs"], folder, MINUTES))
    return folder


def make_runs(folder: Path) -> Path:
    """``folder/runs``: a dataset, a planned gpt, one cut short, a planned odt, the same fine-tuned, an import."""

    def seqrl(*words: str) -> None:
        _succeed(command([*words, "--runs-dir", "runs"], folder, MINUTES))

    seqrl("download", DATASET, "data.transitions=1500")
    seqrl("train", DATASET, *TINY_TRAIN)
    seqrl("train", DATASET, *TINY_TRAIN, "--name", "cut")
    seqrl("plan", f"{DATASET}/gpt-s42", *TINY_PLAN)
    seqrl("train", DATASET, *TINY_ODT)
    seqrl("plan", f"{DATASET}/odt-s42", "--episodes", "1", "plan.max_steps=6")
    seqrl("finetune-online", f"{DATASET}/odt-s42", *TUNE)
    forked(lambda: faster_trajectory_transformer(folder / "faster"), folder, MINUTES)
    seqrl("import", "faster", "--dataset", DATASET, "--name", "imported")
    _cut_short(folder / "runs" / DATASET / "cut")
    record_hash(folder / "runs", URL, "0" * 64)
    (folder / "unfinished").mkdir()
    unfinished = Partial.beside(folder / "unfinished" / "hopper.hdf5")
    unfinished.path.write_bytes(bytes(100))
    unfinished.describe(Origin(URL, 1000, '"etag"', None))
    return folder / "runs"


def _succeed(outcome: Outcome) -> None:
    assert outcome.code == 0, outcome


def _cut_short(run: Path) -> None:
    """Make a run look as if it had been interrupted after its first checkpoint."""
    newest = sorted(path for path in (run / "checkpoints").iterdir() if path.is_dir())[-1]
    shutil.rmtree(newest)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))


def make_datasets(folder: Path) -> list[Path]:
    """A file or folder of every format, in folders of their own."""
    episodes = ragged(0, 60)
    paths = []
    for index, write in enumerate(FORMATS.values()):
        place = folder / f"format-{index}"
        place.mkdir()
        paths.append(write(place, episodes))
    for protocol in (0, 1):
        path = folder / f"protocol-{protocol}.pkl"
        paths.append(write_pickle(path, [{k: v.tolist() for k, v in one.items()} for one in each(episodes)], protocol))
    paths.append(write_npz(folder / "objects.npz", {"observations": one_array_an_entry([np.ones(3), np.ones(4)])}))
    paths.append(written(folder / "minari", episodes))
    return paths


def make_checkpoints(folder: Path) -> list[Path]:
    """Folders as other projects save their checkpoints."""
    paths = [folder / name for name in ("zip", "legacy", "faster", "retnet")]

    def make() -> None:
        trajectory_transformer(paths[0])
        trajectory_transformer(paths[1], is_zip=False)
        faster_trajectory_transformer(paths[2])
        trajectory_retnet(paths[3])

    _succeed(forked(make, folder, MINUTES))  # in a child: PyTorch's threads do not survive a fork
    return paths


class Specimens:
    """``runs``, ``datasets``, ``checkpoints`` and ``presets`` below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_runs(folder)
        shutil.copytree(Path(__file__).parents[2] / "presets", folder / "presets")

    @cached_property
    def rooms(self) -> Path:
        """A folder with what :func:`make_rooms` makes."""
        return make_rooms(Path(shutil.copytree(self.folder / "runs", self.folder / "rooms" / "runs")).parent)

    @cached_property
    def datasets(self) -> list[Path]:
        """A dataset of every format."""
        (self.folder / "datasets").mkdir()
        return make_datasets(self.folder / "datasets")

    @cached_property
    def checkpoints(self) -> list[Path]:
        """Folders of other projects' checkpoints."""
        (self.folder / "checkpoints").mkdir()
        return make_checkpoints(self.folder / "checkpoints")
