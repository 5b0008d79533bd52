"""Models of every architecture with inputs, for tests of adapters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqrl_cli.models.adapters import AdapterSet, LoRASpec, Spec, attach
from seqrl_cli.models.build import build_model
from seqrl_cli.models.decision.multi_domain import TaskWindows
from tests.models.decision.multi_domain_play import make_model as make_multi_domain
from tests.models.policies import make_batch, make_policy, tensors

ARCHITECTURES = ("gpt", "retnet", "dt", "odt", "mddt")
POLICIES = ("dt", "odt", "mddt")
BATCH = 8
SIZES = {"bins": 10, "observation_dim": 3, "action_dim": 2, "n_layer": 2, "n_head": 2, "width": 16}
NO_DROPOUT = {"embedding_dropout": 0.0, "residual_dropout": 0.0, "attention_dropout": 0.0}


def make(arch: str) -> tuple[nn.Module, Callable[[slice], Tensor]]:
    """A model, and a function that computes its output for some samples of a fixed batch."""
    generator = torch.Generator().manual_seed(0)
    if arch in ("gpt", "retnet"):
        sizes = {**SIZES, **NO_DROPOUT} | ({"block_size": 31} if arch == "gpt" else {})
        model = build_model(arch, **sizes, generator=generator).eval()
        tokens = torch.randint(0, 10, (BATCH, 21), generator=generator)
        return model, lambda rows: model(tokens[rows])
    if arch == "mddt":
        model = make_multi_domain(3)
        for parameter in model.parameters():
            parameter.data /= 3  # which are three times as large there, too large for a comparison to 1e-5
        columns = _windows(generator)
        return model, lambda rows: model("vector", TaskWindows(*(column[rows] for column in columns)))
    policy = make_policy(arch)
    columns = tensors(make_batch(count=BATCH))
    return policy, lambda rows: policy(*(column[rows] for column in columns)).mode


def _windows(generator: torch.Generator) -> tuple[Tensor, ...]:
    numbers = torch.randn(BATCH, 3, 9, generator=generator)
    actions = torch.randint(5, 21, (BATCH, 3, 2), generator=generator)
    times, bodies = torch.arange(3).expand(BATCH, 3), torch.arange(BATCH) % 2
    return numbers[..., :7], numbers[..., 7], actions, numbers[..., 8], times, bodies


ALL = slice(None)


def adapted(arch: str, spec: Spec | None = None, pool: int = 1) -> tuple[AdapterSet, Callable[[slice], Tensor]]:
    """A model with members that change it, each in its own way."""
    model, run = make(arch)
    adapters = attach(model, spec or LoRASpec(rank=2), pool, torch.Generator().manual_seed(1))
    shake(adapters)
    return adapters, run


@torch.no_grad()
def shake(adapters: AdapterSet) -> None:
    """Add noise to the parameters of all members."""
    generator = torch.Generator().manual_seed(2)
    for parameter in adapters.parameters():
        parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
