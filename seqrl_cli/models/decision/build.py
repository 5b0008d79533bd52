"""Policies by name: the architectures that say actions themselves, rather than tokens that a planner searches."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from seqrl_cli.config.architectures import POLICIES, with_article
from seqrl_cli.errors import SeqrlError, unknown
from seqrl_cli.models.decision.behaviour_cloning import BehaviourCloning
from seqrl_cli.models.decision.decision_transformer import DecisionTransformer

Policy = DecisionTransformer | BehaviourCloning
"""A model that maps windows of steps to what it does at each of them, in units of the action box."""


def build_policy(arch: str, **arguments: Any) -> Policy:
    """Make a policy of the named architecture.

    Args:
        arch: one of ``POLICIES``.
        **arguments: the constructor's.

    Raises:
        SeqrlError: the architecture does not exist, or the arguments make no model.
    """
    if arch not in POLICIES:
        raise unknown("policy", arch, POLICIES)
    if arch == "bc":
        return BehaviourCloning(**arguments)
    return DecisionTransformer(stochastic=arch == "odt", **arguments)


def policy_sizes(arch: str, state: dict[str, Tensor], source: object) -> dict[str, int]:
    """The arguments of ``build_policy`` that the data decided, read off the weights.

    Raises:
        SeqrlError: the weights are another architecture's.
    """
    if architecture_of(state) != arch:
        raise _foreign(arch, architecture_of(state), source)
    sizes = {
        "observation_dim": len(state["normalizer.observation_mean"]),
        "action_dim": len(state["normalizer.action_low"]),
    }
    if "embed_time.weight" in state:
        sizes["max_timestep"] = len(state["embed_time.weight"])
    return sizes


def load_policy_weights(policy: Policy, state: dict[str, Tensor], source: object) -> None:
    """Put weights, and the units that came with them, into a policy.

    Args:
        policy: overwritten.
        state: what the policy's ``state_dict`` once gave.
        source: where ``state`` comes from, to be named in errors.

    Raises:
        SeqrlError: the weights are another architecture's, or of other sizes.
    """
    try:
        policy.load_state_dict(state)
    except RuntimeError as error:
        raise _foreign(architecture_of(policy.state_dict()), architecture_of(state), source) from error


def _foreign(ours: str, theirs: str, source: object) -> SeqrlError:
    what = with_article(theirs) if theirs != ours else "other sizes"
    return SeqrlError(f"{source} holds weights of {what}, not of this {ours}", "train again with --force")


def architecture_of(state: dict[str, Tensor]) -> str:
    """Which policy weights belong to, by names and sizes that only it has."""
    if "embed_return.weight" not in state:
        return "bc" if "hidden.0.0.weight" in state else "model of another kind"
    return "odt" if len(state["head.bias"]) == 2 * state["embed_action.weight"].shape[1] else "dt"
