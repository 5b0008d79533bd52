"""A part of the campaign of hostile files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_part_of_the_campaign():
    command = [sys.executable, "-m", "tests.campaigns.security", "--seed", "3", "--trials", "20"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "20 tried, 0 failed", done.stdout + done.stderr
