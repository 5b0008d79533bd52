"""The whole files of this campaign, made when they are first needed."""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path

from tests.campaigns.specimens import make_checkpoints, make_datasets, make_runs


class Specimens:
    """``runs``, ``datasets``, ``checkpoints`` and ``presets`` below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_runs(folder)
        shutil.copytree(Path(__file__).parents[3] / "presets", folder / "presets")

    @cached_property
    def datasets(self) -> list[Path]:
        """A dataset of every format."""
        (self.folder / "datasets").mkdir()
        return make_datasets(self.folder / "datasets")

    @cached_property
    def checkpoints(self) -> list[Path]:
        """Folders of other projects' checkpoints."""
        (self.folder / "checkpoints").mkdir()
        return make_checkpoints(self.folder / "checkpoints")
