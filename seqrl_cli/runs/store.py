"""Find datasets and runs below the run directory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.errors import SeqrlError, nearest
from seqrl_cli.files.walk import walk
from seqrl_cli.runs.layout import CONTINUAL, RESERVED, DatasetFolder, RunFolder
from seqrl_cli.runs.mirrors import NetworkAccess
from seqrl_cli.runs.record import RunRecord, read_record


@dataclass(frozen=True)
class RunStore:
    """The run directory.

    Attributes:
        root: ``runs/`` or the value of --runs-dir; it need not exist.
        network: the places that missing files may be downloaded from.
    """

    root: Path
    network: NetworkAccess = NetworkAccess()

    @property
    def archive(self) -> Path:
        """The folder of archived runs, hidden, so that lists, tables and plots leave it out."""
        return self.root / ".archive"

    def archived(self, name: str) -> Path:
        """Where a run is once it is archived, by its path below the root."""
        return self.archive / name

    def dataset(self, folder: str | Path) -> DatasetFolder:
        """A dataset's folder, by its path below the root, for example ``sim/hopper-medium``."""
        return DatasetFolder(self.root / folder)

    def dataset_folders(self) -> list[DatasetFolder]:
        """Every folder that contains a dataset."""
        return [DatasetFolder(path.parent) for path in self.files_named("dataset.h5")]

    def runs(self) -> list[tuple[RunFolder, RunRecord]]:
        """Every readable run, most recently written last; unreadable runs are left out (see ``read_runs``)."""
        return self.read_runs()[0]

    def read_runs(self) -> tuple[list[tuple[RunFolder, RunRecord]], list[tuple[RunFolder, SeqrlError]]]:
        """Every readable run, most recently written last, and every unreadable one with its error."""
        found, unreadable = [], []
        for path in self.files_named("run.json"):
            try:
                found.append((RunFolder(path.parent), read_record(path)))
            except SeqrlError as error:
                unreadable.append((RunFolder(path.parent), error))
        return sorted(found, key=lambda run: run[1].updated), unreadable

    def name_of(self, folder: Path) -> str:
        """A folder's path below the root, as a user would type it; that of the folder itself if it is elsewhere."""
        known = self.known_as(folder)
        return known.relative_to(self.root).as_posix() if known.is_relative_to(self.root) else str(folder)

    def known_as(self, folder: Path) -> Path:
        """A folder by its path below the root, however it was named; itself if it is not below it."""
        if folder.is_relative_to(self.root):
            return folder
        resolved, root = folder.resolve(), self.root.resolve()
        return self.root / resolved.relative_to(root) if resolved.is_relative_to(root) else folder

    def find(self, spec: str | None, on_warning: Callable[[str], None] = warnings.warn) -> RunFolder:
        """Find the run that a user names.

        Args:
            spec: a folder, a path below the root, a run's name, a dataset (its latest run), or None = the latest run.
            on_warning: called with a message for each unreadable run that may be later than the one returned.

        Raises:
            SeqrlError: no run matches, several match the name, or the only match has an unreadable record.
        """
        if spec is not None:
            spec = spec.rstrip("/") or spec
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
            raise self._several(spec, [folder.path for folder in named])
        matching = [folder for folder, record in runs if folder in named or spec in _dataset_names(record)]
        damaged = [error for folder, error in unreadable if folder in named or self.name_of(folder.path.parent) == spec]
        if matching or damaged:
            return self._latest(matching, damaged, on_warning)
        raise self._not_found(spec, [folder.path for folder, _ in runs])

    def find_continual(self, spec: str) -> Path | None:
        """The folder of the continual run of a path or a name; None if there is none.

        Raises:
            SeqrlError: several match the name.
        """
        spec = spec.rstrip("/")
        for candidate in (Path(spec), self.root / spec):
            if (candidate / CONTINUAL).exists():
                return candidate
        found = [path.parent for path in self.files_named(CONTINUAL) if path.parent.name == spec]
        if not found:
            return None
        found += [path.parent for path in self.files_named("run.json") if path.parent.name == spec]
        if len(found) > 1:
            raise self._several(spec, found)
        return found[0]

    def _several(self, spec: str, folders: Sequence[Path]) -> SeqrlError:
        names = ", ".join(map(self.name_of, folders))
        return SeqrlError(f"{spec!r} matches several runs: {names}", "give the path of one of them")

    def _not_found(self, spec: str, known: Sequence[Path]) -> SeqrlError:
        """The error for a name that no run has, which may be that of a run of many tasks in turn."""
        if folder := self.find_continual(spec):
            name = self.name_of(folder)
            hint = f"these do: seqrl runs show {name}; seqrl table {name}; seqrl plot {name}"
            return SeqrlError(f"{spec} learned tasks one after the other, and this command reads no such run", hint)
        close = nearest(spec, [*map(self.name_of, known), *(path.name for path in known)])
        hint = f"did you mean {close!r}?" if close else "`seqrl runs` lists the runs"
        return SeqrlError(f"no run {spec!r} in {self.root}", hint)

    def _latest(
        self, runs: Sequence[RunFolder], damaged: Sequence[SeqrlError], on_warning: Callable[[str], None]
    ) -> RunFolder:
        """The last of some runs; warns that a damaged one may be later."""
        if not runs:
            raise damaged[0]
        for error in damaged:
            on_warning(f"{error.message}; the latest readable run is {self.name_of(runs[-1].path)}")
        return runs[-1]

    def files_named(self, name: str) -> list[Path]:
        """All files with a name below the root, whose folders may be links; reserved and hidden ones are skipped."""
        return [Path(folder) / name for folder, files in walk(self.root, RESERVED) if name in files]


def _dataset_names(record: RunRecord) -> tuple[str, str]:
    """How a user may write the dataset of a run: a mixture's name, or all its datasets in full."""
    return record.dataset, "+".join(record.datasets)
