"""Trackio, which keeps runs in a SQLite file on this machine; not for file systems that a cluster shares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from seqrl_cli.tracking.trackers import TrackedRun

_VIDEOS = (".mp4", ".gif", ".webm")


class Trackio:
    """Adds a run to Trackio's database, where it resumes by its name."""

    def begin(self, run: TrackedRun) -> None:
        """Start the run, or resume it."""
        import trackio

        name = f"{run.name.replace('/', '-')}-{run.id[:6]}"
        config = {**run.config, "record": dict(run.facts)}
        self._run = trackio.init(
            project=run.project, name=name, group=run.group, config=config, resume="allow", embed=False
        )
        self._last: int | None = None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send numbers."""
        self._last = step
        self._run.log(dict(values), step=step)

    def scores(self, values: Mapping[str, float]) -> None:
        """Send them at the last step."""
        self._run.log(dict(values), step=self._last)

    def media(self, name: str, path: Path) -> None:
        """Send a figure or a video at the last step."""
        import trackio

        kind = trackio.Video if path.suffix in _VIDEOS else trackio.Image
        self._run.log({name: kind(str(path))}, step=self._last)

    def flush(self) -> None:
        """Nothing: Trackio writes in the background."""

    def end(self, status: str) -> None:
        """Write what is left."""
        self._run.log({"finished": float(status == "finished")}, step=self._last)
        self._run.finish()
