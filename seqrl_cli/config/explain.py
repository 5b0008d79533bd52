"""What each key of the configuration means: its description, the papers' symbol, its effect, and its defaults.

Descriptions and defaults are those of the sections; only symbols and effects that cannot be derived are written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.model_sections import ModelSection
from seqrl_cli.config.nested import get_dotted
from seqrl_cli.config.overrides import dotted_keys, sections_of
from seqrl_cli.config.owners import owners
from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.config.presets import resolve_config
from seqrl_cli.config.recipe import BOOKKEEPING, SEEDS
from seqrl_cli.config.schema import Config
from seqrl_cli.config.section import NotInName, marks
from seqrl_cli.config.value_text import value_text

TT, DT, ODT = "arXiv 2106.02039", "arXiv 2106.01345", "arXiv 2202.05607"

SYMBOLS = {
    "data.bins": f"N ({TT}, release)",
    "data.discount": f"γ ({TT})",
    "model.sequence_length": f"K ({DT}, {ODT})",
    "train.beta1": "β₁ of Adam",
    "train.beta2": "β₂ of Adam",
    "plan.horizon": f"H ({TT}, release)",
    "plan.beam_width": f"B ({TT})",
    "plan.target_return": f"R, the first return-to-go ({DT})",
    "policy.initial_temperature": f"λ, at the start ({ODT})",
}
"""Symbols of papers and their releases, as far as they were checked; a key without one may have one there."""

EFFECTS = {
    "data.bins": "larger: finer numbers, a larger vocabulary",
    "model.width": "larger: a larger model, slower",
    "model.n_layer": "larger: a larger model, slower",
    "model.sequence_length": "larger: a longer memory; training time grows in proportion",
    "train.updates": "larger: a lower training loss, then overfitting on small data",
    "train.batch_size": "larger: smoother gradients, slower updates",
    "train.learning_rate": "larger: faster learning, until it diverges",
    "plan.horizon": "larger: looks further ahead; time grows in proportion",
    "plan.beam_width": "larger: a wider search; time and memory grow in proportion",
    "plan.k_act": "smaller: greedier actions",
    "plan.k_obs": "1: the likeliest observations only",
    "plan.cdf_act": "larger: unlikely actions are not tried",
    "plan.elites": "larger: smoother actions; too many: the average of bad plans, too",
    "plan.ensemble": "larger: less depends on one seed; time and memory grow in proportion",
    "plan.plan_freq": "larger: fewer searches, faster, less feedback",
    "plan.seconds_per_step": "smaller: looks less far ahead; episodes then depend on the machine's speed",
    "plan.target_return": "larger: asks for better behaviour; far above the data it can be ignored, or mislead",
    "plan.target_multiple": "larger: asks for better behaviour than the data have, which helps some models",
    "train.return_emphasis": "larger: learns most from the best episodes, and overfits them if they are few",
    "policy.top_share": "smaller: imitates the best episodes only",
    "train.eval_every": "smaller: a finer learning curve; training waits only for evaluations that take longer",
    "train.keep_checkpoints": "larger: more disk; the best checkpoint is kept besides",
}
"""What a larger or smaller value of a key does, for the keys that are changed most."""

MATTER_MOST = (
    "train.updates",
    "train.batch_size",
    "train.learning_rate",
    "train.eval_every",
    "model.n_layer",
    "model.width",
    "model.n_head",
    "model.sequence_length",
    "data.bins",
    "policy.top_share",
)
"""The keys that help names; the generated page and ``seqrl presets show DATASET --explain`` have all."""


@dataclass(frozen=True)
class KeyHelp:
    """One key.

    Attributes:
        key: the dotted key, as on the command line.
        meaning: meaning of the key in a few words.
        symbol: symbol in the papers; empty if there is none.
        effect: what it changes: the trained model, the episodes, or neither.
        owners: the architectures that have it.
    """

    key: str
    meaning: str
    symbol: str
    effect: str
    owners: tuple[str, ...]


@cache
def all_keys() -> tuple[KeyHelp, ...]:
    """Every key, in the order of the configuration."""
    keys = [key for key in dotted_keys(Config) if not key.startswith("finetune.")]
    return tuple(KeyHelp(key, _meaning(key), SYMBOLS.get(key, ""), _effect(key), _owners(key)) for key in keys)


def _field(dotted: str) -> Any:
    """The declaration of a key; that of ``model`` in the first architecture that has it."""
    section, _, key = dotted.rpartition(".")
    if not section:
        return Config.model_fields[key]
    kinds = sections_of(Config.model_fields[section].annotation)
    return next(kind.model_fields[key] for kind in kinds if key in kind.model_fields)


def _meaning(dotted: str) -> str:
    if dotted == "model.arch":  # each architecture declares its own name
        return str(ModelSection.model_fields["arch"].description)
    return str(_field(dotted).description or "").strip()


def _owners(dotted: str) -> tuple[str, ...]:
    return owners(dotted) if "." in dotted else tuple(ARCHITECTURES)


def _effect(dotted: str) -> str:
    """What a key changes, and in which direction where that is known."""
    if dotted in SEEDS:
        what = "another seed of the same method"
    elif dotted in BOOKKEEPING:
        what = "does not change the model"
    elif dotted.startswith("plan."):
        unnamed = marks(PlanConfig, NotInName)
        what = "does not change episodes" if dotted.partition(".")[2] in unnamed else "changes episodes"
    else:
        what = "changes the model"
    return f"{what}; {EFFECTS[dotted]}" if dotted in EFFECTS else what


def defaults_of(dotted: str, size: str = "paper") -> dict[str, Any]:
    """The default of a key by architecture, at one size, before a dataset's preset changes it."""
    return {arch: get_dotted(_base(arch, size), dotted) for arch in _owners(dotted)}


@cache
def _base(arch: str, size: str) -> dict[str, Any]:
    return resolve_config("base", size=size, preset="base", overrides={"model.arch": arch}).model_dump()


def default_text(dotted: str, size: str = "paper") -> str:
    """The default: one value, or several with their architectures, such as ``128; 96 (dt, odt)``."""
    by_value: dict[str, list[str]] = {}
    for arch, value in defaults_of(dotted, size).items():
        by_value.setdefault(value_text(value), []).append(arch)
    ordered = sorted(by_value.items(), key=lambda item: -len(item[1]))
    first, *others = ordered
    return "; ".join([first[0], *(f"{value} ({', '.join(archs)})" for value, archs in others)])
