"""``seqrl download pretrained/…``: fetch a published checkpoint and import it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from seqrl_cli.artifacts.fetch import fetch_file
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.download.fetch import file_sha256
from seqrl_cli.data.download.mirrors import locations
from seqrl_cli.data.pretrained import Pretrained, pretrained_checkpoints, unpack, unpacked_folder
from seqrl_cli.errors import SeqrlError, unknown, when_interrupted
from seqrl_cli.runs.download_hashes import LEDGER_NAME, knows_below, record_hash, recorded_hash
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.record import read_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.exchange.import_checkpoint import ImportReport, ImportRequest, import_checkpoint

_HINT = "if you have it, import its folder: seqrl import FOLDER; or name a mirror: SEQRL_MIRRORS=pretrained=FOLDER"


def find_pretrained(name: str) -> Pretrained:
    """A published checkpoint by its id.

    Raises:
        UsageError: there is none of that name; the nearest is offered.
    """
    checkpoints = pretrained_checkpoints()
    if name not in checkpoints:
        raise unknown("checkpoint", name, checkpoints, "seqrl download --list pretrained")
    return checkpoints[name]


def download_pretrained(
    store: RunStore, name: str, console: Console, *, force: bool = False, argv: Sequence[str] = ()
) -> ImportReport:
    """Fetch a published checkpoint and turn it into a run, with the dataset that its bins need.

    Args:
        store: the run directory, and what may be fetched into it.
        name: ``pretrained/<project>/<dataset>``.
        console: hears what happens.
        force: fetch and import it again, whatever is there.
        argv: the command line, for the record.

    Raises:
        UsageError: there is no such checkpoint.
        SeqrlError: it cannot be had, has changed since it was fetched first, or is no checkpoint.
    """
    checkpoint = find_pretrained(name)
    there = _imported(store, checkpoint)
    if there and not force:
        console.note(f"{there.run} is already imported; --force does it again")
        return there
    if not checkpoint.has_bins:
        locate(store, checkpoint.dataset).ensure(DataConfig(), console)
    folder = unpacked_folder(checkpoint, store.network)
    if folder is not None:
        console.note(f"{name} is unpacked in {folder}")
        request = ImportRequest(folder, dataset=checkpoint.dataset, argv=argv)
        return import_checkpoint(store, request, console, force=force)
    folder = store.root / ".pretrained" / checkpoint.project / checkpoint.dataset
    stopped = when_interrupted(f"interrupted; what came of {name} is kept", "the same command goes on from there")
    with stopped, locked(folder.parent, on_wait=console.note):
        if force:
            _forget(checkpoint, folder, store.root)
        _obtain(checkpoint, folder, store, console)
        request = ImportRequest(folder, dataset=checkpoint.dataset, argv=argv)
        try:
            report = import_checkpoint(store, request, console, force=force)
        except SeqrlError:
            # Nobody has published hashes: these may be a hotel's pages, and the next attempt must not find them.
            shutil.rmtree(folder)
            raise
        for path in _files(folder):
            record_hash(store.root, _url(checkpoint, path), file_sha256(path))
        shutil.rmtree(folder)
    return report


def _imported(store: RunStore, checkpoint: Pretrained) -> ImportReport | None:
    """What was imported before, if it was."""
    run = store.dataset(checkpoint.dataset).run(checkpoint.project)
    if not run.record.exists():
        return None
    record = read_record(run.record)
    return ImportReport(
        run=str(run.path),
        project=checkpoint.project,
        weights=checkpoint.id,
        dataset=checkpoint.dataset,
        bins="of its own" if checkpoint.has_bins else f"placed by {checkpoint.dataset}",
        parameters=record.parameters,
        fresh=False,
    )


def show_pretrained(store: RunStore, name: str, console: Console) -> None:
    """What ``download pretrained/…`` would do, for --dry-run."""
    checkpoint = find_pretrained(name)
    unpacked = unpacked_folder(checkpoint, store.network)
    places = locations(checkpoint.files[0], "pretrained", store.network)
    run = store.dataset(checkpoint.dataset).run(checkpoint.project)
    facts = {
        "checkpoint": name,
        "project": checkpoint.project,
        "licence": checkpoint.licence,
        "from": str(unpacked) if unpacked else places[0] if places else "nowhere: it is on the network",
        "dataset first": "no, it has bins" if checkpoint.has_bins else checkpoint.dataset,
        "to": str(run.path),
        "there already": run.record.exists(),
    }
    console.emit(facts)
    console.show_facts(facts)


def _forget(checkpoint: Pretrained, folder: Path, root: Path) -> None:
    """Delete what was fetched before; an archive stays if a checkpoint from it was imported, and has its hashes."""
    shutil.rmtree(folder, ignore_errors=True)
    if checkpoint.folder is not None and not knows_below(root, f"{checkpoint.files[0].url}#"):
        _archive(checkpoint, folder).unlink(missing_ok=True)


def _archive(checkpoint: Pretrained, folder: Path) -> Path:
    """Where a checkpoint's archive lies: beside the checkpoint's folder, for the others in it."""
    return folder.parent / Path(checkpoint.files[0].path).name


def _obtain(checkpoint: Pretrained, folder: Path, store: RunStore, console: Console) -> None:
    """Fill a folder with the checkpoint's files, and compare them with what they were at first."""
    if checkpoint.folder is None:
        for file in checkpoint.files:
            fetch_file(file, "pretrained", folder / Path(file.path).name, store, console, _HINT)
    else:
        (file,) = checkpoint.files
        archive = _archive(checkpoint, folder)
        # Dropbox packs anew whenever it is asked: the archive's own hash says nothing, those of the files in it do.
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
            message = f"{url} has changed: its SHA-256 is {digest}, and was {first} when it was fetched first"
            raise SeqrlError(message, f"if you trust the new one, remove its line from {store.root / LEDGER_NAME}")


def _files(folder: Path) -> list[Path]:
    """The checkpoint's files, without those of locks."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _url(checkpoint: Pretrained, path: Path) -> str:
    """Where a file was published; one in an archive behind the archive's own URL."""
    if checkpoint.folder is not None:
        return f"{checkpoint.files[0].url}#{checkpoint.folder}/{path.name}"
    return next(file.url for file in checkpoint.files if Path(file.path).name == path.name)
