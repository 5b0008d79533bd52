"""Sizes and shares that make no model, told in one sentence."""

from __future__ import annotations

from seqrl_cli.errors import SeqrlError


def require_positive(**sizes: int) -> None:
    """Raise SeqrlError for the first size below one."""
    for name, size in sizes.items():
        if size < 1:
            raise SeqrlError(f"{name} is {size}, but a model needs at least 1", f"set {name} to a positive number")


def require_fractions(**shares: float) -> None:
    """Raise SeqrlError for the first dropout share outside [0, 1)."""
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise SeqrlError(f"{name} is {share}, but a share to drop lies in [0, 1)", f"set {name} to 0.1, say")
