"""The keys of every command's ``--json`` are words joined by ``_``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from seqrl_cli.cli.app import app
from seqrl_cli.config.extras import is_installed
from tests.cli.conftest import TINY_MODEL, TINY_ODT, TINY_PLAN, TINY_TRAIN, TINY_TUNE

pytestmark = pytest.mark.slow

DATA = "sim/hopper-medium"
COMMANDS = [
    ("demo", "--dry-run"),
    ("demo", "continual", "--dry-run"),
    ("demo", "domains", "--dry-run"),
    ("download", DATA),
    ("download", "sim/hopper-random", "--dry-run"),
    ("download", "--list", "hopper"),
    ("discretize", DATA),
    ("discretize", DATA, "--dry-run"),
    ("train", DATA, *TINY_TRAIN),
    ("train", DATA, *TINY_TRAIN, "--dry-run"),
    ("train", DATA, *TINY_TRAIN, "--seeds", "1,2", "--name", "both", "--dry-run"),
    ("plan", "gpt-s42", *TINY_PLAN),
    ("plan", "gpt-s42", *TINY_PLAN, "--dry-run"),
    ("finetune", "gpt-s42", "sim/hopper-random", "--adapter", "lora", "--dry-run"),
    ("finetune-online", "odt", *TINY_TUNE, "--dry-run"),
    ("continual", "many", "sim/hopper-expert", "--dry-run"),
    ("render", "gpt-s42", "--dry-run"),
    ("table",),
    ("table", "--published"),
    ("sweep", DATA, "train.batch_size=4,8", *TINY_MODEL, "--dry-run"),
    ("tune", DATA, "train.learning_rate=log:1e-4..1e-3", "--trials", "2", "--dry-run"),
    ("plot", DATA, "--dry-run"),
    ("report", "--dry-run"),
    ("collect", "hopper", "-n", "100", "--dry-run"),
    ("import", "nothing.pt"),
    ("export", DATA, "-o", "out.npz", "--dry-run"),
    ("runs",),
    ("runs", "show", "gpt-s42"),
    ("runs", "delete", "gpt-s42", "--dry-run"),
    ("watch", "gpt-s42", "--once"),
    ("presets",),
    ("presets", "show", DATA),
    ("presets", "show", DATA, "--explain"),
    ("info",),
    ("info", DATA),
]
NAMES = {"extras", "versions", "weights", "columns", "last_metrics"}  # their keys are names of packages and the like


def keys_of(value: Any) -> Iterator[str]:
    """All keys, without those that are names."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield key
            if key not in NAMES:
                yield from keys_of(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from keys_of(entry)


def test_every_command_is_tried():
    assert {words[0] for words in COMMANDS} == set(get_command(app).commands)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_keys_are_words_joined_by_underscores(seqrl, words):
    if words[0] == "demo" and len(words) > 2:  # of domains, or continual
        for extra in ("metaworld", "dmc"):
            if not is_installed(extra):
                pytest.skip(f"needs the extra {extra}")
    if words[0] == "finetune-online":
        assert seqrl("train", DATA, *TINY_ODT, "--name", "odt").exit_code == 0
    if words[0] == "continual":
        tiny = ("model.width=16", "model.n_layer=1", "train.updates=2", "train.batch_size=8")
        assert seqrl("train", DATA, "--arch", "mddt", *tiny, "--name", "many").exit_code == 0
    result = seqrl(*words, "--json")
    assert result.exit_code == (1 if words[0] == "import" else 0), result.output
    odd = [key for key in keys_of(json.loads(result.stdout)) if not re.fullmatch(r"[a-z][a-z0-9_.]*", key)]
    assert not odd
