"""Command lines of the pages: parsed as the program does, and made small."""

from __future__ import annotations

import re
from typing import Any

from typer.main import get_command

from seqrl_cli.cli import options
from seqrl_cli.cli.app import app
from seqrl_cli.config.continual import ContinualConfig
from tests.docs.conftest import PLAN, PLAY, TRAIN, TUNE

POLICIES = ("dt", "odt", "bc")


def parse(words: tuple[str, ...]) -> dict[str, Any]:
    """Parse a command line as the program does, configuration included, and return its options."""
    group = get_command(app)
    context = group.make_context("seqrl", list(words))
    name, command, rest = group.resolve_command(context, list(words))
    assert name is not None and command is not None
    params = command.make_context(name, rest, parent=context).params
    subjects, overrides = options.split_subjects(params.get("arguments"))
    most = 3 if name == "plan" else 2 if name in ("finetune", "continual", "sweep") else 1
    assert len(subjects) <= most
    if name == "continual":
        options.settings_below(name, ContinualConfig, overrides)
    else:
        options.configuration(overrides, fine_tunes=name == "finetune")
    return params


def arch_of(words: tuple[str, ...]) -> str:
    """The architecture that a command line names: its option's, or the beginning of its run's name."""
    if "--arch" in words:
        return words[words.index("--arch") + 1]
    return next((arch for arch in POLICIES for word in words if re.search(rf"(^|/){arch}-s\d", word)), "gpt")


def small(words: tuple[str, ...]) -> tuple[str, ...]:
    """What makes a command take seconds."""
    arch = arch_of(words)
    return {
        "demo": ("--dry-run",),
        "collect": ("-n", "300"),
        "train": (*TRAIN[arch], "--updates", "4"),  # the option is stronger than the key
        "plan": PLAY if arch in POLICIES else PLAN,
        "finetune-online": TUNE,
        "render": ("--every", "3"),
    }.get(words[0], ())
