"""What the program computes on a tiny dataset of its own: run through the command line, read from the run directory.

Nothing here knows a module of the package below the command line, so that these numbers outlive every move of code.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import torch

from tests.cli.conftest import succeed

FOLDER = Path(__file__).parent / "data" / "ours"
MACHINE = FOLDER / "machine.json"
STATES = ("qpos", "qvel")  # for pictures; observations say the same
TRAIN = (
    *("model.n_layer=1", "model.width=16", "train.updates=20", "train.batch_size=8"),
    *("train.log_every=1", "train.checkpoint_every=10", "train.precision=float32"),
)
ATTENTION = ("model.n_head=2", "model.sequence_length=4", "plan.max_context_transitions=3")
DROPOUT = ("model.embedding_dropout=0.1", "model.residual_dropout=0.1", "model.attention_dropout=0.1")
AIM = ("plan.target_return=64.1",)  # the best return, rounded as it was when the numbers were recorded
PLAY = ("--episodes", "2", "plan.max_steps=6")
PAPER = ("train.recipe=paper", "plan.elites=1")
SEARCH = ("--horizon", "2", "--beam-width", "4")
ONLINE = (
    *("--iterations", "1", "--envs", "2", "--updates", "3", "online.max_steps=6"),
    *("online.eval_every=1", "online.eval_episodes=2", "online.checkpoint_every=1"),
)


@dataclass(frozen=True)
class Case:
    """One training, the plans of its model, and for an odt the words of its fine-tuning."""

    train: tuple[str, ...]
    plans: dict[str, tuple[str, ...]]
    online: tuple[str, ...] | None = None


COMPILER = sys.platform == "linux" and shutil.which("g++") is not None
ENGINES = {"torch": ("plan.engine=torch",), "native": ("plan.engine=native",)}
CASES = {
    "gpt": Case(
        ("--arch", "gpt", *PAPER, *ATTENTION, *DROPOUT), {name: (*SEARCH, *words) for name, words in ENGINES.items()}
    ),
    "gpt-variant": Case(
        ("--arch", "gpt", *PAPER, *ATTENTION, "data.discretizer=uniform", "data.bins=30", "model.mask_values=false"),
        {name: (*SEARCH, "plan.window=growing", "plan.plan_freq=2", *words) for name, words in ENGINES.items()},
    ),
    "retnet": Case(
        ("--arch", "retnet", *PAPER, *ATTENTION, *DROPOUT[:2]),
        {
            "torch": (*SEARCH, "plan.engine=torch"),
            "carry": (*SEARCH, "plan.engine=torch", "plan.context=carry"),
            "chunkwise": (*SEARCH, "plan.engine=torch", "--mode", "chunkwise"),
        },
    ),
    "retnet-recurrent": Case(
        ("--arch", "retnet", *PAPER, *ATTENTION, "--mode", "recurrent", "train.updates=5"),
        {"torch": (*SEARCH, "plan.engine=torch")},
    ),
    "dt": Case(("--arch", "dt", *ATTENTION, *AIM, *DROPOUT, "policy.time_embedding=true"), {"play": ()}),
    "odt": Case(("--arch", "odt", *ATTENTION, *AIM, *DROPOUT), {"play": ()}, ONLINE),
    "odt-tanh": Case(
        ("--arch", "odt", *ATTENTION, *AIM, "policy.stochastic_tanh=true", "policy.optimizer=lamb"),
        {"play": ("--target-return", "20")},
        (*ONLINE, "online.noise=1"),
    ),
    "bc": Case(("--arch", "bc", "policy.top_share=0.5"), {"play": ()}),
}


def machine() -> dict[str, str]:
    """What the last bits of a number depend on."""
    packages = {name: version(name) for name in ("torch", "numpy", "mujoco", "gymnasium")}
    return {**packages, "instructions": torch.backends.cpu.get_cpu_capability(), "processor": _processor()}


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def write_tiny_dataset(path: Path) -> None:
    """Four episodes of 160 steps in all, of a hopper's sizes, with whole multiples of 1/64 in the place of physics."""
    lengths = (40, 25, 60, 35)
    rng = np.random.default_rng(7)
    steps = sum(lengths)
    observations = rng.integers(-32, 33, (steps, 11)).astype(np.float32) / 64
    actions = rng.integers(-60, 61, (steps, 3)).astype(np.float32) / 64
    last = np.zeros(steps, bool)
    last[np.cumsum(lengths) - 1] = True
    timeouts = last & (np.arange(steps) == steps - 1)
    with h5py.File(path, "w") as file:
        file["observations"] = observations
        file["actions"] = actions
        file["rewards"] = actions.sum(1) + observations[:, 5] + 1
        file["terminals"] = last & ~timeouts
        file["timeouts"] = timeouts


