"""Files from the network: mirrors are tried first, and the hash of the first download is pinned."""

from __future__ import annotations

from pathlib import Path

from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import DatasetSpec
from seqrl_cli.download.fetch import fetch
from seqrl_cli.download.mirrors import RemoteFile, is_remote, locations
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.download_hashes import DOWNLOADS_NAME, recorded_hash
from seqrl_cli.runs.store import RunStore


def fetch_file(file: RemoteFile, source: str, destination: Path, store: RunStore, console: Console, hint: str) -> str:
    """Fetch one file, from a mirror if one has it.

    The hash must be the published one, else the one of the first download. The caller records a new hash, once the file
    has been read: it might be the login page of a network.

    Args:
        file: the file to fetch.
        source: the collection that it belongs to, for example ``d4rl``.
        destination: the file to make.
        store: the run directory, with mirrors and recorded hashes.
        console: shows progress.
        hint: advice on what the user can do without the file.

    Returns:
        SHA-256, as hexadecimal digits.

    Raises:
        SeqrlError: it cannot be fetched, or has changed since the first download.
    """
    places = locations(file, source, store.network)
    if not places:
        raise SeqrlError(f"{file.url} is on the network, which --offline forbids, and no mirror here has it", hint)
    label = Path(file.path).name
    first = None if file.sha256 else recorded_hash(store.root, file.url)
    if first:
        forget = f"if it may have changed since, remove its line from {store.root / DOWNLOADS_NAME}"
        hint = f"its SHA-256 was {first} at the first download; {forget}; {hint}"
    console.note(f"fetching {label} from {places[0]}" + ("" if is_remote(places[0]) else f", in place of {file.url}"))
    with console.progress(f"fetching {label}", "MB") as update:
        return fetch(
            places,
            destination,
            sha256=file.sha256 or first,
            size=file.size,
            hint=hint,
            progress=lambda done, total: update(round(done / 1e6), None if total is None else round(total / 1e6)),
        )


def without_network(spec: DatasetSpec) -> str:
    """The hint for a dataset that cannot be fetched: a mirror, or a simulated dataset in its place."""
    mirror = "if you have its file, name the folder: SEQRL_MIRRORS=FOLDER"
    if spec.stand_in is None:
        return f"{mirror}; sim/hopper-medium is simulated here without a network, but is another task"
    body = "the same kind of robot in another simulator" if spec.extra == "bullet" else "the same robot"
    return f"{mirror}; without a network, {spec.stand_in} is simulated here: {body}, but not the same data"
