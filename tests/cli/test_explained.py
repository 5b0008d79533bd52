"""Keys are explained, and a dry run of plan says how long it takes; ``--checkpoint best`` plans with the best one."""

from __future__ import annotations

import json
import re

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from seqrl_cli.cli.app import app
from seqrl_cli.config.explain import MATTER_MOST, defaults_of
from tests.cli.conftest import assert_refused, succeed
from tests.data.files import write_file


def test_presets_are_explained(tmp_path):
    text = succeed(tmp_path, "presets", "show", "hopper-medium-v2", "--explain").stdout
    assert "plan.horizon=15  [H (arXiv 2106.02039" in text and "transitions planned ahead; changes episodes" in text
    assert "policy.top_share" not in text
    keys = json.loads(succeed(tmp_path, "presets", "show", "base", "--arch", "dt", "--explain", "--json").stdout)[
        "keys"
    ]
    assert {"key", "value", "meaning", "symbol", "effect"} == set(keys[0])
    assert "policy.top_share" in {row["key"] for row in keys}


@pytest.mark.slow
def test_presets_of_own_data_are_shown(fresh, tmp_path):
    path = write_file(tmp_path / "mine.hdf5")
    assert fresh("download", path, "data.env_id=Hopper-v4").exit_code == 0
    shown = json.loads(fresh("presets", "show", "local/mine", "--arch", "dt", "--json").stdout)
    assert (shown["size"], shown["dataset"], shown["model"]["arch"]) == ("laptop", "local/mine", "dt")


def test_help_names_the_keys_that_matter_most(tmp_path):
    text = succeed(tmp_path, "train", "--help").stdout
    assert all(key in text for key in MATTER_MOST) and "--explain" in text


@pytest.mark.parametrize("command", [[], *([name] for name in get_command(app).commands)], ids=" ".join)
def test_help_has_no_names_of_python_types(command):
    told = CliRunner(env={"COLUMNS": "250"}).invoke(app, [*command, "--help"])
    assert told.exit_code == 0 and "--help" in told.stdout
    assert not re.search(r"<(list|str|int|float|bool|path|Path)\b", told.stdout)


DEFAULTS = [
    ("plan", "plan.horizon", "gpt", "the run's, {} at size paper, {} at laptop"),
    ("plan", "plan.beam_width", "gpt", "the run's, {} at size paper, {} at laptop"),
    ("plan", "plan.episodes", "gpt", "gpt and retnet {}, {} at laptop"),
    ("plan", "plan.episodes", "dt", "Episodes to play (default: the run's: {}"),
    ("plan", "plan.envs", "gpt", "gpt and retnet {}; mddt"),
    ("plan", "plan.envs", "mddt", "mddt {}, {} at laptop)"),
    ("plan", "plan.episodes", "mddt", "mddt {} per task, {} at laptop"),
    ("finetune-online", "online.iterations", "odt", "default: {} at size paper, {} at laptop"),
    ("finetune-online", "online.envs", "odt", "default: {} at size paper, {} at laptop"),
    ("finetune-online", "online.updates", "odt", "default: {} at size paper, {} at laptop"),
    (
        "finetune-online",
        "online.exploration_ratio",
        "odt",
        "default: {} times --target-return at size paper, {} times at laptop",
    ),
    ("train", "train.eval_episodes", "gpt", "Episodes per evaluation and task (default: {})"),
]


@pytest.mark.parametrize(("command", "key", "arch", "text"), DEFAULTS)
def test_help_shows_the_defaults_of_the_presets(tmp_path, command, key, arch, text):
    shown = CliRunner(env={"COLUMNS": "250"}).invoke(app, [command, "--help"]).stdout
    values = [defaults_of(key, size)[arch] for size in ("paper", "laptop")]
    assert text.format(*values) in " ".join(shown.split())


@pytest.mark.slow
def test_a_dry_run_estimates_the_time_and_the_best_checkpoint_is_found(seqrl):
    facts = json.loads(seqrl("plan", "gpt-s42", "--episodes", "40", "--dry-run", "--json").stdout)
    assert facts["estimated_time"].startswith("about ") and "episodes, if none ends before" in facts["estimated_time"]
    short = json.loads(seqrl("plan", "gpt-s42", "--episodes", "2", "plan.max_steps=1", "--dry-run", "--json").stdout)
    assert short["estimated_time"].startswith("about ") and short["estimated_time"].endswith("before 1 steps")
    best = json.loads(seqrl("plan", "gpt-s42", "--checkpoint", "best", "--dry-run", "--json").stdout)
    assert best["checkpoint"] > 0 and f"-step{best['checkpoint']}-s0" in best["to"]
    assert_refused(seqrl("plan", "gpt-s42", "--checkpoint", "finest"), 2, "not a number of updates", "best")