def compute(case: Case, folder: Path) -> dict[str, np.ndarray]:
    """Train, plan and fine-tune in an empty folder.

    Returns:
        Arrays by name: ``train/loss (U,)`` in float64, ``plan/NAME/EPISODE/KEY`` as the episode's file holds them, and
        ``online/KEY``.
    """
    source, runs = folder / "tiny.hdf5", folder / "runs"
    write_tiny_dataset(source)
    succeed(runs, "train", source, "data.env_id=Hopper-v4", *TRAIN, *case.train, "--name", "one", "--threads", 1)
    run = runs / "local" / "tiny" / "one"
    found = read_metrics(run, "train", ("loss", "validation_loss", "learning_rate"))
    plans = {name: words for name, words in case.plans.items() if name != "native" or COMPILER}
    for name, words in plans.items():
        # --force: engines share a folder, for their plans are the same but for rounding
        succeed(runs, "plan", "one", *PLAY, *words, "--force", "--threads", 1)
        (plan,) = sorted((run / "plans").iterdir())
        found |= read_plan(plan, f"plan/{name}")
        plan.rename(folder / f"plan of {name}")
    if case.online is not None:
        succeed(runs, "finetune-online", "one", *case.online, "--name", "tuned", "--threads", 1)
        found |= read_metrics(run.parent / "tuned", "online", ("loss", "exploration_return", "evaluation_return"))
        found |= _buffer(run.parent / "tuned" / "buffer")
    return found


def read_metrics(run: Path, prefix: str, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Columns of a run's ``metrics.jsonl`` in float64, by ``PREFIX/KEY``; NaN where a line has nothing."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {f"{prefix}/{key}": np.array([line[key] for line in lines], np.float64) for key in keys}


def read_plan(folder: Path, prefix: str) -> dict[str, np.ndarray]:
    """A plan's episodes, by ``PREFIX/EPISODE/KEY``."""
    found = {}
    for path in sorted(folder.glob("episode-*.h5")):
        number = int(path.stem.partition("-")[2])
        with h5py.File(path) as file:
            found |= {f"{prefix}/{number}/{key}": file[key][:] for key in file if key not in STATES}
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        found[f"{prefix}/{number}/return"] = np.array(record["return"])
    return found


def _buffer(folder: Path) -> dict[str, np.ndarray]:
    """Explored steps: of every file but the first, which holds the dataset's."""
    explored: dict[str, list[np.ndarray]] = {"observations": [], "actions": [], "rewards": []}
    for path in sorted(folder.glob("*.h5"))[1:]:
        with h5py.File(path) as file:
            for key, parts in explored.items():
                parts.append(file[key][:])
    return {f"online/{key}": np.concatenate(parts) for key, parts in explored.items()}


def load_recorded(name: str) -> dict[str, np.ndarray]:
    """What was recorded of a case."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: file[key] for key in file if COMPILER or not key.startswith("plan/native/")}


def assert_as_recorded(now: dict[str, np.ndarray], recorded: dict[str, np.ndarray]) -> None:
    """Bit for bit on the machine that recorded, within tolerances elsewhere."""
    assert now.keys() == recorded.keys()
    same_machine = machine() == json.loads(MACHINE.read_text(encoding="utf-8"))
    for name, array in recorded.items():
        if same_machine:
            np.testing.assert_array_equal(now[name], array, err_msg=name, strict=True)
        else:
            _assert_close(name, now[name], array)


def _assert_close(name: str, now: np.ndarray, recorded: np.ndarray) -> None:
    assert now.shape == recorded.shape, name
    if name.startswith("train/"):
        np.testing.assert_allclose(now, recorded, rtol=1e-4, err_msg=name)
    elif not name.endswith("/return"):
        half = len(recorded) // 2
        np.testing.assert_allclose(now[:half], recorded[:half], rtol=1e-3, atol=1e-3, err_msg=name)
