"""Weights & Biases; without an account it writes offline runs, which ``wandb sync`` sends later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqrl_cli.tracking.trackers import TrackedRun

_VIDEOS = (".mp4", ".gif", ".webm")
_EVALUATED = "updates_at_evaluation"


class WeightsAndBiases:
    """Sends a run under an id of its own, by which it resumes."""

    def begin(self, run: TrackedRun) -> None:
        """Start the run, or resume it; each offline start makes a folder, and all of them have the run's id."""
        import wandb

        offline = wandb.Settings().mode == "offline" or not wandb.login(prompt=False)
        settings = {"silent": True, "console": "off", "x_disable_stats": True, "disable_git": True, "save_code": False}
        self._run = wandb.init(
            id=run.id,
            project=run.project,
            name=run.name,
            group=run.group,
            config={**run.config, "record": dict(run.facts)},
            dir=str(run.folder),
            resume=None if offline else "allow",
            mode="offline" if offline else None,
            settings=wandb.Settings(**settings),
        )
        self._last: int | None = None
        self._run.define_metric("evaluation_*", step_metric=_EVALUATED)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send numbers; wandb's steps cannot go back, so evaluations have an axis of their own."""
        self._last = step if self._last is None else max(step, self._last)
        is_evaluated = any(name.startswith("evaluation_") for name in values)
        self._run.log({**values, **({_EVALUATED: step} if is_evaluated else {})}, step=self._last)

    def scores(self, values: Mapping[str, float]) -> None:
        """Set them in the run's summary."""
        self._run.summary.update(dict(values))

    def media(self, name: str, path: Path) -> None:
        """Send a figure or a video at the last step."""
        import wandb

        is_video = path.suffix in _VIDEOS
        kind: Any = path.suffix[1:]
        value = wandb.Video(str(path), format=kind) if is_video else wandb.Image(str(path))
        self._run.log({name: value}, step=self._last)

    def flush(self) -> None:
        """Nothing: wandb's own process writes what it is sent."""

    def end(self, status: str) -> None:
        """Finish the run."""
        self._run.summary["status"] = status
        self._run.finish(exit_code=int(status == "failed"))
