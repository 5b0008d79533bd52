"""``seqrl runs pull``: copy runs and their data from a URL, whole or not at all."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass

from seqrl_cli.artifacts.remote import Manifest, Remote, Stored, is_plain
from seqrl_cli.artifacts.remote_faults import PULL_HINT
from seqrl_cli.artifacts.sync import pull_files
from seqrl_cli.console import Console, byte_size, counted
from seqrl_cli.errors import SeqrlError, unknown
from seqrl_cli.files.atomic import make_folder, writing
from seqrl_cli.files.json_text import parse_json
from seqrl_cli.files.regular import MAX_TEXT_BYTES
from seqrl_cli.runs.layout import RUN_FILES, RUN_FOLDERS, RunFolder
from seqrl_cli.runs.lock import locked, refuse_playing
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.runs.replace import attached_results, replacing
from seqrl_cli.runs.store import RunStore

_DATA_PARTS = ("dataset.h5", "tokens.h5")


@dataclass(frozen=True)
class PullRequest:
    """Options of ``seqrl runs pull``.

    Attributes:
        store: the run directory.
        runs: names below the URL; none means all.
        url: the URL to pull from.
        data: whether datasets and tokens come along, where they are missing here.
        force: replace runs that are newer here.
    """

    store: RunStore
    runs: tuple[str, ...]
    url: str
    data: bool = True
    force: bool = False


@dataclass(frozen=True)
class PullReport:
    """Result of ``runs pull``."""

    url: str
    pulled: list[str]
    kept: list[str]
    bytes: int

    def text(self) -> str:
        """One line for a person."""
        kept = f"; {', '.join(self.kept)} kept" if self.kept else ""
        return f"{counted(len(self.pulled), 'folder')}, {byte_size(self.bytes)}, from {self.url}{kept}"


def run(request: PullRequest, console: Console) -> PullReport:
    """Pull runs; each replaces the one of its name once all its files are here and have the right hashes.

    Raises:
        SeqrlError: there is no such run at the URL, it is damaged or hostile, it is in use here, or the URL cannot be
            reached.
    """
    remote = Remote(request.url)
    pulled, kept, received = [], [], 0
    for name, manifest in _wanted(request, remote).items():
        is_run = "run.json" in manifest.files
        got = (
            _pull_run(request, remote, name, manifest, console)
            if is_run
            else _pull_data(request, remote, name, manifest, console)
        )
        if got is None:
            kept.append(name)
        else:
            pulled.append(name)
            received += got
    return PullReport(remote.shown, pulled, kept, received)


def dry_run(request: PullRequest, console: Console) -> None:
    """Print what would be pulled, and how large it is.

    Raises:
        SeqrlError: as :func:`run` before it copies anything.
    """
    remote = Remote(request.url)
    sizes = {}
    for name, manifest in _wanted(request, remote).items():
        if "run.json" in manifest.files:
            kept = _why_kept(request, remote, name, manifest)
            files = {} if kept else manifest.files
        else:
            files = _missing_files(request, name, manifest)
        if files:
            sizes[name] = byte_size(sum(one.size for one in files.values()))
    console.emit({"url": remote.shown, "folders": sizes})
    console.show_facts({"from": remote.shown, **sizes})


def _wanted(request: PullRequest, remote: Remote) -> dict[str, Manifest]:
    """The chosen folders with their manifests: datasets first, if they are wanted."""
    there = remote.folders()
    if not there:
        raise SeqrlError(f"no run was pushed to {remote.shown}", f"push one: seqrl runs push {remote.shown}")
    for name in there:
        if not is_plain(name):
            raise SeqrlError(f"{remote.shown} has a folder {name!r}, which no run has", PULL_HINT)
    for name in request.runs:
        if name not in there:
            raise unknown("run at the URL", name, there)
    chosen = [name for name in there if not request.runs or name in request.runs or _is_above(name, request.runs)]
    found = {}
    for name in chosen:
        manifest = remote.manifest(name)
        if manifest is not None:
            _check_parts(remote, name, manifest)
            if request.data or "run.json" in manifest.files:
                found[name] = manifest
    return dict(sorted(found.items(), key=lambda item: "run.json" in item[1].files))


def _is_above(name: str, runs: tuple[str, ...]) -> bool:
    return any(run.rpartition("/")[0] == name for run in runs)


def _check_parts(remote: Remote, name: str, manifest: Manifest) -> None:
    """Stop at files that no run and no dataset has."""
    is_run = "run.json" in manifest.files
    for path in manifest.files:
        first, _, rest = path.partition("/")
        if not (first in RUN_FOLDERS if rest else path in (RUN_FILES if is_run else _DATA_PARTS)):
            raise SeqrlError(
                f"the manifest of {remote.shown}/{name} names {path!r}, which no run has", "do not pull it"
            )


def _pull_run(request: PullRequest, remote: Remote, name: str, manifest: Manifest, console: Console) -> int | None:
    """Replace a run; returns the bytes received, or None if the one here is kept.

    Plans, plots and videos that were made here of the same run stay beside those that are pulled.
    """
    folder = RunFolder(request.store.root / name)
    with locked(folder.path, console):
        if why := _why_kept(request, remote, name, manifest):
            console.note(f"{name} {why}, and is kept; --force replaces it")
            return None
        own = _own_record(folder)
        if own is None or own.created != _created_there(remote, name, manifest):
            if removed := attached_results(folder):
                console.note(f"{name} is another run there; removed with the one here: {removed}")
            own = None
        with replacing(folder) as new:
            received = pull_files(remote, name, manifest, new.path, folder.path)
            read_record(new.record)
            refuse_playing(folder.path)  # again, since a download takes long
            if own is not None:
                _keep_results(folder, new)
    return received


def _why_kept(request: PullRequest, remote: Remote, name: str, manifest: Manifest) -> str | None:
    """Why a run of the same name here is not replaced; None if it is, or if there is none."""
    folder = RunFolder(request.store.root / name)
    own = _own_record(folder)
    if own is None or request.force:
        return None
    if own.updated > manifest.written:
        return "was written here after it was pushed"
    results = attached_results(folder)
    if results and own.created != _created_there(remote, name, manifest):
        return f"is another run than the one there and has {results}"
    return None


def _own_record(folder: RunFolder) -> RunRecord | None:
    """The record of a run here; None if there is none, or it is damaged."""
    with suppress(SeqrlError):
        return read_record(folder.record)
    return None


def _created_there(remote: Remote, name: str, manifest: Manifest) -> str | None:
    """When the run at the URL was begun; None if its record does not say so."""
    stored = manifest.files["run.json"]
    if stored.size > MAX_TEXT_BYTES:
        return None
    with suppress(ValueError):
        record = parse_json(b"".join(remote.get(name, stored)))
        return record.get("created") if isinstance(record, dict) else None
    return None


def _keep_results(here: RunFolder, new: RunFolder) -> None:
    """Copy the plans, plots and videos of which the new folder has none of the same name."""
    for folder in (here.plans, here.plots, here.videos):
        for path in sorted(folder.glob("[!.]*")):
            target = new.path / path.relative_to(here.path)
            if path.is_symlink() or target.exists():
                continue
            with writing(target):
                make_folder(target.parent)
                if path.is_dir():
                    shutil.copytree(path, target, symlinks=True, ignore=shutil.ignore_patterns(".*"))
                else:
                    shutil.copy2(path, target)


def _missing_files(request: PullRequest, name: str, manifest: Manifest) -> dict[str, Stored]:
    """The files of a dataset that are not here."""
    folder = request.store.root / name
    return {path: stored for path, stored in manifest.files.items() if not (folder / path).exists()}


def _pull_data(request: PullRequest, remote: Remote, name: str, manifest: Manifest, console: Console) -> int | None:
    """Write a dataset and its tokens where they are missing; returns the bytes received, or None if all are here."""
    folder = request.store.root / name
    if not _missing_files(request, name, manifest):
        return None
    with locked(folder, console):
        missing = _missing_files(request, name, manifest)  # another process may have made them meanwhile
        if not missing:
            return None
        part = Manifest(missing, manifest.written, manifest.host)
        shutil.rmtree(folder / ".pulled.tmp", ignore_errors=True)  # what a kill left
        new = make_folder(folder / ".pulled.tmp")
        try:
            received = pull_files(remote, name, part, new, folder)
            for path in missing:
                with writing(folder / path):
                    (new / path).rename(folder / path)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return received
