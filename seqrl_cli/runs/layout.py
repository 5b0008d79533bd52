"""Names inside the run directory: where everything is.

::

    runs/hopper-medium-v2/
      dataset.h5  tokens.h5
      gpt-s42/  run.json  config.yaml  metrics.jsonl  checkpoints/  plans/  plots/  videos/
      odt-s42-online/  the same, fine-tuned, and buffer/
      trajectory-transformer/  the same, imported, and its own tokens.h5
    runs/sim/hopper-medium+hopper-expert/
      tokens.h5  gpt-s42/ …  of several datasets together, which stay in their own folders
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.errors import UsageError

TRACKERS = "trackers"
"""The folder of a run that has one folder per tracker that it is sent to."""

RUN_FILES = ("run.json", "config.yaml", "metrics.jsonl", "tokens.h5")
RUN_FOLDERS = ("buffer", "checkpoints", "plans", "plots", "videos")
"""What a run's folder holds beside its trackers; other files are not pushed, pulled or replaced."""

RESERVED = (*RUN_FOLDERS, "dataset.h5", "tokens.h5", TRACKERS)

CONTINUAL = "continual.json"
"""The record of a run that learned tasks one after the other."""

MAX_NAME = 200
"""Characters; file systems allow 255, and temporary names beside it are a little longer."""

_MAX_RECORDED = 1000  # characters; a path has 4,096 bytes at most

_SHORTER = f"use {MAX_NAME} characters or fewer"


def check_name(kind: str, name: str) -> str:
    """Check that a folder may have a name, and return it.

    Raises:
        UsageError: it is empty, hidden or reserved, or contains more than letters, digits, ``.``, ``_`` and ``-``,
            or is too long.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name in RESERVED:
        hint = f"use letters, digits, '.', '_' and '-', but not {', '.join(RESERVED)}"
        raise UsageError(f"{name!r} cannot be the name of a {kind}", hint)
    if len(name) > MAX_NAME:
        raise UsageError(f"{name[:20]}…, of {len(name)} characters, cannot be the name of a {kind}", _SHORTER)
    return name


def stays_below(name: str) -> bool:
    """Whether a name that a file records, of a dataset or a run, can be a path and leads nowhere but down.

    The parts of a mixture are looked up alone, so ``+`` separates as ``/`` does.
    """
    length = max(len(part.encode("utf-8", "surrogatepass")) for part in name.split("/"))
    parts = re.split("[/+]", name)
    return length <= 255 and len(name) <= _MAX_RECORDED and "\0" not in name and not {"", ".", ".."} & {*parts}


def mixture_name(datasets: Sequence[str]) -> str:
    """The name of several datasets together, and of their folder.

    A folder that they have in common appears once: ``sim/hopper-medium+hopper-expert``. Ids never contain ``+``.
    """
    first, *others = datasets
    folder = first.rpartition("/")[0]
    return "+".join([first, *(other.removeprefix(f"{folder}/") if folder else other for other in others)])


@dataclass(frozen=True)
class DatasetFolder:
    """One dataset's folder."""

    path: Path

    @property
    def dataset(self) -> Path:
        """The episodes, in D4RL layout."""
        return self.path / "dataset.h5"

    @property
    def tokens(self) -> Path:
        """Tokens and bin edges."""
        return self.path / "tokens.h5"

    def run(self, name: str) -> RunFolder:
        """The folder of one trained model."""
        return RunFolder(self.path / name)


@dataclass(frozen=True)
class RunFolder:
    """One trained model's folder."""

    path: Path

    @property
    def record(self) -> Path:
        """The record: what ran, where and with which versions."""
        return self.path / "run.json"

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON object per log step."""
        return self.path / "metrics.jsonl"

    @property
    def own_tokens(self) -> Path:
        """Bin edges that an imported model came with; other runs have none."""
        return self.path / "tokens.h5"

    @property
    def tokens(self) -> Path:
        """The tokens that the model reads: its own, else its dataset's."""
        return self.own_tokens if self.own_tokens.exists() else self.dataset_folder.tokens

    @property
    def checkpoints(self) -> Path:
        """One folder per checkpoint, and ``last``."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """Names the newest whole checkpoint."""
        return self.checkpoints / "last"

    @property
    def contents(self) -> list[Path]:
        """All files and folders of a run, the record first."""
        return [self.path / name for name in (*RUN_FILES, *RUN_FOLDERS, TRACKERS)]

    def at(self, path: Path) -> RunFolder:
        """A run's folder elsewhere."""
        return RunFolder(path)

    @property
    def buffer(self) -> Path:
        """The replay buffer of a fine-tuned run, one HDF5 file per group of episodes."""
        return self.path / "buffer"

    @property
    def plans(self) -> Path:
        """One folder per plan setting."""
        return self.path / "plans"

    @property
    def plots(self) -> Path:
        """Figures, written by plot."""
        return self.path / "plots"

    @property
    def videos(self) -> Path:
        """Videos, written by render."""
        return self.path / "videos"

    @property
    def trackers(self) -> Path:
        """One folder per tracker that the run is sent to."""
        return self.path / TRACKERS

    @property
    def dataset_folder(self) -> DatasetFolder:
        """The dataset, or the mixture of datasets, that the model was trained on."""
        return DatasetFolder(self.path.parent)
