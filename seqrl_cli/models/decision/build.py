"""Policies by name: the architectures that predict actions directly, without a planner."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from torch import Tensor

from seqrl_cli.config.architectures import names_with
from seqrl_cli.errors import unknown
from seqrl_cli.models.build import foreign_weights
from seqrl_cli.models.decision.decoder import Policy, PolicyDecoder
from seqrl_cli.models.decision.implementations import PolicyImplementation
from seqrl_cli.models.implementation import architecture_of_model, implementation
from seqrl_cli.models.size import build_if_it_fits


def build_policy(arch: str, **arguments: Any) -> Policy:
    """Make a policy of the named architecture.

    Args:
        arch: name of a policy in the registry.
        **arguments: arguments of the constructor.

    Raises:
        SeqrlError: the architecture does not exist, an argument is invalid, or the model does not fit in memory.
    """
    if arch not in names_with("policy"):
        raise unknown("policy", arch, names_with("policy"))
    return cast(Policy, build_if_it_fits(partial(implementation(arch).make, **arguments)))


def build_policy_decoder(policy: Policy, context: int) -> PolicyDecoder:
    """The decoder of a policy.

    Args:
        policy: the policy, on its device; its weights are copied.
        context: steps that it sees, the current one included.

    Raises:
        SeqrlError: the policy was made for fewer steps.
    """
    found = implementation(architecture_of_model(policy).name)
    assert isinstance(found, PolicyImplementation)
    return found.decoder(policy, context)


def policy_sizes(arch: str, state: Mapping[str, Tensor], source: object) -> dict[str, Any]:
    """The arguments of ``build_policy`` that depend on the data, inferred from the weights.

    Raises:
        SeqrlError: the weights are another architecture's.
    """
    if not implementation(arch).owns(state):
        raise foreign_weights(arch, state, source)
    image_shape = state.get("normalizer.image_shape")
    shape = state["normalizer.observation_mean"].shape if image_shape is None else image_shape.tolist()
    choices = state.get("normalizer.choices")
    sizes: dict[str, Any] = {
        "observation_shape": tuple(shape),
        "action_dim": len(state["normalizer.action_low"] if choices is None else choices),
        "discrete": choices is not None,
    }
    if "embed_time.weight" in state:
        sizes["max_timestep"] = len(state["embed_time.weight"])
    return sizes
