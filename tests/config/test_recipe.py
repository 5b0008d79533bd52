"""What makes another method, and what is only bookkeeping."""

from __future__ import annotations

from typing import Any

from seqrl_cli.config.overrides import dotted_keys
from seqrl_cli.config.presets import resolve_config
from seqrl_cli.config.recipe import BOOKKEEPING, NUMBERS, SEEDS, recipe_of
from seqrl_cli.config.schema import Config


def recipe(arch: str = "gpt", **train: Any) -> str:
    keys = {"model.arch": arch, **{f"train.{key}": value for key, value in train.items()}}
    return recipe_of(resolve_config("sim/hopper-medium", size="laptop", preset="base", overrides=keys))


def test_bookkeeping_makes_no_other_method():
    kept = [{"log_every": 7}, {"checkpoint_every": 50, "keep_checkpoints": 9}, {"compile": True}]
    assert {recipe(**one) for one in kept} == {recipe()}
    assert recipe(learning_rate=1e-3) != recipe() and recipe("retnet") != recipe()


def test_every_key_is_classified_once():
    plan = [key for key in dotted_keys(Config) if key.startswith("plan.")]  # told by the name of the plan's folder
    assert sorted([*NUMBERS, *SEEDS, *BOOKKEEPING, *plan]) == sorted(dotted_keys(Config))


def test_a_new_key_at_its_default_leaves_the_recipes_of_old_runs(monkeypatch):
    before = recipe()
    monkeypatch.delitem(NUMBERS, "model.stop_token")
    assert recipe() == before
