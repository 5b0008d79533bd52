"""seqrl: offline reinforcement learning as sequence modelling.

These names make scripts and notebooks short; ``docs/python-api.md`` has examples. Each is imported when it is first
used, so that importing the package itself stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqrl_cli.scripting.agent import Agent as Agent
    from seqrl_cli.scripting.agent import load as load
    from seqrl_cli.scripting.dataset import Dataset as Dataset
    from seqrl_cli.scripting.dataset import load_dataset as load_dataset
    from seqrl_cli.scripting.fit import train as train
    from seqrl_cli.scripting.recorder import Recorder as Recorder
    from seqrl_cli.scripting.recorder import record as record
    from seqrl_cli.scripting.result_rows import results as results

__version__ = "0.1.0"

__all__ = ["Agent", "Dataset", "Recorder", "load", "load_dataset", "record", "results", "train"]

_MODULES = {
    **dict.fromkeys(("Agent", "load"), "agent"),
    **dict.fromkeys(("Dataset", "load_dataset"), "dataset"),
    **dict.fromkeys(("Recorder", "record"), "recorder"),
    "train": "fit",
    "results": "result_rows",
}


def __getattr__(name: str) -> Any:
    """Import one of the names above when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.scripting.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The names of the module, for completion."""
    return sorted({*globals(), *__all__})
