"""How a run decides what to do: by searching plans in its model, or by its policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

from seqrl_cli.artifacts.policy import TrainedPolicy
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.artifacts.trained_run import SavedRun, TrainedRun
from seqrl_cli.config.architectures import ARCHITECTURES, in_words
from seqrl_cli.config.owners import has_key, owners
from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.config.plan_names import return_text
from seqrl_cli.console import counted
from seqrl_cli.errors import UsageError
from seqrl_cli.models.build import build_decoder, device_of
from seqrl_cli.models.decoding.interface import Decoder
from seqrl_cli.models.decoding.invariant_linear import BatchInvariantLinear, fastest_linear
from seqrl_cli.models.device import available_memory
from seqrl_cli.models.retnet.model import RetNet
from seqrl_cli.models.retnet.retention import check_mode
from seqrl_cli.planning.beam_agent import BeamAgent
from seqrl_cli.planning.memory_budget import episodes_that_fit, plan_bytes
from seqrl_cli.planning.policy_agent import PolicyAgent
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import Agent
from seqrl_cli.planning.settings import PlanSettings, plan_settings


class AgentSpec(Protocol):
    """How a run decides: by searching plans, or by its policy."""

    @property
    def trained(self) -> TrainedRun:
        """The run's model."""

    @property
    def engine(self) -> str:
        """What computes: ``native``, which is compiled C++, ``torch``, or ``graph``, CUDA graphs of it."""

    def make(self, slots: int, profile: Profile) -> Agent:
        """What decides for ``slots`` episodes at once; raises SeqrlError when memory is short."""

    def describe(self, slots: int) -> str:
        """Its settings in a few words."""

    def facts(self, slots: int) -> dict[str, str]:
        """What a dry run should know besides its settings."""


@dataclass(frozen=True)
class BeamSearchSpec:
    """A model of tokens and the search in it; with ``make_graph_decoder``, which makes decoders, by CUDA graphs."""

    trained: TrainedModel
    decoder: Decoder
    settings: PlanSettings
    max_memory: int
    make_graph_decoder: Callable[[], Decoder] | None = None

    @property
    def engine(self) -> str:
        """See :class:`AgentSpec`."""
        if self.make_graph_decoder:
            return "graph"
        return "native" if self.decoder.compiled else "torch"

    def make(self, slots: int, profile: Profile) -> Agent:
        """See :class:`AgentSpec`."""
        return BeamAgent(
            self.decoder,
            self.trained.tokens.discretizer,
            self.settings,
            episodes=slots,
            profile=profile,
            max_memory=self.max_memory,
            make_graph_decoder=self.make_graph_decoder,
        )

    def describe(self, slots: int) -> str:
        """See :class:`AgentSpec`."""
        search = f"horizon {self.settings.horizon}, {counted(self.settings.beam_width, 'beam')}"
        return f"{search}, {_at_once(slots)}{self._memory(slots)}"

    def facts(self, slots: int) -> dict[str, str]:
        """See :class:`AgentSpec`."""
        return {"memory": f"{self._memory(slots)}, of {self.max_memory / 2**20:,.0f} MiB allowed"}

    def _memory(self, slots: int) -> str:
        """Most memory that ``slots`` episodes take, and whether they are planned in several batches for it."""
        batch = episodes_that_fit(self.decoder, self.settings, slots, self.max_memory)
        taken = f"{plan_bytes(self.decoder, self.settings) * batch / 2**20:,.0f} MiB"
        return taken if batch == slots else f"{taken} ({counted(batch, 'plan')} per batch)"


@dataclass(frozen=True)
class PolicyAgentSpec:
    """A policy, the return that it is asked for, and how much it sees."""

    trained: TrainedPolicy
    target_return: float | None
    context: int

    @property
    def engine(self) -> str:
        """See :class:`AgentSpec`."""
        return "torch" if fastest_linear(device_of(self.trained.model)) is BatchInvariantLinear else "native"

    def make(self, slots: int, profile: Profile) -> Agent:
        """See :class:`AgentSpec`."""
        target = self.target_return or 0.0  # a model without one looks at none
        return PolicyAgent(self.trained.model, target_return=target, context=self.context, profile=profile)

    def describe(self, slots: int) -> str:
        """See :class:`AgentSpec`."""
        if self.target_return is None:
            return f"{_at_once(slots)}as the data did"
        return f"{_at_once(slots)}asked for a return of {return_text(self.target_return)}"

    def facts(self, slots: int) -> dict[str, str]:
        """See :class:`AgentSpec`."""
        low, high = self.trained.record.return_range or (None, None)
        return {} if low is None else {"returns in the data": f"{low:,.1f} to {high:,.1f}"}


def _at_once(slots: int) -> str:
    return f"{slots} at once, " if slots > 1 else ""


@dataclass(frozen=True)
class AgentOptions:
    """What a command may say about an agent beside its configuration.

    Attributes:
        mode: form of retention in which the past is encoded; None = as the model was trained.
        max_memory: bytes that planning may take; None = half of what is free.
    """

    mode: str | None = None
    max_memory: int | None = None


def check_options(run: SavedRun, options: AgentOptions) -> None:
    """Stop at an option that means nothing to a run's architecture.

    Raises:
        UsageError: names the option and the architecture.
    """
    architecture = ARCHITECTURES[run.config.model.arch]
    if options.mode is not None and not has_key(architecture.name, "model.mode"):
        having = in_words(owners("model.mode"))
        raise UsageError(f"--mode {options.mode}: only {having} has it, not {architecture}", "leave out --mode")
    if options.max_memory is not None and not has_key(architecture.name, "plan.beam_width"):
        what = f"--max-memory bounds a search for plans, but {run.folder.path} is {architecture}"
        raise UsageError(what, "leave it out")


def make_agent_spec(
    trained: TrainedRun, plan: PlanConfig, options: AgentOptions, on_warning: Callable[[str], None]
) -> AgentSpec:
    """The way in which a run decides.

    Raises:
        SeqrlError: its model cannot hold the plan, or the engine cannot be had.
    """
    return _SPECS[ARCHITECTURES[trained.config.model.arch].kind.name](trained, plan, options, on_warning)


def _beam_search(
    trained: TrainedModel, plan: PlanConfig, options: AgentOptions, on_warning: Callable[[str], None]
) -> BeamSearchSpec:
    if options.mode is not None:
        model = cast(RetNet, trained.model)  # no other has modes
        check_mode(options.mode, model.chunk_size)
        model.mode = options.mode
    settings = plan_settings(plan)
    max_memory = options.max_memory or available_memory(device_of(trained.model)) // 2
    build = partial(
        build_decoder, trained.model, settings.model_window, settings.precision, settings.engine, on_warning
    )
    return BeamSearchSpec(trained, build(), settings, max_memory, build if settings.engine == "graph" else None)


def _policy(
    trained: TrainedPolicy, plan: PlanConfig, options: AgentOptions, on_warning: Callable[[str], None]
) -> PolicyAgentSpec:
    return PolicyAgentSpec(trained, plan.target_return, plan.max_context_transitions)


_SPECS: dict[str, Callable[[Any, PlanConfig, AgentOptions, Callable[[str], None]], AgentSpec]] = {
    "planner": _beam_search,
    "policy": _policy,
}
