"""Overrides over the values of a configuration."""

from __future__ import annotations

import pytest

from seqrl_cli.config.overrides import overridden, parse_overrides
from seqrl_cli.errors import UsageError

VALUES = {"seed": 1, "plan": {"target_return": 3000.0, "target_multiple": 1.0}}


@pytest.mark.parametrize(
    ("overrides", "plan"),
    [
        ({}, (3000.0, 1.0)),
        ({"plan.target_multiple": 1.5}, (None, 1.5)),
        ({"plan.target_multiple": 1.5, "plan.target_return": 70.0}, (70.0, 1.5)),
        ({"plan.target_return": 70.0}, (70.0, 1.0)),
    ],
)
def test_a_multiple_takes_the_place_of_a_target_that_is_a_number(overrides, plan):
    changed = overridden(VALUES, {**overrides, "seed": 2})
    assert changed == {"seed": 2, "plan": {"target_return": plan[0], "target_multiple": plan[1]}}
    assert VALUES["seed"] == 1


def test_a_mapping_takes_the_place_of_another():
    values = {"tasks": {"weights": {"dmc": 2}, "mixing": "sized"}}
    for weights in ({"metaworld": 3}, {}):
        assert overridden(values, {"tasks.weights": weights}) == {"tasks": {"weights": weights, "mixing": "sized"}}
    assert values["tasks"]["weights"] == {"dmc": 2}


@pytest.mark.parametrize("text", ["train.updates=", "train.updates= "])
def test_a_key_without_a_value_is_refused(text):
    with pytest.raises(UsageError, match="train.updates has no value") as error:
        parse_overrides([text], ["train.updates"])
    assert "train.updates=null" in error.value.hint
