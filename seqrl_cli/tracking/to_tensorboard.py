"""Event files for TensorBoard, written by tensorboardX, which needs neither TensorFlow nor TensorBoard itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import imageio.v3 as imageio

from seqrl_cli.files.regular import open_regular
from seqrl_cli.files.yaml_text import dump_yaml
from seqrl_cli.tracking.trackers import TrackedRun

_SHOWN = (".png", ".gif", ".jpg")


class TensorBoard:
    """Writes a run's event files into its folder ``trackers/tensorboard``; resumed runs add a file."""

    def begin(self, run: TrackedRun) -> None:
        """Open a new event file."""
        from tensorboardX import SummaryWriter

        # a file is named by the second, and two of one second would be one
        self._writer = SummaryWriter(str(run.folder), flush_secs=10, filename_suffix=f".{time.time_ns()}")
        self._step = 0
        for name, values in (("configuration", run.config), ("record", run.facts)):
            text = "".join(f"    {line}\n" for line in dump_yaml(dict(values)).splitlines())
            self._writer.add_text(name, text, 0)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars."""
        self._step = step
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def scores(self, values: Mapping[str, float]) -> None:
        """Write scalars at the last step."""
        self.log(self._step, values)

    def media(self, name: str, path: Path) -> None:
        """Write a figure or a GIF as an image, which TensorBoard shows moving; of other videos, their path."""
        if path.suffix not in _SHOWN:
            self._writer.add_text(name, str(path), self._step)
            return
        from tensorboardX.proto.summary_pb2 import Summary

        height, width = imageio.improps(path, index=0).shape[:2]
        with open_regular(path) as file:
            image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=file.read())
        self._writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), self._step)

    def flush(self) -> None:
        """Write what is buffered."""
        self._writer.flush()

    def end(self, status: str) -> None:
        """Close the file."""
        self._writer.add_text("status", status, self._step)
        self._writer.close()
