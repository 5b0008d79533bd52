"""The command line on run directories, datasets and checkpoints of which one file is damaged."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.campaigns.common import Trial
from tests.campaigns.files.structure import change
from tests.campaigns.forked import command
from tests.campaigns.judge import judge
from tests.campaigns.specimens import DATASET, TUNE_FURTHER, Specimens
from tests.cli.conftest import TINY_ODT, TINY_PLAN, TINY_TRAIN

COUNT = 800

Words = tuple[str, ...]
GPT, ODT, ONLINE, CUT, IMPORTED = (
    f"{DATASET}/{name}" for name in ("gpt-s42", "odt-s42", "odt-s42-online", "cut", "imported")
)
PLAN: Words = ("plan", GPT, *TINY_PLAN, "--seed", "5")
FEW = "data.transitions=1500"  # as many as there are; where the dataset is missing, it is simulated
SHORT: Words = ("--episodes", "1", "plan.max_steps=4", "--seed", "6")
NEW: Words = ("train", DATASET, "--name", "new", *TINY_TRAIN)
RESUME: Words = ("train", DATASET, "--name", "cut", *TINY_TRAIN)
LISTS: list[Words] = [("runs",), ("table",), ("runs", "--json"), ("table", "--json", "--by", "run")]

COMMANDS: dict[str, list[Words]] = {
    "dataset.h5": [
        ("info", DATASET),
        ("discretize", DATASET, "--force"),
        (*NEW, FEW),
        ("train", DATASET, "--name", "new", *TINY_ODT, FEW),
        ("train", DATASET, "--dry-run"),
        ("export", DATASET, "--format", "d4rl", "--output", "out.hdf5"),
        ("export", DATASET, "--format", "minari", "--output", "out"),
        ("finetune-online", ODT, "--dry-run"),
        PLAN,
        *LISTS,
    ],
    "tokens.h5": [("discretize", DATASET), NEW, RESUME, PLAN, ("info", DATASET), ("export", GPT, "--output", "out")],
    "gpt-s42/run.json": [
        PLAN,
        ("plan",),
        ("runs", "show", GPT),
        ("train", DATASET, *TINY_TRAIN),
        ("plot", GPT),
        ("export", GPT, "--output", "out"),
        ("render", GPT, "--view", "software"),
        *LISTS,
    ],
    "cut/run.json": [RESUME, ("plan", CUT, *SHORT), *LISTS],
    "gpt-s42/config.yaml": [
        PLAN,
        ("plan", GPT, "--dry-run"),
        ("runs", "show", GPT),
        ("plot", GPT),
        ("train", DATASET, *TINY_TRAIN),
        ("train", DATASET, "--config", f"runs/{GPT}/config.yaml", "--name", "new", "--dry-run"),
        ("export", GPT, "--output", "out"),
        *LISTS,
    ],
    "odt-s42/config.yaml": [
        ("finetune-online", ODT, "--dry-run"),
        ("plan", ODT, *SHORT),
        ("train", DATASET, "--config", f"runs/{ODT}/config.yaml", "--name", "new", "--dry-run"),
    ],
    "odt-s42-online/config.yaml": [("plan", ONLINE, *SHORT), ("plot", ONLINE), ("runs", "show", ONLINE)],
    "odt-s42-online/run.json": [
        ("finetune-online", ODT, *TUNE_FURTHER),
        ("plot", ONLINE),
        ("runs", "show", ONLINE),
        *LISTS,
    ],
    "metrics.jsonl": [
        ("plot", GPT),
        ("plot", ONLINE),
        ("plot", DATASET),
        ("runs", "show", GPT),
        ("runs", "show", ONLINE),
    ],
    "cut/metrics.jsonl": [RESUME, ("plot", CUT)],
    "gpt-s42/checkpoints/00000004/*": [
        PLAN,
        ("export", GPT, "--output", "out"),
        ("plan", GPT, "--checkpoint", "4", *SHORT),
    ],
    "cut/checkpoints/**/*": [RESUME, RESUME, ("plan", CUT, *SHORT)],
    "odt-s42/checkpoints/00000004/*": [("plan", ODT, *SHORT), ("finetune-online", ODT, "--name", "new", "--dry-run")],
    "odt-s42-online/checkpoints/*/*": [
        ("finetune-online", ODT, *TUNE_FURTHER),
        ("plan", ONLINE, *SHORT),
    ],
    "odt-s42-online/buffer/*": [
        ("finetune-online", ODT, *TUNE_FURTHER),
        ("runs", "show", ONLINE),
    ],
    "plans/*/episode-*": [
        ("render", GPT, "--view", "software"),
        ("render", GPT, "--dry-run"),
        ("plot", GPT),
        ("plan", GPT, *TINY_PLAN),
        ("runs", "show", GPT),
        ("table", "--format", "latex"),
        ("table", "--format", "markdown", "--published"),
        *LISTS,
    ],
    "imported/**/*": [("plan", IMPORTED, *SHORT), ("runs", "show", IMPORTED), *LISTS],
    "../../downloads.json": [("download", "hopper-medium-v2", "--offline"), ("runs",)],
}


def trials(specimens: Specimens, seed: int, count: int = COUNT) -> Iterator[Trial]:
    """Damaged run directories, in turn of every kind of file, and every third time a damaged input."""
    patterns = list(COMMANDS)
    for number in range(count):
        name = f"{seed} command {number}"
        if number % 3 == 2:
            yield Trial(f"command {number} on an input", partial(_attempt_input, specimens, number, name))
        else:
            pattern = patterns[number % len(patterns)]
            yield Trial(f"command {number} on {pattern}", partial(_attempt_run, specimens, pattern, name))


def _attempt_run(specimens: Specimens, pattern: str, seed: str, folder: Path) -> str:
    rng = random.Random(seed)
    shutil.copytree(specimens.folder / "runs", folder / "runs")
    place = folder / "runs" / DATASET
    matching = place.glob(f"**/{pattern}") if not pattern.startswith("..") else [(place / pattern).resolve()]
    files = sorted(path for path in matching if path.is_file() and not path.name.startswith(".lock"))
    target = rng.choice(files)
    what = change(target, rng)
    words = rng.choice(COMMANDS[pattern])
    problem = judge(command([*words, "--runs-dir", "runs"], folder))
    return f"`{' '.join(words)}` with {target.relative_to(folder)}: {what}: {problem}" if problem else ""


def _attempt_input(specimens: Specimens, number: int, seed: str, folder: Path) -> str:
    """A dataset or checkpoint with one damaged file, or a configuration."""
    rng = random.Random(seed)
    paths = [*specimens.datasets, *specimens.checkpoints, specimens.folder / "runs" / GPT / "config.yaml"]
    source = paths[number // 3 % len(paths)]
    unit = folder / source.name
    if source.is_dir():
        shutil.copytree(source, unit)
        target = rng.choice(sorted(path for path in unit.glob("**/*") if path.is_file()))
    else:
        shutil.copyfile(source, unit)
        target = unit
    what = change(target, rng)
    words = rng.choice(commands_on_input(unit, is_checkpoint=source in specimens.checkpoints))
    problem = judge(command(words, folder))
    return f"`{' '.join(words)}` with {target.relative_to(folder)}: {what}: {problem}" if problem else ""


def commands_on_input(unit: Path, *, is_checkpoint: bool) -> list[Words]:
    name = f"./{unit.name}"
    if unit.suffix == ".yaml":
        return [("train", DATASET, "--config", name, "--dry-run")]
    if is_checkpoint:
        return [("import", name), ("import", name, "--dry-run"), ("import", name, "--dataset", DATASET)]
    return [
        ("info", name),
        ("download", name),
        ("download", name, "data.env_id=Pendulum-v1"),
        ("train", name, "--dry-run"),
        ("train", name, *TINY_TRAIN),
        ("discretize", name),
    ]
