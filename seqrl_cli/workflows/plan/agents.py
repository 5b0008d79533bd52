"""How a run decides what to do: by searching plans in its model, or by its policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from seqrl_cli.artifacts.policy import TrainedPolicy
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.config.plan_names import return_text
from seqrl_cli.console import counted
from seqrl_cli.models.build import device_of
from seqrl_cli.models.decoding.interface import Decoder
from seqrl_cli.models.decoding.invariant_linear import BatchInvariantLinear, fastest_linear
from seqrl_cli.models.gpt.native_decoder import NativeGPTDecoder
from seqrl_cli.models.retnet.decoder import RetNetDecoder
from seqrl_cli.planning.beam_agent import BeamAgent
from seqrl_cli.planning.memory_budget import episodes_that_fit, plan_bytes
from seqrl_cli.planning.policy_agent import PolicyAgent
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import Agent
from seqrl_cli.planning.settings import PlanSettings


class Mind(Protocol):
    """How a run decides: by searching plans, or by its policy."""

    @property
    def trained(self) -> TrainedModel | TrainedPolicy:
        """The run's model."""

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers an observation and an action."""

    @property
    def engine(self) -> str:
        """What computes: ``native``, which is compiled C++, ``torch``, or ``graph``, CUDA graphs of it."""

    def agent(self, slots: int, profile: Profile) -> Agent:
        """What decides for so many episodes at once; raises SeqrlError when memory is short."""

    def describe(self, slots: int) -> str:
        """Its settings in a few words."""

    def facts(self, slots: int) -> dict[str, str]:
        """What a dry run should know besides its settings."""


@dataclass(frozen=True)
class BeamSearch:
    """A model of tokens and the search in it; with ``make_graph_decoder``, which makes decoders, by CUDA graphs."""

    trained: TrainedModel
    decoder: Decoder
    settings: PlanSettings
    max_memory: int
    make_graph_decoder: Callable[[], Decoder] | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """See :class:`Mind`."""
        return self.trained.tokens.observation_dim, self.trained.tokens.action_dim

    @property
    def engine(self) -> str:
        """See :class:`Mind`."""
        if self.make_graph_decoder:
            return "graph"
        compiled = isinstance(self.decoder, RetNetDecoder) and self.decoder.compiled
        return "native" if compiled or isinstance(self.decoder, NativeGPTDecoder) else "torch"

    def agent(self, slots: int, profile: Profile) -> Agent:
        """See :class:`Mind`."""
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
        """See :class:`Mind`."""
        search = f"horizon {self.settings.horizon}, {counted(self.settings.beam_width, 'beam')}"
        return f"{search}, {_at_once(slots)}{self._memory(slots)}"

    def facts(self, slots: int) -> dict[str, str]:
        """See :class:`Mind`."""
        return {"memory": f"{self._memory(slots)}, of {self.max_memory / 2**20:,.0f} MiB allowed"}

    def _memory(self, slots: int) -> str:
        """Most memory that so many episodes take, and whether they are planned in several batches for it."""
        batch = episodes_that_fit(self.decoder, self.settings, slots, self.max_memory)
        taken = f"{plan_bytes(self.decoder, self.settings) * batch / 2**20:,.0f} MiB"
        return taken if batch == slots else f"{taken} ({counted(batch, 'plan')} a batch)"


@dataclass(frozen=True)
class PolicyMind:
    """A policy, the return that it is asked for, and how much it sees."""

    trained: TrainedPolicy
    target_return: float | None
    context: int

    @property
    def sizes(self) -> tuple[int, int]:
        """See :class:`Mind`."""
        return self.trained.model.observation_dim, self.trained.model.action_dim

    @property
    def engine(self) -> str:
        """See :class:`Mind`."""
        return "torch" if fastest_linear(device_of(self.trained.model)) is BatchInvariantLinear else "native"

    def agent(self, slots: int, profile: Profile) -> Agent:
        """See :class:`Mind`."""
        target = self.target_return or 0.0  # a bc, which has none, looks at none
        return PolicyAgent(self.trained.model, target_return=target, context=self.context, profile=profile)

    def describe(self, slots: int) -> str:
        """See :class:`Mind`."""
        if self.target_return is None:
            return f"{_at_once(slots)}as the data did"
        return f"{_at_once(slots)}asked for a return of {return_text(self.target_return)}"

    def facts(self, slots: int) -> dict[str, str]:
        """See :class:`Mind`."""
        low, high = self.trained.record.return_range or (None, None)
        return {} if low is None else {"returns in the data": f"{low:,.1f} to {high:,.1f}"}


def _at_once(slots: int) -> str:
    return f"{slots} at once, " if slots > 1 else ""
