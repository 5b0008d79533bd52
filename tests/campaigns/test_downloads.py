"""A few of the campaign's downloads, at another seed than the documented one."""

from __future__ import annotations

import pytest

from tests.campaigns.common import failures, sample
from tests.campaigns.downloads import make_trials

pytestmark = pytest.mark.slow


def test_downloads_end_with_the_right_file_or_a_sentence():
    trials = make_trials(7)
    numbers = [number for number in sample(trials, 48, 7) if "command itself" not in trials[number].name]
    assert failures(trials, numbers, 7) == []
