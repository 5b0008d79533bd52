"""The command line on one damaged file of what is shared or made of several runs.

These are continual runs, sweeps, adapters, folders for hubs and for peft, and copies below a URL.
"""

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
from tests.campaigns.specimens import ADAPT, CONTINUAL, DATASET, LEARN, MANY, SWEEP, TRAIN_MANY, Specimens

COUNT = 250

Words = tuple[str, ...]
GPT, ODT, ADAPTED = (f"{DATASET}/{name}" for name in ("gpt-s42", "odt-s42", "adapted"))
SHORT: Words = ("--episodes", "1", "plan.max_steps=4")
REPORT: Words = ("report", "-o", "r.html", "--force")
HERE = "FOLDER"
"""Stands for the trial's folder in a URL."""
URL = f"file://{HERE}/remote"
ALL: list[Words] = [("runs",), ("table", "--by", "run"), REPORT]

COMMANDS: dict[str, list[Words]] = {
    f"runs/{CONTINUAL}/continual.json": [LEARN, ("plot", CONTINUAL, "-o", "p.png"), *ALL],
    f"runs/{CONTINUAL}/stages/*/evaluation.json": [LEARN, ("plot", CONTINUAL, "-o", "p.png"), *ALL],
    f"runs/{CONTINUAL}/stages/*/learned.safetensors": [LEARN],
    f"runs/{CONTINUAL}/stages/*/metrics.jsonl": [LEARN, ("plot", CONTINUAL, "-o", "p.png"), REPORT],
    "runs/sweeps/sw/sweep.json": [
        SWEEP,
        ("sweep", "status", "sw"),
        ("sweep", "run", "sw", "--index", "0"),
        ("table", "sw"),
        ("plan", "sw", "--dry-run"),
        *ALL,
    ],
    f"runs/{ADAPTED}/run.json": [
        ADAPT,
        ("plan", ADAPTED, *SHORT),
        ("runs", "delete", ODT, "--yes"),
        ("runs", "rename", ODT, "other"),
        *ALL,
    ],
    f"runs/{ADAPTED}/config.yaml": [ADAPT, ("plan", ADAPTED, *SHORT), ("runs", "rename", ODT, "other")],
    f"runs/{ADAPTED}/checkpoints/*/*": [
        ADAPT,
        ("plan", ADAPTED, *SHORT),
        ("export", ADAPTED, "-f", "peft", "-o", "out"),
    ],
    f"runs/{MANY}/run.json": [TRAIN_MANY, LEARN, ("plan", MANY, *SHORT), ("runs", "show", MANY), *ALL],
    f"runs/{MANY}/checkpoints/*/*": [TRAIN_MANY, ("plan", MANY, *SHORT)],
    "hub-gpt/*.*[nsx]": [("import", "hub-gpt", "--name", "i", "--dry-run"), ("import", "hub-gpt", "--name", "i")],
    "hub-odt/*.*[nsx]": [("import", "hub-odt", "--name", "i", "--dry-run"), ("import", "hub-odt", "--name", "i")],
    "peft/*": [("import", "peft", "--name", "i", "--base", ODT), ("import", "peft", "--name", "i", "--dry-run")],
    f"remote/{GPT}/.seqrl/manifest.json": [
        ("runs", "pull", URL, "--force"),
        ("runs", "pull", URL, GPT, "--dry-run"),
        ("runs", "push", GPT, URL),
    ],
    f"remote/{GPT}/.seqrl/objects/*": [("runs", "pull", URL, "--runs-dir", "empty")],
}


def trials(specimens: Specimens, seed: int, count: int = COUNT) -> Iterator[Trial]:
    """Each kind of file in turn."""
    patterns = list(COMMANDS)
    for number in range(count):
        pattern = patterns[number % len(patterns)]
        yield Trial(f"room {number} on {pattern}", partial(_attempt, specimens, pattern, f"{seed} room {number}"))


def _attempt(specimens: Specimens, pattern: str, seed: str, folder: Path) -> str:
    rng = random.Random(seed)
    shutil.copytree(specimens.rooms, folder, dirs_exist_ok=True)
    target = rng.choice(sorted(path for path in folder.glob(pattern) if path.is_file()))
    what = change(target, rng)
    words = [word.replace(HERE, str(folder)) for word in rng.choice(COMMANDS[pattern])]
    place = [] if "--runs-dir" in words else ["--runs-dir", "runs"]
    problem = judge(command([*words, *place], folder))
    return f"`{' '.join(words)}` with {target.relative_to(folder)}: {what}: {problem}" if problem else ""
