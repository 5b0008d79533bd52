"""Trackers of experiments: what each is told about a run, and which there are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from seqrl_cli.config.extras import install_line, is_installed
from seqrl_cli.errors import SeqrlError, unknown

TRACKERS = {
    "tensorboard": "seqrl_cli.tracking.to_tensorboard:TensorBoard",
    "wandb": "seqrl_cli.tracking.to_wandb:WeightsAndBiases",
    "trackio": "seqrl_cli.tracking.to_trackio:Trackio",
}
"""The trackers by name, which is also that of the extra; any other ``module:class`` of the user's is one, too."""


@dataclass(frozen=True)
class TrackedRun:
    """A run as a tracker sees it.

    Attributes:
        id: id of the run: the same whenever it is sent, and another once it was trained again with --force.
        name: name of the run, such as ``sim/hopper-medium/gpt-s42``.
        group: name that is equal for runs that differ only in their seed.
        project: the project under which the tracker keeps the run.
        folder: folder in which the tracker may keep files; it exists.
        config: the resolved configuration, by dotted keys.
        facts: facts from the record: versions, host, device and the like.
    """

    id: str
    name: str
    group: str
    project: str
    folder: Path
    config: Mapping[str, Any]
    facts: Mapping[str, Any]


class Tracker(Protocol):
    """Sends one run to a tracker; it may raise anything, and take any time: it has a process of its own."""

    def begin(self, run: TrackedRun) -> None:
        """Start to send a run, or go on."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send a log step; the steps never go back."""

    def scores(self, values: Mapping[str, float]) -> None:
        """Send the results of plans, by name."""

    def media(self, name: str, path: Path) -> None:
        """Send a figure or a video."""

    def flush(self) -> None:
        """Let nothing be lost that was sent."""

    def end(self, status: str) -> None:
        """Say how the run ended: ``finished``, ``interrupted``, ``failed`` or ``running``."""


def check_tracker(name: str) -> str:
    """A tracker's name, if there is one; nothing is imported.

    Raises:
        UsageError: there is none.
        SeqrlError: its package is not installed.
    """
    if name in TRACKERS:
        if not is_installed(name):
            raise SeqrlError(f"{name} is not installed", install_line(name))
    elif ":" not in name:
        raise unknown("tracker", name, TRACKERS)
    return name


def make_tracker(name: str) -> Tracker:
    """A tracker by its name; errors are those of :func:`check_tracker`."""
    return cast(Tracker, _class_of(check_tracker(name))())


def _class_of(name: str) -> Any:
    module, _, attribute = TRACKERS.get(name, name).partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise SeqrlError(
            f"the tracker {name} cannot be imported: {error}", "install it, or write MODULE:CLASS"
        ) from error
    except AttributeError as error:
        raise SeqrlError(f"the module {module} has no {attribute}", "a tracker is written MODULE:CLASS") from error
