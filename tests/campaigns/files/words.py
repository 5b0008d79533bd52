"""Command lines that nobody should type, on a whole run directory."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.campaigns.common import Trial
from tests.campaigns.forked import command
from tests.campaigns.judge import judge
from tests.campaigns.specimens import DATASET, Specimens

COUNT = 250

COMMANDS = {
    "download": [DATASET],
    "discretize": [DATASET],
    "train": [DATASET, "--dry-run"],
    "plan": [f"{DATASET}/gpt-s42", "--dry-run"],
    "finetune-online": [f"{DATASET}/odt-s42", "--dry-run"],
    "render": [f"{DATASET}/gpt-s42", "--dry-run"],
    "table": [],
    "plot": ["--dry-run"],
    "collect": ["Pendulum-v1", "--policy", "random", "-n", "200", "--dry-run"],
    "import": ["faster", "--dry-run"],
    "export": [f"{DATASET}/gpt-s42", "--dry-run"],
    "runs": ["list"],
    "presets": ["show", "hopper"],
    "info": [DATASET],
}
OPTIONS = [
    *("--seed", "--updates", "--batch-size", "--horizon", "--beam-width", "--target-return", "--episodes", "--envs"),
    *("--checkpoint", "--max-memory", "--mode", "--device", "--threads", "--mirrors", "--name", "--size", "--preset"),
    *("--config", "--arch", "--format", "--by", "--output", "--kind", "--view", "--policy", "--transitions", "--epoch"),
    *("--iterations", "--exploration-return", "--runs-dir", "--dataset", "--workers", "--list", "--json", "--quiet"),
]
KEYS = [
    *("train.updates", "train.batch_size", "train.learning_rate", "train.nonsense", "model.width", "model.n_head"),
    *("model.dropout", "model.sequence_length", "data.bins", "data.discount", "data.transitions", "data.env_id"),
    *("data.termination_penalty", "data.observation_slice", "plan.horizon", "plan.max_steps", "plan.temperature"),
    *("plan.target_return", "policy.return_scale", "online.iterations", "seed", "train", "a.b.c.d", "", "model.arch"),
]
VALUES = [
    *("", " ", "0", "-1", "1", "nan", "inf", "-inf", "1e999", "1e-999", "1e300", str(2**31), str(2**63), str(2**64)),
    *("9" * 5000, "x" * 300, "x" * 100_000, "../..", "/", "/dev/null", "/dev/zero", "~", ".", "..", ".hidden", "a/b/c"),
    *("ünï 語", "\u202eevil", "\x1b[31m", "a\nb", "\udcff", "null", "true", "[1,2]", "{a: 1}", "[" * 3000, "&a [*a]"),
    *(
        "!!python/name:os.system",
        "a=b",
        "=",
        "-",
        "--",
        "--help",
        "*",
        "%s%n",
        "{0}",
        "$HOME",
        "cuda:99",
        "mps",
        "sim/",
    ),
    *(
        "nomodule:Env-v0",
        "Hopper-v4",
        "Hopper-v99",
        "sim/nothing",
        "hopper-medium-v2",
        "0x10",
        "1_000",
        "１２",
        "2026-99-99",
    ),
]


def trials(specimens: Specimens, seed: int, count: int = COUNT) -> Iterator[Trial]:
    """Each command in turn, with random words more."""
    for number in range(count):
        name = list(COMMANDS)[number % len(COMMANDS)]
        yield Trial(f"words {number} of {name}", partial(_attempt, specimens, name, f"{seed} words {number}"))


def _attempt(specimens: Specimens, name: str, seed: str, folder: Path) -> str:
    rng = random.Random(seed)
    shutil.copytree(specimens.folder / "runs", folder / "runs")
    shutil.copytree(specimens.folder / "faster", folder / "faster")
    words = [name, *(COMMANDS[name] if rng.random() < 0.8 else [])]
    for _ in range(rng.choice([1, 1, 2, 4])):
        kind = rng.random()
        if kind < 0.5:
            words += [rng.choice(OPTIONS), rng.choice(VALUES)]
        elif kind < 0.85:
            words.append(f"{rng.choice(KEYS)}={rng.choice(VALUES)}")
        else:
            words.insert(rng.randint(1, len(words)), rng.choice(VALUES))
    problem = judge(command([word.replace("\0", "") for word in words], folder))
    shown = " ".join(repr(word) if len(word) < 60 else f"{word[:30]!r}*" for word in words)
    return f"seqrl {shown}: {problem}" if problem else ""
