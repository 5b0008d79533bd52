"""Settings that cannot be carried out are refused with the value in the sentence."""

from __future__ import annotations

import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning.settings import SearchSettings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beam_width": 0}, "beam_width = 0"),
        ({"horizon": 0}, "horizon = 0"),
        ({"k_act": 0}, "k_act = 0"),
        ({"cdf_act": 1.5}, "cdf_act = 1.5"),
        ({"percentile": "median"}, "plan: percentile = 'median'"),
        ({"percentile": 75}, "percentile is 75"),
        ({"plan_freq": 16}, "plan_freq 16 exceeds the horizon 15"),
        ({"max_context_transitions": 1}, "1 transition cannot plan 15"),
        ({"window": "slidng"}, "window = 'slidng'.*did you mean 'sliding'"),
        ({"precision": "fp8"}, "precision = 'fp8'"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(SeqrlError, match=message):
        SearchSettings(**changes)


def test_context_must_fit_a_sliding_window():
    SearchSettings(max_context_transitions=10).check_fits(159, 16)
    with pytest.raises(SeqrlError, match="context 11 .* needs 11 transitions, but the model's context holds 10"):
        SearchSettings(max_context_transitions=11).check_fits(159, 16)


def test_context_and_horizon_must_fit_a_growing_window():
    SearchSettings(window="growing", horizon=6).check_fits(159, 16)
    with pytest.raises(SeqrlError, match="needs 19 transitions, but the model's context holds 10"):
        SearchSettings(window="growing", horizon=15).check_fits(159, 16)
