"""The registry's contract: every architecture is whole, and one that is added needs its entry and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seqrl_cli.artifacts.families import load_trained
from seqrl_cli.cli import complete
from seqrl_cli.config.architectures import ARCHITECTURES, architectures_in_words
from seqrl_cli.config.overrides import dotted_keys
from seqrl_cli.config.presets import dump_config, load_config, preset_names, resolve_config
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import UsageError
from seqrl_cli.models.implementation import architecture_of_weights, implementation
from seqrl_cli.runs.layout import RunFolder

pytestmark = pytest.mark.slow
RUNS = Path(__file__).parents[1] / "golden/data/runs"
NEWER = ("mddt",)  # than the version that wrote the stored runs
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(params=ARCHITECTURES)
def arch(request) -> str:
    return request.param


def test_its_presets_resolve_and_its_configuration_is_read_again(arch, tmp_path):
    for name in preset_names(arch):
        for size in ("paper", "laptop"):
            config = resolve_config("sim/hopper-medium", size=size, preset=name, overrides={"model.arch": arch})
            assert config.model.arch == arch
            path = tmp_path / "config.yaml"
            path.write_text(dump_config(config))
            assert load_config(path) == config


def test_its_old_run_is_loaded(arch):
    if arch in NEWER:
        pytest.skip("no earlier version has it")
    folder = next(path.parent for path in sorted(RUNS.glob(f"**/{arch}-s42/run.json")))
    trained = load_trained(RunFolder(folder), torch.device("cpu"))
    assert trained.record.arch == trained.config.model.arch == arch
    assert isinstance(trained.model, implementation(arch).model)
    assert architecture_of_weights(trained.model.state_dict()) == arch


def test_it_is_offered_and_documented(arch):
    assert arch in complete.architectures()
    assert f"{arch} ({ARCHITECTURES[arch].summary})" in architectures_in_words()
    assert any(f"`{arch}`" in page.read_text() for page in DOCS.glob("*.md"))


def test_it_refuses_the_keys_of_others_and_says_who_has_them(arch):
    own = set(resolve_config("x", overrides={"model.arch": arch}).model.model_dump())
    for key in dotted_keys(Config):
        section, _, name = key.partition(".")
        if section == "model" and name not in own:
            with pytest.raises(UsageError, match=f"{key} = 1, but only an? .* has it, not {ARCHITECTURES[arch]}"):
                resolve_config("x", overrides={"model.arch": arch, key: 1})


MADE_UP = """
import sys, types
from pathlib import Path
from typing import Literal
from seqrl_cli.config import architectures
from seqrl_cli.config.architectures import POLICY, Architecture

architectures.ARCHITECTURES["guess"] = Architecture(
    "guess", POLICY, "a made-up policy", "loss", section="guess:Section", model="guess:IMPLEMENTATION",
    presets="policies/bc.yaml",
)
guess = sys.modules["guess"] = types.ModuleType("guess")

from seqrl_cli.config.model_sections import BehaviourCloningSection

class Section(BehaviourCloningSection):
    arch: Literal["guess"] = "guess"
    guesses: int = 3

guess.Section = Section

from seqrl_cli.models.decision.implementations import BC
guess.IMPLEMENTATION = BC

from typer.testing import CliRunner
from seqrl_cli.cli.app import app

def invoke(*words):
    result = CliRunner().invoke(app, [*words, "--runs-dir", sys.argv[1]])
    assert result.exit_code == 0, result.output
    return result.output

SMALL = ("model.n_layer=1", "model.width=8", "train.updates=2", "train.batch_size=4", "model.guesses=2")
invoke("train", "sim/hopper-medium", "data.transitions=200", "--arch", "guess", *SMALL)
assert "guesses: 2" in Path(sys.argv[1], "sim/hopper-medium/guess-s42/config.yaml").read_text()
invoke("plan", "guess-s42", "plan.episodes=1", "plan.max_steps=3")
assert "made-up" in CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "300"}).output
"""


@pytest.mark.slow
def test_one_that_is_added_needs_its_entry_alone(tmp_path):
    done = subprocess.run([sys.executable, "-c", MADE_UP, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
