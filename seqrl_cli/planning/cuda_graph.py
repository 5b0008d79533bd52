"""Whole plans as CUDA graphs: one launch in place of thousands, most of which take longer to launch than to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decoding.interface import Decoder
from seqrl_cli.planning.beam import Draws, beam_plan
from seqrl_cli.planning.settings import PlanSettings
from seqrl_cli.planning.value_readout import BinValues

KEPT = 4
"""Graphs that are kept, each with memory of its own: those of the shapes met last."""


@dataclass(frozen=True)
class _Captured:
    """A graph, what it reads, what it writes, and the decoder whose memory it uses."""

    graph: torch.cuda.CUDAGraph
    context: Tensor
    draws: Draws
    plan: Tensor
    decoder: Decoder


class CapturedPlans:
    """:func:`beam_plan` for contexts of few different shapes, each captured when it is first met.

    A graph must give the plan that was made without it before it is used. This is written to CUDA's rules and has not
    yet run on a GPU; what it rests on, that no operation depends on the value of a token, is tested without one.

    Args:
        make_decoder: makes a decoder on the GPU whose shapes do not depend on tokens; each graph has one of its own,
            whose memory nobody else moves.
        values: what predicted rewards and values are worth.
        settings: the search.

    Raises:
        SeqrlError: a plan cannot be captured, or the graph gives another plan.
    """

    def __init__(self, make_decoder: Callable[[], Decoder], values: BinValues, settings: PlanSettings) -> None:
        self._make_decoder, self._values, self._settings = make_decoder, values, settings
        self._captured: dict[torch.Size, _Captured] = {}

    def __call__(self, context: Tensor, draws: Draws) -> Tensor:
        """See :func:`beam_plan`."""
        captured = self._captured.pop(context.shape, None) or self._capture(context.clone(), draws)
        self._captured[context.shape] = captured
        if len(self._captured) > KEPT:
            del self._captured[next(iter(self._captured))]
        captured.context.copy_(context)
        captured.draws.actions.copy_(draws.actions)
        captured.draws.observations.copy_(draws.observations)
        captured.graph.replay()
        return captured.plan.clone()

    def _capture(self, context: Tensor, draws: Draws) -> _Captured:
        own = Draws(draws.actions.clone(), draws.observations.clone())
        decoder = self._make_decoder()
        aside, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            expected = beam_plan(decoder, self._values, context, self._settings, own)  # allocates what the graph uses
        torch.cuda.current_stream().wait_stream(aside)
        try:
            with torch.cuda.graph(graph):
                plan = beam_plan(decoder, self._values, context, self._settings, own)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise SeqrlError(f"a plan cannot be captured as a CUDA graph: {reason}", "use plan.engine=torch") from error
        graph.replay()
        if not torch.equal(plan, expected):
            raise SeqrlError("a plan captured as a CUDA graph differs from the plan itself", "use plan.engine=torch")
        return _Captured(graph, context, own, plan, decoder)
