"""Links in a run directory: what they lead to, outside of it, is neither written nor created nor removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.campaigns.common import Trial
from tests.campaigns.files.commands import FEW
from tests.campaigns.security.scene import GPT, ODT, ONLINE, copy_runs, difference, problems, run, tree
from tests.campaigns.specimens import DATASET, TUNE_FURTHER, Specimens
from tests.cli.conftest import TINY_ODT, TINY_PLAN, TINY_TRAIN

Words = tuple[str, ...]
TRAIN: Words = ("train", DATASET, *TINY_TRAIN)
RESUME: Words = ("train", DATASET, "--name", "cut", *TINY_TRAIN)
PLAN: Words = ("plan", GPT, *TINY_PLAN)
TUNE: Words = ("finetune-online", ODT, *TUNE_FURTHER)
IMPORT: Words = ("import", "./faster", "--dataset", DATASET, "--name", "imported", "--force")
DOWNLOAD: Words = ("download", DATASET, "data.transitions=400", "--force")
PLANS = "gpt-s42/plans/H2-B4-ctx3-steps6-s0"

COMMANDS: dict[str, list[Words]] = {
    "dataset.h5": [DOWNLOAD, (*TRAIN, FEW)],
    "tokens.h5": [("discretize", DATASET, "data.bins=7", "--force"), TRAIN],
    ".lock": [DOWNLOAD, ("discretize", DATASET, "--force")],
    ".lock-holder": [DOWNLOAD, ("discretize", DATASET, "--force")],
    "cut/.lock": [RESUME],
    "cut/.lock-holder": [RESUME],
    "cut/run.json": [RESUME, (*RESUME, "--force")],
    "cut/config.yaml": [RESUME, (*RESUME, "--force")],
    "cut/metrics.jsonl": [RESUME, (*RESUME, "--force")],
    "cut/checkpoints/last": [RESUME, (*RESUME, "--force")],
    "cut/checkpoints/00000002/state.json": [RESUME, (*RESUME, "--force")],
    "cut/checkpoints/00000002/model.safetensors": [RESUME],
    "gpt-s42/run.json": [TRAIN, (*TRAIN, "--force")],
    f"{PLANS}/.lock": [PLAN, (*PLAN, "--force")],
    f"{PLANS}/.lock-holder": [PLAN, (*PLAN, "--force")],
    f"{PLANS}/episode-000.json": [PLAN, (*PLAN, "--force")],
    f"{PLANS}/episode-000.h5": [PLAN, (*PLAN, "--force")],
    "gpt-s42/plots/curves.png": [("plot", GPT, "--force")],
    "imported/run.json": [IMPORT],
    "imported/tokens.h5": [IMPORT],
    "odt-s42-online/metrics.jsonl": [TUNE, (*TUNE, "--force")],
    "odt-s42-online/buffer/00000009.h5": [TUNE],
    "odt-s42-online/buffer/00000011.h5": [TUNE],
    "odt-s42-online/run.json": [TUNE, (*TUNE, "--force")],
    "../../downloads.json": [DOWNLOAD],
}
FOLDERS: dict[str, list[Words]] = {
    "cut": [RESUME, (*RESUME, "--force")],
    "cut/checkpoints": [RESUME, (*RESUME, "--force")],
    "cut/checkpoints/00000002": [RESUME, (*RESUME, "--force")],
    ".cut.new": [(*RESUME, "--force")],
    ".cut.old": [(*RESUME, "--force")],
    "gpt-s42/plans": [(*TRAIN, "--force")],
    PLANS: [(*PLAN, "--force")],
    "gpt-s42/plots": [(*TRAIN, "--force")],
    "gpt-s42/videos": [(*TRAIN, "--force")],
    "odt-s42-online/buffer": [(*TUNE, "--force")],
    "odt-s42/checkpoints": [("train", DATASET, *TINY_ODT, "--force")],
    ONLINE.rpartition("/")[2]: [(*TUNE, "--force")],
}


def trials(specimens: Specimens) -> Iterator[Trial]:
    for name, commands in COMMANDS.items():
        for words in commands:
            for there in (True, False):
                what = f"{name} a link to {'a file' if there else 'nothing'}: {' '.join(words)}"
                yield Trial(what, partial(_file, specimens, name, words, there))
    for name, commands in FOLDERS.items():
        for words in commands:
            yield Trial(f"{name} a link to a folder: {' '.join(words)}", partial(_folder, specimens, name, words))


def _file(specimens: Specimens, name: str, words: Words, there: bool, folder: Path) -> str:
    place = _prepare(specimens, folder)
    path = place / name
    outside = folder / "outside" / "file"
    if there:
        outside.write_text("mine\n")
        if path.is_file():
            shutil.copyfile(path, outside)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(outside)
    return _check(folder, words)


def _folder(specimens: Specimens, name: str, words: Words, folder: Path) -> str:
    """What lies in a linked folder may be the run's own, moved to another disk; what else is there stays."""
    place = _prepare(specimens, folder)
    path = place / name
    target = folder / "outside" / "folder"
    if path.is_dir():
        shutil.move(path, target)
    else:
        target.mkdir()
    (target / "thesis.tex").write_text("mine\n")
    (target / "sub").mkdir()
    (target / "sub" / "thesis.bib").write_text("mine\n")
    path.symlink_to(target)
    outcome = run([*words, "--runs-dir", "runs"], folder)
    kept = (target / "thesis.tex").is_file() and (target / "sub" / "thesis.bib").is_file()
    return problems(outcome, "" if kept else "files of the user's were removed")


def _prepare(specimens: Specimens, folder: Path) -> Path:
    (folder / "outside").mkdir()
    shutil.copytree(specimens.checkpoints[2], folder / "faster")
    return copy_runs(specimens, folder) / DATASET


def _check(folder: Path, words: Words) -> str:
    before = tree(folder, without="runs")
    outcome = run([*words, "--runs-dir", "runs"], folder)
    return problems(outcome, difference(before, tree(folder, without="runs")))
