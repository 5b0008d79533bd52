"""A part of the campaign of damaged files."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaigns.common import Outcome
from tests.campaigns.files.damage import DAMAGES
from tests.campaigns.files.texts import TEXTS, change_yaml
from tests.campaigns.judge import judge

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_part_of_the_campaign():
    command = [sys.executable, "-m", "tests.campaigns.files", "--seed", "3", "--trials", "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "60 tried, 0 failed", done.stdout + done.stderr


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_seeded_and_possible_everywhere(damage):
    for data in (b"", b"x", bytes(range(256)) * 40, b'{"step": 12}'):
        first, second = (damage(data, random.Random(5)) for _ in range(2))
        assert first == second


def test_changed_texts_are_seeded():
    data = b"a: 1\nb: {c: [x, y]}\n"
    for seed in range(50):
        assert change_yaml(data, random.Random(seed)) == change_yaml(data, random.Random(seed))
    assert len(TEXTS) > 50


@pytest.mark.parametrize(
    "outcome, problem",
    [
        (Outcome(0, "fine\n", "", 1.0), ""),
        (Outcome(1, "", "error: a is damaged\nhint: copy it\n", 1.0), ""),
        (Outcome(2, '{"error": "a"}\n', "", 1.0), ""),
        (Outcome(1, "", "error: a is damaged\n", 1.0), "no hint"),
        (Outcome(1, "", "", 1.0), "0 error lines"),
        (Outcome(1, "", "error: a\nerror: b\nhint: c\n", 1.0), "2 error lines"),
        (Outcome(-11, "", "", 1.0), "exit code -11"),
        (Outcome(3, "", "error: a\nhint: b\n", 1.0), "exit code 3"),
        (Outcome(1, "", "error: internal error: KeyError: 'a'\nhint: report it\n", 1.0), "internal error"),
        (Outcome(1, "", "Traceback (most recent call last):\nKeyError: 'a'\n", 1.0), "KeyError"),
        (Outcome(1, "", "error: out of memory\nhint: buy some\n", 1.0), "does not name"),
        (Outcome(1, "", f"error: {'x' * 3000}\nhint: shorter\n", 1.0), "characters"),
        (Outcome(0, "a\x1b[31m\n", "", 1.0), "control character"),
        (Outcome(0, "", "/a/b.py:12: RuntimeWarning: overflow\n", 1.0), "Python's own warning"),
        (Outcome(0, "", "", 21.0), "computed for"),
        (Outcome(0, "", "", 1.0, 2**31), "MiB"),
    ],
)
def test_judging(outcome, problem):
    found = judge(outcome)
    assert problem in found and bool(problem) == bool(found)
