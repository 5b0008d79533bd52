"""How a run chooses actions: by beam search in its model, or with its policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from seqrl_cli.artifacts.multi_task_family import TrainedMultiTask
from seqrl_cli.artifacts.policy import TrainedPolicy
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.artifacts.trained_run import SavedRun, TrainedRun
from seqrl_cli.config.architectures import ARCHITECTURES, in_words
from seqrl_cli.config.owners import has_key, owners
from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.config.plan_names import return_text
from seqrl_cli.console import amount, counted
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.models.build import build_decoder, device_of
from seqrl_cli.models.decision.multi_domain_decoder import MultiDomainDecoder
from seqrl_cli.models.decoding.ensemble import EnsembleDecoder
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
from seqrl_cli.planning.settings import SearchSettings, search_settings
from seqrl_cli.planning.task_agent import TaskAgent
from seqrl_cli.runs.record import TaskRecord


class AgentSpec(Protocol):
    """How a run chooses actions: by beam search, or with its policy."""

    @property
    def trained(self) -> TrainedRun:
        """The run's model."""

    @property
    def engine(self) -> str:
        """What runs the model: ``native`` (compiled C++), ``torch``, or ``graph`` (CUDA graphs)."""

    def make(self, num_envs: int, profile: Profile) -> Agent:
        """The agent for ``num_envs`` episodes at once; raises SeqrlError if one plan exceeds the memory limit."""

    def describe(self, num_envs: int) -> str:
        """A summary of its settings, for a note."""

    def facts(self, num_envs: int) -> dict[str, str]:
        """What a dry run prints besides its settings."""


@dataclass(frozen=True)
class BeamSearchSpec:
    """A token model and the search in it.

    Attributes:
        trained: the run's model.
        decoder: the model, or the average of an ensemble.
        settings: settings of the search.
        max_memory: bytes that planning may take.
        make_graph_decoder: makes decoders for CUDA graphs, if they are used.
        others: the ensemble's other models.
    """

    trained: TrainedModel
    decoder: Decoder
    settings: SearchSettings
    max_memory: int
    make_graph_decoder: Callable[[], Decoder] | None = None
    others: tuple[TrainedModel, ...] = ()

    @property
    def engine(self) -> str:
        """See :class:`AgentSpec`."""
        if self.make_graph_decoder:
            return "graph"
        return "native" if self.decoder.compiled else "torch"

    def make(self, num_envs: int, profile: Profile) -> Agent:
        """See :class:`AgentSpec`."""
        return BeamAgent(
            self.decoder,
            self.trained.tokens.discretizer,
            self.settings,
            episodes=num_envs,
            choices=self.trained.tokens.choices,
            profile=profile,
            max_memory=self.max_memory,
            make_graph_decoder=self.make_graph_decoder,
        )

    def describe(self, num_envs: int) -> str:
        """See :class:`AgentSpec`."""
        search = f"horizon {self.settings.horizon}, {counted(self.settings.beam_width, 'beam')}"
        return f"{search}, {_at_once(num_envs)}{self._memory(num_envs)}"

    def facts(self, num_envs: int) -> dict[str, str]:
        """See :class:`AgentSpec`."""
        return {"memory": f"{self._memory(num_envs)}, of {self.max_memory / 2**20:,.0f} MiB allowed"}

    def _memory(self, num_envs: int) -> str:
        """The most memory that ``num_envs`` episodes take, and the size of a batch if they are planned in several."""
        batch = episodes_that_fit(self.decoder, self.settings, num_envs, self.max_memory)
        taken = f"{plan_bytes(self.decoder, self.settings) * batch / 2**20:,.0f} MiB"
        return taken if batch == num_envs else f"{taken} ({counted(batch, 'plan')} per batch)"


@dataclass(frozen=True)
class PolicyAgentSpec:
    """A policy with its target return and its context."""

    trained: TrainedPolicy
    target_return: float | None
    context: int

    @property
    def engine(self) -> str:
        """See :class:`AgentSpec`."""
        return "torch" if fastest_linear(device_of(self.trained.model)) is BatchInvariantLinear else "native"

    def make(self, num_envs: int, profile: Profile) -> Agent:
        """See :class:`AgentSpec`."""
        target = self.target_return or 0.0  # a policy without a target return ignores it
        return PolicyAgent(self.trained.model, target_return=target, context=self.context, profile=profile)

    def describe(self, num_envs: int) -> str:
        """See :class:`AgentSpec`."""
        if self.target_return is None:
            return f"{_at_once(num_envs)}imitating the data"
        return f"{_at_once(num_envs)}target return {return_text(self.target_return)}"

    def facts(self, num_envs: int) -> dict[str, str]:
        """See :class:`AgentSpec`."""
        in_data = self.trained.record.return_range
        return {} if in_data is None else {"returns in the data": " to ".join(map(amount, in_data))}


