"""Copies of folders below a URL: files by their hashes, and a manifest that names them.

::

    URL/sim/hopper-medium/gpt-s42/.seqrl/objects/<sha256>   contents, which never change
    URL/sim/hopper-medium/gpt-s42/.seqrl/manifest.json      the files of the run, written last

A push that is cut anywhere leaves the manifest before it, and all files that this names. Pushes to one folder from two
machines are kept apart: a manifest is replaced only if it is the one that this machine has seen last. S3 and Azure
check that themselves, as part of the write.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from seqrl_cli.artifacts.remote_faults import PULL_HINT, reached
from seqrl_cli.config.extras import install_line
from seqrl_cli.console import shown_url
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.json_text import parse_json
from seqrl_cli.files.regular import MAX_TEXT_BYTES, open_regular, read_bytes
from seqrl_cli.runs.layout import stays_below
from seqrl_cli.runs.record import host, now

SCHEMA_VERSION = 1
_FOLDER = ".seqrl"
_MANIFEST = f"{_FOLDER}/manifest.json"
_BLOCK = 8 * 2**20
_MAX_FILES = 1_000_000
_MAX_LEVELS = 20  # of folders that a run has, and more
_SHOWN = 120  # characters of a name
_CONFLICTS = ("PreconditionFailed", "ConditionNotMet", "ResourceExistsError", "ResourceModified")


class FencedError(SeqrlError):
    """Another machine has pushed to the same place since this one looked."""


@dataclass(frozen=True)
class Stored:
    """A file in a manifest."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The files of a folder.

    Attributes:
        files: the files by relative path with slashes.
        written: time of writing, ISO 8601.
        host: name of the machine that wrote it.
        before: hashes that only the manifest before this one names; pulls that began with it may still need them.
        tag: the store's tag of this version of the manifest; empty for one that was not read from it.
    """

    files: Mapping[str, Stored]
    written: str
    host: str
    before: tuple[str, ...] = ()
    tag: str = ""

    @property
    def hashes(self) -> set[str]:
        """Hashes of all files."""
        return {file.sha256 for file in self.files.values()}


class Remote:
    """A URL, through fsspec.

    Args:
        url: the URL, such as ``s3://bucket/path``.

    Raises:
        UsageError: fsspec does not know its kind.
        SeqrlError: the packages for it are not installed, or it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.shown = shown_url(url)
        try:
            import fsspec
        except ImportError as error:
            raise SeqrlError("fsspec is not installed", install_line("cloud")) from error
        try:
            with self._reached():
                self._fs, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise SeqrlError(f"{self.shown} needs a package: {error}", install_line("cloud")) from error
        except ValueError as error:
            raise UsageError(
                f"{self.shown} is not a URL that fsspec reads: {error}", "s3://, abfs://, gs://, file://"
            ) from error
        self._root = root.rstrip("/")
        if "://" in url and not url.partition("://")[2].strip("/"):
            raise UsageError(f"{self.shown} names no place", "for example file:///home/me/runs")
        self._protocol = self._fs.protocol if isinstance(self._fs.protocol, str) else self._fs.protocol[0]
        if self._protocol == "memory":
            raise UsageError(f"{self.shown} is forgotten once the command ends", "for example file:///home/me/runs")

    def folders(self) -> list[str]:
        """Names of all folders that were pushed."""
        with self._reached():
            self._fs.invalidate_cache()
            paths = self._fs.find(self._root) if self._fs.exists(self._root) else []
        below = [path[len(self._root) :].lstrip("/") for path in paths if path.endswith(f"/{_MANIFEST}")]
        return sorted(path.removesuffix(f"/{_MANIFEST}") for path in below)

    def manifest(self, name: str) -> Manifest | None:
        """A folder's manifest; None if it was never pushed.

        Raises:
            SeqrlError: it is damaged, hostile or of a newer schema, or cannot be read.
        """
        path = self._path(name, _MANIFEST)
        with self._reached():
            self._fs.invalidate_cache()
            try:
                tag = self._tag(path)
                content = self._read_text(path, f"{self.shown}/{name}")
            except FileNotFoundError:
                return None
        return parse_manifest(content, f"{self.shown}/{name}", tag)

    def replace_manifest(self, name: str, files: Mapping[str, Stored], seen: Manifest | None) -> Manifest:
        """Write a folder's manifest, whose files are all there.

        Args:
            name: name of the folder.
            files: the files by path.
            seen: the manifest that this machine saw last; None if there was none.

        Raises:
            FencedError: there is another one by now.
        """
        newest = self.manifest(name)
        if (newest.tag if newest else None) != (seen.tag if seen else None):
            raise _fenced(self.shown, name, newest)
        before = sorted(seen.hashes - {one.sha256 for one in files.values()}) if seen else []
        values = {
            "schema_version": SCHEMA_VERSION,
            "written": now(),
            "host": host(),
            "before": before,
            "files": {path: {"sha256": one.sha256, "size": one.size} for path, one in sorted(files.items())},
        }
        self._write_if(self._path(name, _MANIFEST), json.dumps(values, indent=1).encode(), seen, name)
        found = self.manifest(name)
        if found is None or found.written != values["written"]:
            raise _fenced(self.shown, name, found)
        return found

    def sizes(self, name: str) -> dict[str, int]:
        """Sizes of a folder's contents, by hash."""
        folder = self._path(name, f"{_FOLDER}/objects")
        with self._reached():
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(folder, detail=True)
            except FileNotFoundError:
                return {}
        return {one["name"].rstrip("/").rpartition("/")[2]: int(one["size"] or 0) for one in found}

    def put(self, name: str, digest: str, source: Path | bytes) -> None:
        """Write contents under their hash."""
        path = self._path(name, f"{_FOLDER}/objects/{digest}")
        with self._reached():
            self._make_folder_of(path)
            if isinstance(source, bytes):
                self._fs.pipe_file(path, source)
            else:
                self._fs.put_file(str(source), path)

    def get(self, name: str, stored: Stored) -> Iterator[bytes]:
        """Read contents by their hash, block by block, and no more than their size.

        Raises:
            SeqrlError: they are missing, or are not what hash and size say.
        """
        path = self._path(name, f"{_FOLDER}/objects/{stored.sha256}")
        found, size = hashlib.sha256(), 0
        what, hint = (
            f"{self.shown}/{name}: the contents {stored.sha256[:12]}…",
            "push the run again from where it is whole",
        )
        with self._reached(), self._opened(path, f"{what} are missing", hint) as file:
            while size <= stored.size and (block := file.read(_BLOCK)):
                found.update(block)
                size += len(block)
                yield block
        if found.hexdigest() != stored.sha256 or size != stored.size:
            raise SeqrlError(f"{what} are damaged", hint)

    def remove(self, name: str, digests: set[str]) -> None:
        """Remove contents that no manifest names any more."""
        with self._reached():
            for digest in digests:
                self._fs.rm_file(self._path(name, f"{_FOLDER}/objects/{digest}"))

    def _read_text(self, path: str, where: str) -> bytes:
        """A manifest, unless it is longer than any."""
        if self._is_local:
            content = read_bytes(Path(path), MAX_TEXT_BYTES)
        elif int(self._fs.info(path).get("size") or 0) > MAX_TEXT_BYTES:
            raise SeqrlError(f"the manifest of {where} is too large", PULL_HINT)
        else:
            content = self._fs.cat_file(path)
        return content

    @contextmanager
    def _opened(self, path: str, missing: str, hint: str) -> Iterator[BinaryIO]:
        """A file for reading bytes; on this machine never a pipe or a device."""
        try:
            file = open_regular(Path(path)) if self._is_local else self._fs.open(path, "rb")
        except FileNotFoundError as error:
            raise SeqrlError(missing, hint) from error
        with file:
            yield file

    @property
    def _is_local(self) -> bool:
        return self._protocol in ("file", "local")

    def _path(self, name: str, rest: str) -> str:
        return f"{self._root}/{name}/{rest}"

    def _make_folder_of(self, path: str) -> None:
        """Make a file's folder where there are folders; in a store of objects this would make a bucket."""
        if self._is_local:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)

    def _tag(self, path: str) -> str:
        """The store's name for a version of a file; its time where it has none."""
        facts = self._fs.info(path)
        for key in ("ETag", "etag", "generation", "mtime", "created"):
            if facts.get(key):
                return f"{facts[key]}/{facts['size']}"
        return str(facts["size"])

    def _write_if(self, path: str, content: bytes, seen: Manifest | None, name: str) -> None:
        """Write a file if it still is the version that was seen, where the store can check that."""
        tag = seen.tag.rpartition("/")[0] if seen else None
        with self._reached():
            self._make_folder_of(path)
            try:
                if self._protocol == "s3":
                    bucket, _, key = path.partition("/")
                    condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
                    self._fs.call_s3("put_object", Bucket=bucket, Key=key, Body=content, **condition)
                elif self._protocol in ("abfs", "az", "abfss"):
                    _azure_write(self._fs, path, content, tag)
                else:
                    self._fs.pipe_file(path, content)
            except Exception as error:
                if _is_conflict(error):
                    raise _fenced(self.shown, name, self.manifest(name)) from error
                raise

    def _reached(self) -> AbstractContextManager[None]:
        return reached(self.shown)


