"""Architectures by name."""

from __future__ import annotations

from typing import Any

from seqrl_cli.errors import unknown
from seqrl_cli.models.gpt import GPT

ARCHITECTURES = {"gpt": GPT}


def build_model(arch: str, **arguments: Any) -> GPT:
    """Make a model of the named architecture.

    Args:
        arch: a key of ``ARCHITECTURES``.
        **arguments: the constructor's.

    Raises:
        SeqrlError: the architecture does not exist, or the arguments make no model.
    """
    if arch not in ARCHITECTURES:
        raise unknown("architecture", arch, ARCHITECTURES)
    return ARCHITECTURES[arch](**arguments)
