"""Whether a model can hold the plan that its configuration asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.config.schema import Config
from seqrl_cli.models.build import TokenModel
from seqrl_cli.models.decision.decoder import Policy, check_context
from seqrl_cli.planning.settings import search_settings


def _check_search(model: TokenModel, plan: PlanConfig) -> None:
    search_settings(plan).check_fits(model.block_size, model.transition_dim)


def _check_policy(model: Policy, plan: PlanConfig) -> None:
    check_context(model, plan.max_context_transitions)


_CHECKS: dict[str, Callable[[Any, PlanConfig], None]] = {
    "planner": _check_search,
    "policy": _check_policy,
    "multi-task": _check_policy,
}


def check_plan(model: Any, config: Config) -> None:
    """Check that a model can hold the plan.

    Args:
        model: a model of the configuration's architecture.
        config: the run's configuration.

    Raises:
        SeqrlError: the plan is too long for the model.
    """
    _CHECKS[ARCHITECTURES[config.model.arch].kind.name](model, config.plan)
