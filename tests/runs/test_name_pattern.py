"""Patterns of names."""

from __future__ import annotations

import pytest

from seqrl_cli.runs.name_pattern import matches


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        (None, True),
        ("", True),
        ("hopper", True),
        ("Hopper", False),
        ("hopper*", False),
        ("*hopper*", True),
        ("*gpt-s[0-9]?", True),
        ("*Gpt-s[0-9]?", False),
    ],
)
def test_a_pattern_is_a_part_of_a_name_or_has_wildcards(pattern, fits):
    assert matches("sim/hopper-medium/gpt-s42", pattern) is fits
