"""What help says about the kind of a value: a word that a user knows, not the name of a Python type."""

from __future__ import annotations

from functools import partial
from typing import Any

from typer.core import TyperCommand


class PlainKinds:
    """A command whose help has PATH and TEXT in place of ``<path>`` and ``<str>``, and nothing beside a flag."""

    def get_params(self, ctx: Any) -> Any:
        """All parameters, that of ``--help`` among them."""
        found = super().get_params(ctx)  # type: ignore[misc]  # it stands before one of Typer's classes
        for parameter in found:
            parameter.display_type_rich = partial(_kind, parameter)
        return found


class Command(PlainKinds, TyperCommand):
    """A command below the root."""


def _kind(parameter: Any, ctx: Any) -> str | None:
    """The word for the values of an option; an argument's own name is word enough."""
    described = getattr(parameter, "type_descriptor", None)
    if described is None:  # not Typer's own, or of a Typer that calls it otherwise: help must come in any case
        return parameter.metavar
    if parameter.param_type_name == "argument" or described.annotation is bool:
        return None
    return parameter.metavar if parameter.metavar is not None else "PATH" if described.is_path else "TEXT"
