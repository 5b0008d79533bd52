"""A part of the campaign of kills."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
QUICK = (7, 30, 36, 61, 66, 105)
"""Trials of the seed 1 that discretize, export and plot."""


def test_a_part_of_the_campaign() -> None:
    only = [word for number in QUICK for word in ("--only", str(number))]
    command = [sys.executable, "-m", "tests.campaigns.kill", *only]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"{len(QUICK)} tried, 0 failed", done.stdout + done.stderr
