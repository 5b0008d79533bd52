"""Finding runs and plans under the run directory."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.errors import SeqrlError, nearest
from seqrl_cli.runs.atomic import writing
from seqrl_cli.runs.layout import RESERVED, DatasetFolder, RunFolder
from seqrl_cli.runs.network import Network
from seqrl_cli.runs.record import RunRecord, read_record


@dataclass(frozen=True)
class RunStore:
    """The run directory.

    Attributes:
        root: ``runs/`` or what --runs-dir names; it need not exist.
        network: what may be used to fetch what is missing in it.
    """

    root: Path
    network: Network = Network()

    def dataset(self, folder: str | Path) -> DatasetFolder:
        """A dataset's folder by its path below the root, for example ``sim/hopper-medium``."""
        return DatasetFolder(self.root / folder)

    def dataset_folders(self) -> list[DatasetFolder]:
        """Every folder that holds a dataset."""
        return [DatasetFolder(path.parent) for path in self._walk("dataset.h5")]

    def runs(self) -> list[tuple[RunFolder, RunRecord]]:
        """Every readable run, the one written last at the end; damaged ones are left out (see ``damaged``)."""
        found = []
        for path in self._walk("run.json"):
            try:
                found.append((RunFolder(path.parent), read_record(path)))
            except SeqrlError:
                continue
        return sorted(found, key=lambda run: run[1].updated)

    def damaged(self) -> list[SeqrlError]:
        """Why each unreadable run.json was left out."""
        errors = []
        for path in self._walk("run.json"):
            try:
                read_record(path)
            except SeqrlError as error:
                errors.append(error)
        return errors

    def name_of(self, folder: Path) -> str:
        """A folder's path below the root, as a user would write it."""
        return folder.relative_to(self.root).as_posix() if folder.is_relative_to(self.root) else str(folder)

    def find(self, spec: str | None) -> RunFolder:
        """The run that a user means.

        Args:
            spec: a folder, a path below the root, a run's own name, a dataset (its latest run), or None = the latest.

        Raises:
            SeqrlError: there is none, or the name fits several.
        """
        if spec is not None:
            for candidate in (Path(spec), self.root / spec):
                if (candidate / "run.json").exists():
                    return RunFolder(candidate)
        runs = self.runs()
        if spec is None:
            return self._latest(runs)
        matching = [folder for folder, record in runs if spec in (folder.path.name, record.dataset)]
        below = [folder for folder in matching if folder.path.name == spec]
        if len(below) > 1:
            names = ", ".join(self.name_of(folder.path) for folder in below)
            raise SeqrlError(f"{spec!r} fits several runs: {names}", "write the path of the one you mean")
        if matching:
            return matching[-1]
        names_known = [self.name_of(folder.path) for folder, _ in runs]
        close = nearest(spec, names_known)
        hint = f"did you mean {close!r}?" if close else "`seqrl runs` lists the runs"
        raise SeqrlError(f"no run {spec!r} in {self.root}", hint)

    def _latest(self, runs: list[tuple[RunFolder, RunRecord]]) -> RunFolder:
        if not runs:
            raise SeqrlError(f"no run in {self.root}", "train one first: seqrl train sim/hopper-medium")
        return runs[-1][0]

    def _walk(self, name: str) -> list[Path]:
        """Paths of all files of a name below the root, without entering checkpoints, plans, plots and videos."""
        found = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = [f for f in sorted(folders) if f not in RESERVED]
            if name in files:
                found.append(Path(folder) / name)
        return found


def discard_run(run: RunFolder) -> None:
    """Empty a run's folder for one that takes its place; the caller holds its lock.

    Raises:
        SeqrlError: something in it cannot be removed.
    """
    with writing(run.path):
        for path in (run.record, run.config, run.metrics, run.own_tokens):
            path.unlink(missing_ok=True)
        for folder in (run.buffer, run.checkpoints, run.plans, run.plots, run.videos):
            if folder.exists():
                shutil.rmtree(folder)
