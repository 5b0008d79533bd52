"""The registry of architectures, the only place that lists them.

A new architecture needs an entry here, its section of the configuration, its module below ``models/`` and its preset.
Help, completion, the owners of keys, names of plans' folders and messages follow from the entry. Nothing heavy is
imported here, because the command line's help reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Trait = Literal["planner", "policy", "multi-task", "return-conditioned", "explores", "recurrent"]
"""What architectures can have in common: a key of the configuration belongs to all architectures with its trait."""


@dataclass(frozen=True)
class Kind:
    """What all architectures of a kind share.

    Attributes:
        name: name of the kind, also the trait that they all have.
        reads: the data that they are trained on, in a word.
        named_by: keys of ``plan`` that start the name of a plan's folder.
        paper_schedule: whether the learning rate follows the papers' schedule over the whole run, which then also
            gives the number of updates. Otherwise a run can be continued, unless its own schedule ends at a number.
    """

    name: Literal["planner", "policy", "multi-task"]
    reads: str
    named_by: tuple[str, ...]
    paper_schedule: bool


PLANNER = Kind("planner", "tokens", ("horizon", "beam_width", "max_context_transitions"), paper_schedule=True)
"""Token models, with which beam search plans."""

POLICY = Kind("policy", "data", ("target_return", "max_context_transitions"), paper_schedule=False)
"""Models that predict actions themselves."""

MULTI_TASK = Kind("multi-task", "data", ("max_context_transitions",), paper_schedule=False)
"""Models that predict the actions of many tasks, with a target return for each."""


@dataclass(frozen=True)
class Architecture:
    """What an architecture is.

    Attributes:
        name: name in ``--arch``.
        kind: the kind, which says what it shares with others.
        summary: description in a few words, for help.
        loss: description of its training loss, with the unit.
        section: class of the configuration's section ``model``, as ``module:class``.
        model: implementation, which makes, decodes and recognizes models, as ``module:name``.
        presets: file below ``presets/``; None = ``base.yaml`` and the files of the dataset families.
        return_conditioned: whether its actions are conditioned on a target return.
        recurrent: whether it can carry its state from step to step of an episode instead of seeing a window.
        no_exploration: why it cannot be fine-tuned online; None = it can.
        exports: formats of other projects to which its models can be exported.
    """

    name: str
    kind: Kind
    summary: str
    loss: str
    section: str
    model: str
    presets: str | None = None
    return_conditioned: bool = False
    recurrent: bool = False
    no_exploration: str | None = "it plans with tokens"
    exports: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name as papers write it: the summary without what explains it."""
        return self.summary.partition(":")[0]

    @property
    def traits(self) -> frozenset[Trait]:
        """What it has in common with others."""
        optional: dict[Trait, bool] = {
            "return-conditioned": self.return_conditioned,
            "explores": self.no_exploration is None,
            "recurrent": self.recurrent,
        }
        return frozenset([self.kind.name, *(trait for trait, has in optional.items() if has)])

    def __str__(self) -> str:
        """``a gpt``, ``an odt``."""
        return f"an {self.name}" if self.name[0] in "aeiou" or self.name == "mddt" else f"a {self.name}"


_CROSS_ENTROPY = "cross-entropy (nats per token)"
_SQUARED_ERROR = "squared error of actions, or cross-entropy of choices (nats)"

_ENTRIES = (
    Architecture(
        "gpt",
        PLANNER,
        "Trajectory Transformer",
        _CROSS_ENTROPY,
        section="seqrl_cli.config.model_sections:GPTSection",
        model="seqrl_cli.models.gpt.build:IMPLEMENTATION",
        exports=("trajectory-transformer",),
    ),
    Architecture(
        "retnet",
        PLANNER,
        "Trajectory RetNet: retention instead of attention",
        _CROSS_ENTROPY,
        section="seqrl_cli.config.model_sections:RetNetSection",
        model="seqrl_cli.models.retnet.build:IMPLEMENTATION",
        recurrent=True,
    ),
    Architecture(
        "dt",
        POLICY,
        "Decision Transformer",
        _SQUARED_ERROR,
        section="seqrl_cli.config.model_sections:DecisionTransformerSection",
        model="seqrl_cli.models.decision.implementations:DT",
        presets="policies/dt.yaml",
        return_conditioned=True,
        no_exploration="it has no exploration of its own",
    ),
    Architecture(
        "odt",
        POLICY,
        "Online Decision Transformer",
        "negative log-likelihood of actions (nats)",
        section="seqrl_cli.config.model_sections:OnlineDecisionTransformerSection",
        model="seqrl_cli.models.decision.implementations:ODT",
        presets="policies/odt.yaml",
        return_conditioned=True,
        no_exploration=None,
    ),
    Architecture(
        "bc",
        POLICY,
        "behaviour cloning",
        _SQUARED_ERROR,
        section="seqrl_cli.config.model_sections:BehaviourCloningSection",
        model="seqrl_cli.models.decision.implementations:BC",
        presets="policies/bc.yaml",
        no_exploration="it is not conditioned on a return",
    ),
    Architecture(
        "mddt",
        MULTI_TASK,
        "Multi-Domain Decision Transformer",
        "cross-entropy (nats per action token)",
        section="seqrl_cli.config.model_sections:MultiDomainSection",
        model="seqrl_cli.models.decision.implementations:MDDT",
        presets="policies/mddt.yaml",
        no_exploration="it is trained on many tasks at once",
    ),
)

ARCHITECTURES = {entry.name: entry for entry in _ENTRIES}
"""The architectures by name."""

DEFAULT = "gpt"


def names_with(trait: Trait, other: Trait | None = None) -> tuple[str, ...]:
    """The architectures that have a trait, or another one, in the registry's order."""
    return tuple(name for name, entry in ARCHITECTURES.items() if entry.traits & {trait, other})


def with_article(name: str) -> str:
    """``a gpt``, ``an odt``."""
    return str(ARCHITECTURES[name]) if name in ARCHITECTURES else f"a {name}"


def listed(names: tuple[str, ...]) -> str:
    """``gpt, retnet and odt``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def in_words(names: tuple[str, ...]) -> str:
    """``a gpt, a retnet or an odt``."""
    *first, last = (with_article(name) for name in names)
    return f"{', '.join(first)} or {last}" if first else last


def architectures_in_words() -> str:
    """All of them with their summaries, for help: ``gpt (Trajectory Transformer), …``."""
    *first, last = (f"{name} ({entry.summary})" for name, entry in ARCHITECTURES.items())
    return f"{', '.join(first)} or {last}"
