"""Checks of a model's sizes and fractions."""

from __future__ import annotations

from seqrl_cli.errors import SeqrlError


def require_positive(**sizes: int) -> None:
    """Raise SeqrlError for the first size below one."""
    for name, size in sizes.items():
        if size < 1:
            raise SeqrlError(f"{name} is {size}, but a model needs at least 1", f"set {name} to a positive number")


def require_fractions(**fractions: float) -> None:
    """Raise SeqrlError for the first dropout fraction outside [0, 1)."""
    for name, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise SeqrlError(
                f"{name} is {fraction}, but a dropout fraction must be in [0, 1)", f"set {name} to 0.1, say"
            )


def require_dropouts(embedding_dropout: float, residual_dropout: float, attention_dropout: float) -> None:
    """Raise SeqrlError for the first of a transformer's dropout fractions outside [0, 1)."""
    require_fractions(
        embedding_dropout=embedding_dropout,
        residual_dropout=residual_dropout,
        attention_dropout=attention_dropout,
    )


def require_divisible(n_head: int, **widths: int) -> None:
    """Raise SeqrlError for the first width that is not a multiple of the number of heads."""
    for name, width in widths.items():
        if width % n_head:
            message = f"{name} {width} is not divisible by n_head {n_head}"
            raise SeqrlError(message, f"choose a multiple of n_head as {name}")
