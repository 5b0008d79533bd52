"""The registry's entries for policies: their constructors, their decoders, and how their weights are recognized."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from seqrl_cli.models.decision.behaviour_cloning import BehaviourCloning
from seqrl_cli.models.decision.decision_transformer import DecisionTransformer
from seqrl_cli.models.decision.decoder import CloningDecoder, PolicyDecoder, TransformerDecoder
from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer
from seqrl_cli.models.implementation import Implementation, State


@dataclass(frozen=True)
class PolicyImplementation(Implementation):
    """How policies are made and decoded.

    Attributes:
        decoder: makes the decoder of a policy, given the number of steps that it sees.
    """

    decoder: Callable[[Any, int], PolicyDecoder]


def _is_single_task(state: State) -> bool:
    """Whether weights are a Decision Transformer's for one task."""
    return "embed_return.weight" in state and "embed_kind.weight" not in state


def _has_stochastic_form(state: State, *, stochastic: bool) -> bool:
    """Whether the head of a Decision Transformer predicts what a dt's or an odt's does; choices look alike in both."""
    if "normalizer.choices" in state:
        return True
    return (len(state["head.bias"]) == 2 * state["embed_action.weight"].shape[1]) is stochastic


DT = PolicyImplementation(
    model=DecisionTransformer,
    make=partial(DecisionTransformer, stochastic=False),
    owns=lambda state: _is_single_task(state) and _has_stochastic_form(state, stochastic=False),
    decoder=TransformerDecoder,
)
ODT = PolicyImplementation(
    model=DecisionTransformer,
    make=partial(DecisionTransformer, stochastic=True),
    owns=lambda state: _is_single_task(state) and _has_stochastic_form(state, stochastic=True),
    decoder=TransformerDecoder,
)
BC = PolicyImplementation(
    model=BehaviourCloning,
    make=BehaviourCloning,
    owns=lambda state: "hidden.0.0.weight" in state,
    decoder=lambda policy, context: CloningDecoder(policy),
)
MDDT = Implementation(
    model=MultiDomainTransformer,
    make=MultiDomainTransformer,
    owns=lambda state: "embed_kind.weight" in state and "embed_return.weight" in state,
)
