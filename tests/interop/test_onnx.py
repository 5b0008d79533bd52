"""Policies as ONNX graphs choose the actions of ``seqrl plan``, without PyTorch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from seqrl_cli import Dataset, load, train
from seqrl_cli.config.extras import is_installed
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.exchange import export_onnx
from seqrl_cli.workflows.exchange.export_onnx import OnnxExportRequest
from tests.workflows.tiny import TINY, Heard, make_runs

STEPS = 12

pytestmark = pytest.mark.slow
needs_onnx = pytest.mark.skipif(not is_installed("onnx"), reason="the extra onnx is not installed")


@pytest.fixture
def store(made_once, tmp_path) -> RunStore:
    return RunStore(Path(shutil.copytree(made_once("workflows", make_runs), tmp_path / "runs")))


class OnnxAgent:
    """What a program without PyTorch has to do: keep a window, and subtract rewards from the target return."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        self.facts = json.loads((folder / "actor.json").read_text())
        self.session = onnxruntime.InferenceSession(folder / "actor.onnx", providers=["CPUExecutionProvider"])
        self.inputs = {part.name: part.type for part in self.session.get_inputs()}
        self.observations, self.actions, self.returns = [], [], []
        self.left = self.facts["target_return"] or 0.0

    def act(self, observation: np.ndarray, reward: float | None) -> np.ndarray:
        self.left -= reward or 0.0
        self.observations.append(np.asarray(observation))
        self.returns.append(self.left)
        count = len(self.observations)
        window = slice(max(0, count - self.facts["context"]), count)
        blank = np.zeros_like(self.actions[0]) if self.actions else self._blank()
        steps = {
            "observations": np.stack(self.observations[window]).astype(self.kind("observations")),
            "actions": np.stack([*self.actions, blank][window]).astype(self.kind("actions")),
            "returns_to_go": np.array(self.returns[window], np.float32),
            "timesteps": np.arange(count)[window],
        }
        (action,) = self.session.run(None, {name: steps[name][None] for name in self.inputs})
        self.actions.append(action[0])
        if self.facts["action_low"] is not None:
            self.actions[-1] = np.clip(action[0], self.facts["action_low"], self.facts["action_high"])
        return self.actions[-1]

    def kind(self, name: str) -> type:
        return {"tensor(uint8)": np.uint8, "tensor(int64)": np.int64}.get(self.inputs.get(name), np.float32)

    def _blank(self) -> np.ndarray:
        return np.zeros(()) if self.facts["action_low"] is None else np.zeros(len(self.facts["action_low"]))


def play(act, env: gymnasium.Env) -> tuple[np.ndarray, float]:
    observation, reward, earned, actions = env.reset(seed=0)[0], None, 0.0, []
    for _ in range(STEPS):
        action = act(observation, reward)
        actions.append(np.asarray(action))
        observation, reward, terminated, _, _ = env.step(int(action) if np.ndim(action) == 0 else action)
        earned += float(reward)
        if terminated:
            break
    return np.stack(actions), earned


@needs_onnx
@pytest.mark.parametrize("arch", ["dt", "odt", "bc"])
def test_a_graph_acts_as_the_run_does_over_an_episode(store, arch):
    report = export_onnx.run(OnnxExportRequest(store, f"{arch}-s42"), Heard())
    env = gymnasium.make("Pendulum-v1")
    agent = load(f"{arch}-s42", runs_dir=store.root)
    ours, theirs = play(agent.act, env), play(OnnxAgent(Path(report.folder)).act, env)
    assert np.abs(ours[0] - theirs[0]).max() < 1e-5 and ours[1] == pytest.approx(theirs[1], abs=1e-4)
    assert export_onnx.run(OnnxExportRequest(store, f"{arch}-s42"), Heard()).fresh is False


@needs_onnx
@pytest.mark.parametrize("arch", ["odt", "bc"])
def test_choices_are_the_same(tmp_path, arch):
    rng, rows = np.random.default_rng(0), 60
    ends = np.arange(rows) % 12 == 11
    dataset = Dataset.from_arrays(
        rng.normal(size=(rows, 4)), rng.integers(0, 2, rows), np.ones(rows), ends, env_id="CartPole-v1", name="poles"
    )
    keys = {key.replace(".", "__"): value for key, value in TINY[arch].items()}
    run = train(dataset, arch=arch, quiet=True, threads=1, runs_dir=tmp_path, **keys).run
    folder = Path(export_onnx.run(OnnxExportRequest(RunStore(tmp_path), run), Heard()).folder)
    ours = play(load(run, runs_dir=tmp_path).act, gymnasium.make("CartPole-v1"))
    theirs = play(OnnxAgent(folder).act, gymnasium.make("CartPole-v1"))
    assert np.array_equal(ours[0], theirs[0])


def test_a_planner_is_no_graph(store):
    with pytest.raises(SeqrlError, match="whose play is not a single graph"):
        export_onnx.run(OnnxExportRequest(store, "gpt-s42"), Heard())
