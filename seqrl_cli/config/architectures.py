"""Which architectures there are, and which keys of the configuration mean something to which of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOKEN_MODELS = ("gpt", "retnet")
"""They read tokens, and a planner searches with them."""

POLICIES = ("dt", "odt", "bc")
"""They say actions themselves."""

_Keys = dict[str, tuple[str, ...]]  # by section
_ALL = (*TOKEN_MODELS, *POLICIES)
_OF_RETNET = ("value_width", "ffn_width", "mode", "chunk_size")
_OF_TOKENS: _Keys = {
    "data": ("bins", "discretizer", "discount", "termination_penalty"),
    "model": ("mask_values", "stop_token"),
    "train": ("n_epochs_ref", "schedule", "action_weight", "reward_weight", "value_weight"),
    "plan": (
        *("horizon", "beam_width", "n_expand", "k_obs", "k_act", "cdf_obs", "cdf_act", "percentile"),
        *("prefix_context", "context", "plan_freq", "discount", "window", "precision", "engine"),
    ),
}
_OF_TRANSFORMERS: _Keys = {"model": ("n_head", "sequence_length", "embedding_dropout", "attention_dropout")}
_OF_POLICIES: _Keys = {"policy": ("optimizer", "warmup_updates", "top_share")}
_OF_DECISION_TRANSFORMERS: _Keys = {"policy": ("return_scale", "time_embedding"), "plan": ("target_return",)}
_OF_ODT: _Keys = {
    "policy": ("stochastic_tanh", "entropy_samples", "target_entropy", "initial_temperature", "temperature_rate"),
    "online": (
        *("seed", "iterations", "envs", "updates", "capacity", "exploration_return", "exploration_ratio"),
        *("noise", "learning_rate"),
        *("eval_every", "eval_episodes", "checkpoint_every", "max_steps"),
    ),
}


def _owners() -> dict[str, tuple[str, ...]]:
    tables: dict[tuple[str, ...], _Keys] = {
        ("retnet",): {"model": _OF_RETNET},
        TOKEN_MODELS: _OF_TOKENS,
        (*TOKEN_MODELS, "dt", "odt"): _OF_TRANSFORMERS,
        POLICIES: _OF_POLICIES,
        ("dt", "odt"): _OF_DECISION_TRANSFORMERS,
        ("odt",): _OF_ODT,
    }
    return {
        f"{section}.{key}": owners
        for owners, table in tables.items()
        for section, keys in table.items()
        for key in keys
    }


OWNERS = _owners()
"""The architectures that have a key, for the keys that not all of them have."""

RETNET_KEYS = _OF_RETNET


def foreign_key(arch: str, overrides: Mapping[str, Any]) -> str | None:
    """What is wrong with the first of some dotted overrides that an architecture does not have, as a sentence."""
    for dotted, value in overrides.items():
        if arch in _ALL and arch not in OWNERS.get(dotted, _ALL):
            return f"{dotted} = {value!r}, but only {owners_in_words(dotted)} has it, not {with_article(arch)}"
    return None


def meaningful(values: Mapping[str, Any], arch: str) -> dict[str, Any]:
    """A configuration as nested dictionaries, without the keys that an architecture does not have."""
    kept: dict[str, Any] = {}
    for section, content in values.items():
        if isinstance(content, Mapping):
            content = {key: value for key, value in content.items() if arch in OWNERS.get(f"{section}.{key}", (arch,))}
        if content != {}:
            kept[section] = content
    return kept


def with_article(name: str) -> str:
    """``a gpt``, ``an odt``."""
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def owners_in_words(key: str) -> str:
    """Who has a key: ``a gpt or a retnet``."""
    *first, last = (with_article(name) for name in OWNERS.get(key, _ALL))
    return f"{', '.join(first)} or {last}" if first else last
