"""Rewards and returns of any meaning and size, through the command line."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from seqrl_cli.data.tokens_file import load_tokens
from tests.cli.conftest import succeed

SMALL = ("model.n_layer=1", "model.n_head=1", "model.width=16", "train.batch_size=16", "train.checkpoint_every=1000")
STEPS = 10


def write(
    path: Path, rewards: np.ndarray, actions: np.ndarray | None = None, terminals: np.ndarray | None = None
) -> Path:
    """Episodes of ``STEPS`` steps with the sizes of Pendulum."""
    count = len(rewards)
    rng = np.random.default_rng(0)
    last = np.arange(count) % STEPS == STEPS - 1
    ended = np.zeros(count, bool) if terminals is None else terminals
    with h5py.File(path, "w") as file:
        file["observations"] = rng.normal(size=(count, 3)).astype(np.float32)
        file["actions"] = rng.uniform(-1, 1, (count, 1)).astype(np.float32) if actions is None else actions
        file["rewards"] = rewards.astype(np.float32)
        file["terminals"] = ended
        file["timeouts"] = last & ~ended
        file.attrs["env_id"] = "Pendulum-v1"
    return path


def write_goals(path: Path) -> Path:
    """Every other episode ends at a goal that earns 100; no other step earns anything."""
    goals = np.arange(20 * STEPS) % (2 * STEPS) == STEPS - 1
    return write(path, 100.0 * goals, terminals=goals)


@pytest.mark.parametrize("arch", ["gpt", "retnet"])
def test_a_goals_reward_is_learned_and_the_run_states_it(tmp_path, arch):
    runs = tmp_path / "runs"
    source = write_goals(tmp_path / "goal.hdf5")
    told = succeed(runs, "train", source, "--arch", arch, *SMALL, "model.n_head=1", "--updates", 1, "--name", "one")
    assert "rewards at 10 terminals of local/goal are kept: 10 of 10 are the best of their episodes" in told.stderr
    tokens = load_tokens(runs / "local/goal/tokens.h5")
    assert tokens.termination_penalty is None and tokens.terminal_rewards.startswith("kept: ")
    assert tokens.discretizer.edges[[0, -1], -2].tolist() == [0.0, 100.0]
    config = yaml.safe_load((runs / "local/goal/one/config.yaml").read_text())
    assert config["data"]["termination_penalty"] is None


def test_a_penalty_that_replaces_goals_is_obeyed_with_a_warning(tmp_path):
    runs = tmp_path / "runs"
    told = succeed(runs, "discretize", write_goals(tmp_path / "goal.hdf5"), "data.termination_penalty=-100")
    assert "at 10 terminals of local/goal, 10 of them the best of their episodes, 100 on average, are" in told.stderr
    assert load_tokens(runs / "local/goal/tokens.h5").termination_penalty == -100.0
    # whatever the tokens have is taken if nothing is asked for
    succeed(runs, "train", "local/goal", *SMALL, "--updates", 1, "--name", "one")
    assert yaml.safe_load((runs / "local/goal/one/config.yaml").read_text())["data"]["termination_penalty"] == -100.0


@pytest.mark.parametrize("size", [0.0484, -1e-9, 1e6])
def test_the_best_return_of_any_size_is_the_default_target(tmp_path, size):
    runs = tmp_path / "runs"
    rewards = size / STEPS * np.repeat([1.0, 0.5] if size > 0 else [2.0, 1.0], STEPS)
    succeed(runs, "train", write(tmp_path / "d.hdf5", rewards), "--arch", "dt", *SMALL, "--updates", 1, "--name", "one")
    config = yaml.safe_load((runs / "local/d/one/config.yaml").read_text())
    assert config["plan"]["target_return"] == pytest.approx(size, rel=1e-4)
    largest = size if size > 0 else 2 * size
    assert config["policy"]["return_scale"] == pytest.approx(1 / abs(largest), rel=0.05)


@pytest.mark.slow
def test_returns_of_0_and_1_are_followed(tmp_path):
    runs = tmp_path / "runs"
    steps = np.arange(200 * STEPS)
    good = steps // STEPS % 2 == 0
    actions = np.where(good, 1.0, -1.0).astype(np.float32)[:, None]
    source = write(tmp_path / "follow.hdf5", good & (steps % STEPS == STEPS - 1), actions)
    words = ("train.learning_rate=3e-3", "policy.warmup_updates=10", "--updates", 150, "--name", "one")
    succeed(runs, "train", source, "--arch", "dt", *SMALL, *words)
    first = {}
    for target in (0, 1):
        succeed(runs, "plan", "one", "--episodes", 1, "--target-return", target, "plan.max_steps=1")
        (path,) = (runs / "local/follow/one/plans").glob(f"RTG{target}-*/episode-000.h5")
        with h5py.File(path) as file:
            first[target] = float(file["actions"][0, 0])
    assert first[0] < -0.5 and first[1] > 0.5
