"""Whole plans as CUDA graphs: one launch replaces thousands, most of which take longer to launch than to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decoding.interface import Decoder
from seqrl_cli.planning.beam import UniformNoise, best_plans
from seqrl_cli.planning.settings import SearchSettings
from seqrl_cli.planning.value_readout import ValueReadout

MAX_GRAPHS = 4
"""How many graphs are kept, those used last; each has its own GPU memory."""


@dataclass(frozen=True)
class _PlanGraph:
    """A graph with its input and output tensors, and the decoder whose GPU memory it uses."""

    graph: torch.cuda.CUDAGraph
    context: Tensor
    noise: UniformNoise
    plan: Tensor
    decoder: Decoder


class GraphedPlanner:
    """:func:`best_plans` for contexts of a few different shapes; the first plan of each shape is captured as a graph.

    A graph is used only if it reproduces the plan made without it. This code follows CUDA's rules but is untested on
    GPUs. Its precondition, that no operation depends on the value of a token, is tested on a CPU.

    Args:
        make_decoder: makes a decoder on the GPU whose shapes do not depend on tokens; each graph has its own
            decoder, whose memory nothing else moves.
        readout: turns predicted distributions over rewards and values into numbers.
        settings: the search.
        choices: number of discrete actions; None if actions are continuous.
    """

    def __init__(
        self,
        make_decoder: Callable[[], Decoder],
        readout: ValueReadout,
        settings: SearchSettings,
        choices: int | None = None,
    ) -> None:
        self._make_decoder = make_decoder
        self._readout = readout
        self._settings = settings
        self._choices = choices
        self._graphs: dict[torch.Size, _PlanGraph] = {}

    def __call__(self, context: Tensor, noise: UniformNoise) -> Tensor:
        """See :func:`best_plans`.

        Raises:
            SeqrlError: a plan cannot be captured, or the graph gives another plan.
        """
        graphed = self._graphs.pop(context.shape, None) or self._capture(context.clone(), noise)
        self._graphs[context.shape] = graphed
        if len(self._graphs) > MAX_GRAPHS:
            del self._graphs[next(iter(self._graphs))]
        graphed.context.copy_(context)
        graphed.noise.actions.copy_(noise.actions)
        graphed.noise.observations.copy_(noise.observations)
        graphed.graph.replay()
        return graphed.plan.clone()

    def _capture(self, context: Tensor, noise: UniformNoise) -> _PlanGraph:
        """Capture a plan whose inputs are copied into ``context`` and a copy of ``noise`` before each replay."""
        noise = UniformNoise(noise.actions.clone(), noise.observations.clone())
        decoder = self._make_decoder()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            expected = self._plan(decoder, context, noise)  # allocates what graphs use
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                plan = self._plan(decoder, context, noise)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise SeqrlError(f"a plan cannot be captured as a CUDA graph: {reason}", "use plan.engine=torch") from error
        graph.replay()
        if not torch.equal(plan, expected):
            raise SeqrlError("a plan captured as a CUDA graph differs from the plan itself", "use plan.engine=torch")
        return _PlanGraph(graph, context, noise, plan, decoder)

    def _plan(self, decoder: Decoder, context: Tensor, noise: UniformNoise) -> Tensor:
        return best_plans(decoder, self._readout, context, self._settings, noise, self._choices)
