"""A part of the campaign of full disks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
QUICK = (30, 36, 43, 61, 67, 105)
"""Trials of the seed 1 that discretize, export, plot and tabulate."""


def test_a_part_of_the_campaign(tmp_path) -> None:
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    subprocess.run(["umount", str(tmp_path)], check=True)
    only = [word for number in QUICK for word in ("--only", str(number))]
    command = [sys.executable, "-m", "tests.campaigns.disk", *only]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"{len(QUICK)} tried, 0 failed", done.stdout + done.stderr
