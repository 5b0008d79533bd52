"""Packages that only an engine needs: imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from seqrl_cli.config.extras import install_line, is_installed
from seqrl_cli.errors import SeqrlError


def require_extra(extra: str, module: str, what: str) -> Any:
    """Import a module of an extra.

    Args:
        extra: its name.
        module: to import.
        what: the option that needs it, for the error.

    Raises:
        SeqrlError: it is not installed; the hint is the command that installs it.
    """
    if not is_installed(extra):
        package = module.partition(".")[0]
        raise SeqrlError(f"{what} needs the package {package}, which is not installed here", install_line(extra))
    return import_module(module)
