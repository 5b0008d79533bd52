"""Every key of the configuration is explained, and the page about them is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.explain import EFFECTS, MATTER_MOST, SYMBOLS, all_keys, default_text
from tests.docs.configuration_page import page

KEYS = {one.key: one for one in all_keys()}


def test_every_key_has_a_meaning():
    assert [key for key, one in KEYS.items() if not one.meaning] == []
    assert {*EFFECTS, *SYMBOLS, *MATTER_MOST} <= set(KEYS)


@pytest.mark.parametrize(
    ("key", "effect"),
    [
        ("train.log_every", "does not change the model"),
        ("seed", "another seed of the same method"),
        ("train.beta1", "changes the model"),
        ("plan.envs", "does not change episodes"),
        ("plan.horizon", "changes episodes; larger: looks further ahead; time grows in proportion"),
    ],
)
def test_what_a_key_changes(key, effect):
    assert KEYS[key].effect == effect


def test_defaults_by_architecture():
    assert KEYS["plan.beam_width"].owners == ("gpt", "retnet") and set(KEYS["seed"].owners) == set(ARCHITECTURES)
    assert default_text("data.bins") == "100"
    assert "(dt" in default_text("model.width") or "(mddt" in default_text("model.width")


def test_the_page_is_current():
    path = Path(__file__).parents[2] / "docs/configuration.md"
    assert path.read_text(encoding="utf-8") == page(), "python -m tests.docs.write_configuration"
