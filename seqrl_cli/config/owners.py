"""Which keys of the configuration mean something to which architectures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqrl_cli.config.architectures import POLICIES, TOKEN_MODELS, with_article
from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.config.section import Owned, marks

_Keys = dict[str, tuple[str, ...]]  # by section
_ALL = (*TOKEN_MODELS, *POLICIES)
_OF_RETNET = ("value_width", "ffn_width", "mode", "chunk_size")
_OF_TOKENS: _Keys = {
    "data": ("bins", "discretizer", "discount", "termination_penalty"),
    "model": ("mask_values", "stop_token"),
    "train": ("n_epochs_ref", "schedule", "action_weight", "reward_weight", "value_weight"),
}
_OF_TRANSFORMERS: _Keys = {"model": ("n_head", "sequence_length", "embedding_dropout", "attention_dropout")}
_OF_POLICIES: _Keys = {"policy": ("optimizer", "warmup_updates", "top_share")}
_OF_DECISION_TRANSFORMERS: _Keys = {"policy": ("return_scale", "time_embedding")}
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
    found = {
        f"{section}.{key}": owners
        for owners, table in tables.items()
        for section, keys in table.items()
        for key in keys
    }
    return found | {f"plan.{key}": mark.archs for key, mark in marks(PlanConfig, Owned).items()}


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


def owners_in_words(key: str) -> str:
    """Who has a key: ``a gpt or a retnet``."""
    *first, last = (with_article(name) for name in OWNERS.get(key, _ALL))
    return f"{', '.join(first)} or {last}" if first else last
