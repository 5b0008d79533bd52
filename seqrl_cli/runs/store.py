"""Finding runs and plans under the run directory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.errors import SeqrlError, nearest
from seqrl_cli.runs.layout import RESERVED, DatasetFolder, RunFolder
from seqrl_cli.runs.mirrors import NetworkAccess
from seqrl_cli.runs.record import RunRecord, read_record


@dataclass(frozen=True)
class RunStore:
    """The run directory.

    Attributes:
        root: ``runs/`` or what --runs-dir names; it need not exist.
        network: what may be used to fetch what is missing in it.
    """

    root: Path
    network: NetworkAccess = NetworkAccess()

    def dataset(self, folder: str | Path) -> DatasetFolder:
        """A dataset's folder by its path below the root, for example ``sim/hopper-medium``."""
        return DatasetFolder(self.root / folder)

    def dataset_folders(self) -> list[DatasetFolder]:
        """Every folder that holds a dataset."""
        return [DatasetFolder(path.parent) for path in self._walk("dataset.h5")]

    def runs(self) -> list[tuple[RunFolder, RunRecord]]:
        """Every readable run, the one written last at the end; unreadable ones are left out (see ``read_runs``)."""
        return self.read_runs()[0]

    def read_runs(self) -> tuple[list[tuple[RunFolder, RunRecord]], list[tuple[RunFolder, SeqrlError]]]:
        """Every readable run, the one written last at the end; and every unreadable one, with what is wrong with it."""
        found, unreadable = [], []
        for path in self._walk("run.json"):
            try:
                found.append((RunFolder(path.parent), read_record(path)))
            except SeqrlError as error:
                unreadable.append((RunFolder(path.parent), error))
        return sorted(found, key=lambda run: run[1].updated), unreadable

    def name_of(self, folder: Path) -> str:
        """A folder's path below the root, as a user would write it."""
        return folder.relative_to(self.root).as_posix() if folder.is_relative_to(self.root) else str(folder)

    def find(self, spec: str | None, on_warning: Callable[[str], None] = warnings.warn) -> RunFolder:
        """The run that a user means.

        Args:
            spec: a folder, a path below the root, a run's own name, a dataset (its latest run), or None = the latest.
            on_warning: told of runs whose record cannot be read, where one of them may be the latest.

        Raises:
            SeqrlError: there is none, the name fits several, or the record of the only one that it fits is unreadable.
        """
        if spec is not None:
            for candidate in (Path(spec), self.root / spec):
                if (candidate / "run.json").exists():
                    return RunFolder(candidate)
        runs, unreadable = self.read_runs()
        if spec is None:
            if not runs and not unreadable:
                raise SeqrlError(f"no run in {self.root}", "train one first: seqrl train sim/hopper-medium")
            return self._latest([folder for folder, _ in runs], [error for _, error in unreadable], on_warning)
        named = [folder for folder, _ in (*runs, *unreadable) if folder.path.name == spec]
        if len(named) > 1:
            names = ", ".join(self.name_of(folder.path) for folder in named)
            raise SeqrlError(f"{spec!r} fits several runs: {names}", "write the path of the one you mean")
        matching = [folder for folder, record in runs if folder in named or record.dataset == spec]
        damaged = [error for folder, error in unreadable if folder in named or self.name_of(folder.path.parent) == spec]
        if matching or damaged:
            return self._latest(matching, damaged, on_warning)
        names_known = [self.name_of(folder.path) for folder, _ in runs]
        close = nearest(spec, names_known)
        hint = f"did you mean {close!r}?" if close else "`seqrl runs` lists the runs"
        raise SeqrlError(f"no run {spec!r} in {self.root}", hint)

    def _latest(
        self, runs: Sequence[RunFolder], damaged: Sequence[SeqrlError], on_warning: Callable[[str], None]
    ) -> RunFolder:
        """The last of some runs; that one of the damaged may be later is said aloud."""
        if not runs:
            raise damaged[0]
        for error in damaged:
            on_warning(f"{error.message}; the latest run that can be read is {self.name_of(runs[-1].path)}")
        return runs[-1]

    def _walk(self, name: str) -> list[Path]:
        """Paths of all files of a name below the root; reserved folders and hidden ones hold no dataset and no run."""
        found = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = [f for f in sorted(folders) if f not in RESERVED and not f.startswith(".")]
            if name in files:
                found.append(Path(folder) / name)
        return found
