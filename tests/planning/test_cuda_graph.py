"""What a plan must be so that a CUDA graph can hold it: the same operations and shapes, whatever the tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from seqrl_cli.models.gpt.decoder import GPTDecoder
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.planning.beam import beam_plan, draw_noise
from seqrl_cli.planning.cuda_graph import GraphedPlanner
from seqrl_cli.planning.settings import SearchSettings
from seqrl_cli.planning.value_readout import ValueReadout

pytestmark = pytest.mark.slow

BINS, TRANSITION_DIM = 9, 7

needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


class Recorder(TorchDispatchMode):
    """Notes all operations with the shapes of what they give."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, object]] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        self.seen.append((str(operation), getattr(result, "shape", None)))
        return result


def model(device: str = "cpu") -> GPT:
    sizes = dict(bins=BINS, observation_dim=3, action_dim=2, block_size=69, n_layer=2, n_head=2, width=16)
    return GPT(**sizes, generator=torch.Generator().manual_seed(0)).eval().to(device)


def planner(window: str, shares: bool, device: str = "cpu"):
    """A decoder, readout and settings."""
    settings = SearchSettings(horizon=5, beam_width=6, max_context_transitions=3, window=window)
    readout = ValueReadout(np.linspace(-1, 1, BINS)[:, None].repeat(TRANSITION_DIM, 1), "mean", torch.device(device))
    return GPTDecoder(model(device), settings.model_window, shares=shares), readout, settings


def context_and_noise(decoder: GPTDecoder, settings: SearchSettings, seed: int):
    tokens = np.random.default_rng(seed).integers(0, BINS, size=(2, 2 * TRANSITION_DIM + 3))
    noise = draw_noise([np.random.default_rng((seed, episode)) for episode in range(2)], settings, decoder)
    return torch.from_numpy(tokens).to(decoder.device), noise


@pytest.mark.parametrize("window", ["sliding", "growing"])
def test_plans_without_looking_for_equal_beginnings_are_the_same(window):
    plans = []
    for shares in (True, False):
        decoder, readout, settings = planner(window, shares)
        context, noise = context_and_noise(decoder, settings, seed=1)
        plans.append(beam_plan(decoder, readout, context, settings, noise))
    assert torch.equal(*plans)


@pytest.mark.parametrize("window", ["sliding", "growing"])
def test_no_operation_depends_on_tokens(window):
    decoder, readout, settings = planner(window, shares=False)
    runs = []
    for seed in range(3):
        context, noise = context_and_noise(decoder, settings, seed)
        with Recorder() as recorder:
            beam_plan(decoder, readout, context, settings, noise)
        runs.append(recorder.seen)
    assert runs[1] == runs[2]  # the first one allocates
    names = {name for name, _ in runs[1]}
    assert not [name for name in names if any(word in name for word in ("local_scalar", "unique", "nonzero"))]


def test_the_recorder_would_see_it():
    decoder, readout, settings = planner("sliding", shares=True)
    context, noise = context_and_noise(decoder, settings, seed=1)
    with Recorder() as recorder:
        beam_plan(decoder, readout, context, settings, noise)
    assert any("unique" in name for name, _ in recorder.seen)


@needs_a_gpu
@pytest.mark.parametrize("window", ["sliding", "growing"])
def test_captured_plans_are_the_plans(window):
    decoder, readout, settings = planner(window, shares=False, device="cuda")
    captured = GraphedPlanner(lambda: planner(window, shares=False, device="cuda")[0], readout, settings)
    for seed in (1, 2, 1):
        context, noise = context_and_noise(decoder, settings, seed)
        assert torch.equal(captured(context, noise), beam_plan(decoder, readout, context, settings, noise))
