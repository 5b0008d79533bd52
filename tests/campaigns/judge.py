"""The verdict on a damaged file: the campaigns' common one, and what an error message must be."""

from __future__ import annotations

import re

from tests.campaigns.common import Outcome, verdict

LONGEST_MESSAGE = 2000
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PYTHON_WARNING = re.compile(r"\.py:\d+: \w*Warning: .*")


def judge(outcome: Outcome) -> str:
    """What is wrong with how a command or reader ended; empty if nothing is."""
    if problem := verdict(outcome):
        return problem
    text = outcome.stdout + outcome.stderr
    lines = outcome.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if any("out of memory" in line for line in errors):
        return "'out of memory' does not name the file"
    if errors and not any(line.startswith("hint: ") and line != "hint: " for line in lines):
        return f"no hint: {errors[0][:200]}"
    if longest := max((line for line in lines if len(line) > LONGEST_MESSAGE), default=""):
        return f"a message of {len(longest):,} characters: {longest[:100]}"
    if found := _CONTROLS.search(text):
        return f"a control character is printed: {text[max(found.start() - 60, 0) : found.end() + 60]!r}"
    if found := _PYTHON_WARNING.search(text):
        return f"Python's own warning: {found.group()[:200]}"
    return ""
