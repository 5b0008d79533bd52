"""The settings in which models of one architecture differ, where their results stand below each other."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from seqrl_cli.config.explain import MATTER_MOST
from seqrl_cli.config.recipe import NUMBERS
from seqrl_cli.config.value_text import short_text
from seqrl_cli.reports.results import EpisodeResult

_MAX_SETTINGS = 4  # of a row
_LONGEST = 40  # characters of a value
_SAID_ELSEWHERE = ("dataset", "model.arch", "finetune.parent_recipe")
_ORDER = [*MATTER_MOST, *(key for key in NUMBERS if key not in MATTER_MOST)]


def differing_settings(groups: Sequence[Sequence[EpisodeResult]]) -> list[str]:
    """What sets the models of each group apart from those of the same architecture on the same dataset.

    Args:
        groups: episodes of models that share a recipe, not empty.

    Returns:
        For each group, the keys in which such models differ with its own values, the most important ones first:
        ``policy.top_share=0.1, train.updates=20``. Empty where nothing differs, or the settings are not known.
    """
    numbers = [_numbers(group) for group in groups]
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        if numbers[index]:
            alike[group[0].dataset, group[0].kind].append(index)
    texts = [""] * len(groups)
    for indices in alike.values():
        keys = [key for key in _ORDER if len({_comparable(numbers[index], key) for index in indices}) > 1]
        for index in indices:
            texts[index] = _text(numbers[index], keys)
    return texts


def _numbers(group: Sequence[EpisodeResult]) -> Mapping[str, Any]:
    return next((episode.numbers for episode in group if episode.numbers), {})


def _comparable(numbers: Mapping[str, Any], key: str) -> str:
    return "" if key in _SAID_ELSEWHERE or key not in numbers else json.dumps(numbers[key], sort_keys=True)


def _text(numbers: Mapping[str, Any], keys: Sequence[str]) -> str:
    own = [key for key in keys if key in numbers]
    shown = ", ".join(f"{key}={_shortened(short_text(numbers[key]))}" for key in own[:_MAX_SETTINGS])
    return shown + (f" and {len(own) - _MAX_SETTINGS} more" if len(own) > _MAX_SETTINGS else "")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
