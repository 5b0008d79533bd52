"""Planners of checked-out copies of the originals, at given sizes and with random weights."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from torch import Tensor

from seqrl_cli.planning.settings import SearchSettings

BINS, LAYERS, HEADS, WIDTH = 100, 4, 4, 128
CORES = {"tt_folder": "trajectory/search/core.py", "ftt_folder": "trajectory/planning/beam.py"}
"""What a copy of each must contain."""


def trajectory_transformer(
    folder: Path, settings: SearchSettings, observation_dim: int, action_dim: int, block: int, context: Tensor
) -> Callable[[], object]:
    """One plan of jannerm/trajectory-transformer."""
    utilities = ModuleType("trajectory.utils")  # the real one imports renderers and set-up that planning does not need
    quiet = SimpleNamespace(update=lambda *_: None, stamp=lambda: None)
    utilities.Silent = utilities.Progress = lambda *_: quiet  # type: ignore[attr-defined]
    core, transformers = _load(folder, "search.core", "models.transformers", stubs={"trajectory.utils": utilities})
    dropouts = dict.fromkeys(("embd_pdrop", "resid_pdrop", "attn_pdrop"), 0.1)
    sizes = dict(vocab_size=BINS, transition_dim=observation_dim + action_dim + 2, n_layer=LAYERS, n_head=HEADS)
    dims = dict(n_embd=WIDTH, block_size=block, observation_dim=observation_dim, action_dim=action_dim)
    weights = dict(action_weight=5, reward_weight=1, value_weight=1)
    model = transformers.GPT(SimpleNamespace(**dropouts, **sizes, **dims, **weights)).eval()
    values = torch.linspace(-1, 1, BINS)

    def plan() -> object:
        return core.beam_plan(
            model,
            lambda masses: (masses[:, :, :-1] @ values).unbind(1),
            context,
            settings.horizon,
            settings.beam_width,
            settings.n_expand,
            observation_dim,
            action_dim,
            max_context_transitions=settings.max_context_transitions,
            k_obs=1,
            cdf_act=settings.cdf_act,
            verbose=False,
        )

    return plan


def faster_trajectory_transformer(
    folder: Path, settings: SearchSettings, observation_dim: int, action_dim: int, block: int, context: Tensor
) -> Callable[[], object]:
    """One plan of Howuhh/faster-trajectory-transformer, with separate heads as in its configurations."""
    bars = ModuleType("tqdm.auto")  # seqrl does not need it
    bars.trange = lambda steps, leave: range(steps)  # type: ignore[attr-defined]
    beam, gpt = _load(folder, "planning.beam", "models.gpt.gpt", stubs={"tqdm.auto": bars})
    transition_dim = observation_dim + action_dim + 2
    model = gpt.GPT(
        BINS, transition_dim, observation_dim, action_dim, block + 1, WIDTH, LAYERS, HEADS, use_sep_heads=True
    ).eval()
    values = torch.linspace(-1, 1, BINS)
    reader = SimpleNamespace(expectation=lambda masses, subslice: masses @ values)

    def plan() -> object:
        return beam.beam_plan(
            model,
            reader,
            context,
            settings.horizon,
            settings.beam_width,
            settings.n_expand,
            context_size=settings.max_context_transitions,
        )

    return plan


def _load(folder: Path, *names: str, stubs: dict[str, ModuleType] | None = None) -> list[ModuleType]:
    """Modules of the folder's package ``trajectory``.

    Packages are entered without running their ``__init__``, which would import simulators. Both originals use the same
    package name, so nothing of it stays imported, nor do the stubs.
    """
    stubs = stubs or {}
    for name in {f"trajectory.{name}" for name in names}:
        parents = name.split(".")[:-1]
        for depth in range(1, len(parents) + 1):
            package = ModuleType(".".join(parents[:depth]))
            package.__path__ = [str(folder.joinpath(*parents[:depth]))]
            sys.modules.setdefault(package.__name__, package)
    sys.modules.update(stubs)
    try:
        return [importlib.import_module(f"trajectory.{name}") for name in names]
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "trajectory" or name in stubs]:
            del sys.modules[name]
