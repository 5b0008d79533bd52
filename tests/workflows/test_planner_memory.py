"""A plan's memory is stated as it will be taken: what does not fit is planned in several batches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning.settings import SearchSettings
from seqrl_cli.workflows.plan.agents import BeamSearchSpec

MIB = 2**20
SEQUENCES = 15 * 128 * 2 * 3 * 8
"""Bytes of the tokens and rewards of a plan, of 128 beams twice over and 15 transitions of two tokens."""


def search(max_memory: int) -> BeamSearchSpec:
    decoder: Any = SimpleNamespace(cache_bytes=lambda *_: 100 * MIB - SEQUENCES, observation_dim=0, action_dim=0)
    unused: Any = None
    return BeamSearchSpec(unused, decoder, SearchSettings(), max_memory)


def test_all_at_once():
    assert search(3000 * MIB).facts(25) == {"memory": "2,500 MiB, of 3,000 MiB allowed"}


def test_in_batches():
    assert search(410 * MIB).facts(25) == {"memory": "400 MiB (4 plans per batch), of 410 MiB allowed"}
    assert search(410 * MIB).describe(25).endswith("25 at once, 400 MiB (4 plans per batch)")


def test_not_even_one():
    with pytest.raises(SeqrlError, match="one plan needs 100 MiB, but only 50 MiB may be used"):
        search(50 * MIB).facts(25)