@dataclass(frozen=True)
class TaskAgentSpec:
    """A model for many tasks, playing one of them; without a target return, the model infers one at each step."""

    trained: TrainedMultiTask
    decoder: MultiDomainDecoder
    task: TaskRecord
    target_return: float | None

    def for_task(self, task: TaskRecord, target_return: float | None) -> TaskAgentSpec:
        """The same model in another task."""
        return replace(self, task=task, target_return=target_return)

    @property
    def engine(self) -> str:
        """See :class:`AgentSpec`."""
        return "torch" if fastest_linear(device_of(self.trained.model)) is BatchInvariantLinear else "native"

    def make(self, num_envs: int, profile: Profile) -> Agent:
        """See :class:`AgentSpec`."""
        return TaskAgent(self.decoder, self.task, self.target_return, profile)

    def describe(self, num_envs: int) -> str:
        """See :class:`AgentSpec`."""
        if self.target_return is None:
            return f"{_at_once(num_envs)}target returns inferred"
        return f"{_at_once(num_envs)}target return {return_text(round(self.target_return, 1))}"

    def facts(self, num_envs: int) -> dict[str, str]:
        """See :class:`AgentSpec`."""
        return {"tasks": ", ".join(task.env_id for task in self.trained.record.tasks)}


def _at_once(num_envs: int) -> str:
    return f"{num_envs} at once, " if num_envs > 1 else ""


@dataclass(frozen=True)
class AgentOptions:
    """Options of an agent that its configuration does not contain.

    Attributes:
        mode: form of a RetNet's retention that encodes the past; None = as the model was trained.
        max_memory: bytes that planning may take; None = half of what is free.
        others: models whose predictions are averaged with the run's own.
    """

    mode: str | None = None
    max_memory: int | None = None
    others: tuple[TrainedModel, ...] = ()


def check_options(run: SavedRun, options: AgentOptions) -> None:
    """Stop at an option that the run's architecture does not have.

    Raises:
        UsageError: names the option and the architecture.
    """
    architecture = ARCHITECTURES[run.config.model.arch]
    if options.mode is not None and not has_key(architecture.name, "model.mode"):
        having = in_words(owners("model.mode"))
        raise UsageError(f"--mode {options.mode}: only {having} has it, not {architecture}", "leave out --mode")
    if options.max_memory is not None and not has_key(architecture.name, "plan.beam_width"):
        message = f"--max-memory limits the beam search, but {run.folder.path} is {architecture}"
        raise UsageError(message, "leave it out")


def make_agent_spec(
    trained: TrainedRun, plan: PlanConfig, options: AgentOptions, on_warning: Callable[[str], None]
) -> AgentSpec:
    """How a run chooses actions.

    Raises:
        SeqrlError: its model cannot hold the plan, or the engine is not available.
    """
    return _SPECS[ARCHITECTURES[trained.config.model.arch].kind.name](trained, plan, options, on_warning)


def _beam_search(
    trained: TrainedModel, plan: PlanConfig, options: AgentOptions, on_warning: Callable[[str], None]
) -> BeamSearchSpec:
    members = (trained, *options.others)
    if options.mode is not None:
        for member in members:
            model = cast(RetNet, member.model)  # check_options refuses modes of other architectures
            check_mode(options.mode, model.chunk_size)
            model.mode = options.mode
    settings = search_settings(plan)
    max_memory = options.max_memory or available_memory(device_of(trained.model)) // 2

    def build() -> Decoder:
        """A decoder of the run's model, or of all models together."""
        decoders = [
            build_decoder(member.model, settings.model_window, settings.precision, settings.engine, on_warning)
            for member in members
        ]
        return EnsembleDecoder(decoders) if options.others else decoders[0]

    return BeamSearchSpec(
        trained, build(), settings, max_memory, build if settings.engine == "graph" else None, options.others
    )


def _policy(
    trained: TrainedPolicy, plan: PlanConfig, options: AgentOptions, on_warning: Callable[[str], None]
) -> PolicyAgentSpec:
    return PolicyAgentSpec(trained, plan.target_return, plan.max_context_transitions)


def _multi_task(
    trained: TrainedMultiTask, plan: PlanConfig, options: AgentOptions, on_warning: Callable[[str], None]
) -> TaskAgentSpec:
    if plan.targets == "infer" and getattr(trained.model, "return_head", None) is None:
        message = "plan.targets=infer needs a model that predicts returns-to-go, but this one predicts actions alone"
        raise SeqrlError(message, "train one with train.objective=actions+returns, or use plan.targets=data")
    first = trained.record.tasks[0]
    decoder = MultiDomainDecoder(trained.model, plan.max_context_transitions, plan.decode)
    return TaskAgentSpec(trained, decoder, first, first.best_return)


_SPECS: dict[str, Callable[[Any, PlanConfig, AgentOptions, Callable[[str], None]], AgentSpec]] = {
    "planner": _beam_search,
    "policy": _policy,
    "multi-task": _multi_task,
}