def parse_manifest(content: bytes, where: str, tag: str = "") -> Manifest:
    """Check a manifest, which someone else may have written.

    Raises:
        SeqrlError: it is damaged or of a newer schema, or names a file outside of its folder.
    """
    try:
        values = parse_json(content)
        if values["schema_version"] > SCHEMA_VERSION:
            raise SeqrlError(f"{where} was pushed by a newer seqrl", "upgrade: pip install --upgrade seqrl")
        files = {str(path): Stored(str(one["sha256"]), int(one["size"])) for path, one in values["files"].items()}
        before = tuple(str(one) for one in values["before"])
        manifest = Manifest(files, str(values["written"]), str(values["host"]), before, tag)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise SeqrlError(f"the manifest of {where} is damaged", "push the run again") from error
    _check(manifest, where)
    return manifest


def _check(manifest: Manifest, where: str) -> None:
    if len(manifest.files) > _MAX_FILES:
        raise SeqrlError(f"the manifest of {where} names {len(manifest.files):,} files, too many for a run", PULL_HINT)
    digests = [*(one.sha256 for one in manifest.files.values()), *manifest.before]
    wrong = [one for one in digests if not re.fullmatch("[0-9a-f]{64}", one)]
    folders = {folder for path in manifest.files for folder in _folders_above(path)}
    paths = [path for path in manifest.files if not is_plain(path) or path in folders]
    if wrong or paths or any(one.size < 0 for one in manifest.files.values()):
        what = repr((paths or wrong or ["a negative size"])[0][:_SHOWN])
        raise SeqrlError(f"the manifest of {where} names {what}, which no run has", PULL_HINT)


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, min(len(parts), _MAX_LEVELS))]


