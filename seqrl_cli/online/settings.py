"""How to fine-tune, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OnlineSettings:
    """How to fine-tune; the paper's values are those of the configuration.

    Args:
        iterations: of the whole run, those before a resume included.
        seed: of exploration, evaluation and the choice of windows.
        episodes: exploration episodes an iteration.
        updates: gradient steps an iteration.
        batch_size: windows an update.
        context: steps a window.
        evaluate_every: iterations between evaluations; the last one has an evaluation, too.
        checkpoint_every: iterations between checkpoints; the last one has a checkpoint, too.
        keep_checkpoints: newest checkpoints kept, at least 1.
    """

    iterations: int
    seed: int
    episodes: int
    updates: int
    batch_size: int
    context: int
    evaluate_every: int
    checkpoint_every: int
    keep_checkpoints: int
