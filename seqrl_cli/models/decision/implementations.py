"""What the registry needs of the policies: their constructors, their decoders and the marks of their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from seqrl_cli.models.decision.behaviour_cloning import BehaviourCloning
from seqrl_cli.models.decision.decision_transformer import DecisionTransformer
from seqrl_cli.models.decision.decoder import CloningDecoder, PolicyDecoder, TransformerDecoder
from seqrl_cli.models.implementation import Implementation, State


@dataclass(frozen=True)
class PolicyImplementation(Implementation):
    """How policies are made and decoded.

    Attributes:
        decoder: the decoder of a policy that sees so many steps.
    """

    decoder: Callable[[Any, int], PolicyDecoder]


def _deviates(state: State) -> bool:
    """Whether the head of a decision transformer predicts deviations, too."""
    return len(state["head.bias"]) == 2 * state["embed_action.weight"].shape[1]


DT = PolicyImplementation(
    model=DecisionTransformer,
    make=partial(DecisionTransformer, stochastic=False),
    owns=lambda state: "embed_return.weight" in state and not _deviates(state),
    decoder=TransformerDecoder,
)
ODT = PolicyImplementation(
    model=DecisionTransformer,
    make=partial(DecisionTransformer, stochastic=True),
    owns=lambda state: "embed_return.weight" in state and _deviates(state),
    decoder=TransformerDecoder,
)
BC = PolicyImplementation(
    model=BehaviourCloning,
    make=BehaviourCloning,
    owns=lambda state: "hidden.0.0.weight" in state,
    decoder=lambda policy, context: CloningDecoder(policy),
)
