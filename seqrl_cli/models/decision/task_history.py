"""The part of an episode that a decoder of the multi-domain Decision Transformer keeps."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from seqrl_cli.models.decoding.episode_adapters import Members


@dataclass
class TaskHistory:
    """The part of one episode that the model sees.

    Attributes:
        name: the input that its observations belong to.
        action_dim: numbers per action (K); 1 for a discrete choice.
        choices: number of discrete choices; None if actions are continuous.
        body: number of its body among those of the input.
        steps: finished steps of the episode.
        tokens: (tokens, width) per finished step in the window, inputs of the first block.
        actions: ids (K,) of the latest action.
        current: (2, width), state and return-to-go of the step that is being decided.
        adapter: number of the adapter that decides, or of several prompts; -1 for none; None for the one that the
            model used when the decoder was made.
        task: dataset of the task that it plays, for those who choose an adapter by it.
        observed: (width,), the encoder's output for the current observation.
        evidence: memory of earlier steps for those who choose an adapter.
        chosen: adapters of all steps so far, where they are chosen.
    """

    name: str
    action_dim: int
    choices: int | None = None
    body: int = 0
    steps: int = 0
    tokens: list[Tensor] = field(default_factory=list)
    actions: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    current: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    adapter: int | Members | None = None
    task: str = ""
    observed: Tensor = field(default_factory=lambda: torch.zeros(0))
    evidence: Tensor | None = None
    chosen: list[int | Members] = field(default_factory=list)
