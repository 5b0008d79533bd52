"""``seqrl download pretrained/…``: fetch a published checkpoint and import it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.artifacts.fetch import fetch_file
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.pretrained import Pretrained, pretrained_checkpoints, unpack, unpacked_folder
from seqrl_cli.download.mirrors import locations
from seqrl_cli.errors import SeqrlError, unknown, when_interrupted
from seqrl_cli.files.hashes import file_sha256
from seqrl_cli.runs.download_hashes import DOWNLOADS_NAME, has_hash_below, record_hash, recorded_hash
from seqrl_cli.runs.lock import FOREVER, locked
from seqrl_cli.runs.record import read_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.exchange import import_checkpoint
from seqrl_cli.workflows.exchange.import_checkpoint import ImportReport, ImportRequest

_HINT = "if you have it, import its folder: seqrl import FOLDER; or name a mirror: SEQRL_MIRRORS=pretrained=FOLDER"


@dataclass(frozen=True)
class PretrainedRequest:
    """Options of ``seqrl download pretrained/…``.

    Attributes:
        store: the run directory, with its mirrors and whether downloads are allowed.
        checkpoint: ``pretrained/<project>/<dataset>``.
        force: fetch and import the checkpoint again.
        argv: the command line, for the record.
    """

    store: RunStore
    checkpoint: str
    force: bool = False
    argv: Sequence[str] = ()


def run(request: PretrainedRequest, console: Console) -> ImportReport:
    """Fetch a published checkpoint and turn it into a run; also fetches the dataset if the bins depend on it.

    Raises:
        UsageError: there is no such checkpoint.
        SeqrlError: it cannot be fetched, has changed since it was first fetched, or is not a checkpoint.
    """
    store = request.store
    checkpoint = _find(request.checkpoint)
    imported = _imported(store, checkpoint)
    if imported and not request.force:
        console.note(f"{imported.run} is already imported; --force imports it again")
        return imported
    if not checkpoint.has_bins:
        locate(store, checkpoint.dataset).ensure(DataConfig(), console)
    folder = unpacked_folder(checkpoint, store.network)
    if folder is not None:
        console.note(f"{checkpoint.id} is unpacked in {folder}")
        return import_checkpoint.run(_import_request(request, checkpoint, folder), console)
    folder = store.root / ".pretrained" / checkpoint.project / checkpoint.dataset
    stopped = when_interrupted(
        f"interrupted; the partial download of {checkpoint.id} was kept", "the same command resumes it"
    )
    with stopped, locked(folder.parent, console, FOREVER):
        if request.force:
            _delete_downloads(checkpoint, folder, store.root)
        _fetch(checkpoint, folder, store, console)
        try:
            report = import_checkpoint.run(_import_request(request, checkpoint, folder), console)
        except SeqrlError:
            # No hashes are published: the files may be a captive portal's pages, which the next attempt must not reuse.
            shutil.rmtree(folder)
            raise
        for path in _files(folder):
            record_hash(store.root, _url(checkpoint, path), file_sha256(path))
        shutil.rmtree(folder)
    return report


def dry_run(request: PretrainedRequest, console: Console) -> None:
    """Print what ``download pretrained/…`` would do.

    Raises:
        UsageError: there is no such checkpoint.
    """
    store = request.store
    checkpoint = _find(request.checkpoint)
    unpacked = unpacked_folder(checkpoint, store.network)
    sources = locations(checkpoint.files[0], "pretrained", store.network)
    folder = store.dataset(checkpoint.dataset).run(checkpoint.project)
    facts = {
        "checkpoint": checkpoint.id,
        "project": checkpoint.project,
        "licence": checkpoint.licence,
        "from": next(iter(sources), "nowhere: it is on the network") if unpacked is None else str(unpacked),
        "dataset first": "no, it has bins" if checkpoint.has_bins else checkpoint.dataset,
        "to": str(folder.path),
        "already exists": folder.record.exists(),
    }
    console.emit(facts)
    console.show_facts(facts)


def _find(name: str) -> Pretrained:
    """A published checkpoint by its id.

    Raises:
        UsageError: no checkpoint has that id; the hint suggests the nearest.
    """
    checkpoints = pretrained_checkpoints()
    if name not in checkpoints:
        raise unknown("checkpoint", name, checkpoints, "seqrl download --list pretrained")
    return checkpoints[name]


def _imported(store: RunStore, checkpoint: Pretrained) -> ImportReport | None:
    """The report of an earlier import, if there was one."""
    folder = store.dataset(checkpoint.dataset).run(checkpoint.project)
    if not folder.record.exists():
        return None
    record = read_record(folder.record)
    return ImportReport(
        run=str(folder.path),
        project=checkpoint.project,
        weights=checkpoint.id,
        dataset=checkpoint.dataset,
        bins="of its own" if checkpoint.has_bins else f"fitted to {checkpoint.dataset}",
        parameters=record.parameters,
        fresh=False,
    )


def _import_request(request: PretrainedRequest, checkpoint: Pretrained, folder: Path) -> ImportRequest:
    """The import of a fetched folder."""
    return ImportRequest(request.store, folder, dataset=checkpoint.dataset, force=request.force, argv=request.argv)


def _delete_downloads(checkpoint: Pretrained, folder: Path, root: Path) -> None:
    """Delete earlier downloads, but keep an archive whose hashes were recorded when a checkpoint was imported."""
    shutil.rmtree(folder, ignore_errors=True)
    if checkpoint.folder is not None and not has_hash_below(root, f"{checkpoint.files[0].url}#"):
        _archive(checkpoint, folder).unlink(missing_ok=True)


def _archive(checkpoint: Pretrained, folder: Path) -> Path:
    """The path of a checkpoint's archive: beside its folder, so that imports of its other checkpoints find it."""
    return folder.parent / Path(checkpoint.files[0].path).name


def _fetch(checkpoint: Pretrained, folder: Path, store: RunStore, console: Console) -> None:
    """Fetch the checkpoint's files into a folder, and compare their hashes with those of the first download."""
    if checkpoint.folder is None:
        for file in checkpoint.files:
            fetch_file(file, "pretrained", folder / Path(file.path).name, store, console, _HINT)
    else:
        (file,) = checkpoint.files
        archive = _archive(checkpoint, folder)
        # Dropbox builds the archive on each request: its own hash varies, but those of its files do not.
        fetch_file(file, "pretrained", archive, store, console, _HINT)
        try:
            unpack(archive, checkpoint.folder, folder)
        except SeqrlError:
            archive.unlink(missing_ok=True)
            raise
        console.note(f"{archive} is kept for the other checkpoints in it")
    for path in _files(folder):
        url, digest = _url(checkpoint, path), file_sha256(path)
        first = recorded_hash(store.root, url)
        if first not in (None, digest):
            shutil.rmtree(folder)
            if checkpoint.folder is not None:
                _archive(checkpoint, folder).unlink(missing_ok=True)
            message = f"{url} has changed: its SHA-256 is {digest}, and was {first} when it was first fetched"
            raise SeqrlError(message, f"if you trust the new one, remove its line from {store.root / DOWNLOADS_NAME}")


def _files(folder: Path) -> list[Path]:
    """The checkpoint's files, without lock files."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _url(checkpoint: Pretrained, path: Path) -> str:
    """The URL of a file; for a file in an archive, the archive's URL with the path inside it."""
    if checkpoint.folder is not None:
        return f"{checkpoint.files[0].url}#{checkpoint.folder}/{path.name}"
    return next(file.url for file in checkpoint.files if Path(file.path).name == path.name)