def is_plain(path: str) -> bool:
    """Whether a relative path leads nowhere but down, and to nothing hidden."""
    return stays_below(path) and "\\" not in path and not any(part.startswith(".") for part in path.split("/"))


def _azure_write(fs: Any, path: str, content: bytes, tag: str | None) -> None:
    """Write a blob on the condition that it has this etag, or does not exist."""
    from azure.core import MatchConditions
    from fsspec.asyn import sync

    container, blob, _ = fs.split_path(path)
    client = fs.service_client.get_blob_client(container, blob)
    if tag is None:
        sync(fs.loop, client.upload_blob, content, overwrite=False)
        return
    condition = MatchConditions.IfNotModified
    sync(fs.loop, client.upload_blob, content, overwrite=True, etag=tag, match_condition=condition)


def _is_conflict(error: BaseException | None) -> bool:
    """Whether a store refused a write because the file is another one by now."""
    while error is not None:
        text = f"{type(error).__name__} {error}"
        if any(word in text for word in _CONFLICTS):
            return True
        error = error.__cause__
    return False


def _fenced(shown: str, name: str, newest: Manifest | None) -> FencedError:
    change = f"pushed by {newest.host} at {newest.written[:19]}," if newest else "removed"
    message = f"{shown}/{name} was {change} after this machine last read or wrote it"
    return FencedError(message, f"pull it first: seqrl runs pull {shown} {name} --force, or push to another URL")
