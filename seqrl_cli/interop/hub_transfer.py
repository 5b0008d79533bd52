"""Hugging Face's hub: push a folder, and pull the files of one; only with the extra ``hub``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqrl_cli.config.extras import require_extra
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.interop.hub_folder import FILES

SCHEME = "hf://"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_STATUS = re.compile(r"\d{3} (Client|Server) Error")
_REVISION = re.compile(r"[\w./-]{1,200}", re.ASCII)


def parse_address(address: str) -> tuple[str, str | None]:
    """Repository and revision of ``hf://user/name`` or ``hf://user/name@revision``.

    Raises:
        UsageError: it is no such address.
    """
    name, _, revision = address.removeprefix(SCHEME).partition("@")
    if not _NAME.fullmatch(name) or (revision and not _REVISION.fullmatch(revision)):
        raise UsageError(f"{address!r:.200} is not the name of a repository", f"for example {SCHEME}user/hopper-odt")
    return name, revision or None


def repository_name(repository: str) -> str:
    """The name of a repository to push to, without the scheme.

    Raises:
        UsageError: it is not the name of a repository, or it names a revision: pushes go to the main one.
    """
    name, revision = parse_address(repository)
    if revision:
        raise UsageError(f"--push takes no revision, but {repository} names {revision}", f"for example {SCHEME}{name}")
    return name


def push_folder(folder: Path, repository: str, message: str) -> str:
    """Upload a folder's files as one commit to a repository of models, which is made, private, if it does not exist.

    Returns:
        Address of the repository.

    Raises:
        UsageError: it is not the name of a repository.
        SeqrlError: the extra is not installed, or the hub refuses.
    """
    name = repository_name(repository)
    api = _api()
    with _naming_failures(f"cannot push to {SCHEME}{name}"):
        api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=str(folder), commit_message=message)
    return f"{SCHEME}{name}"


def pull_folder(address: str, folder: Path) -> str:
    """Download the files that an import reads, and no others.

    Args:
        address: see :func:`parse_address`.
        folder: an empty folder to put them into.

    Returns:
        The commit that was downloaded.

    Raises:
        UsageError: it is not such an address.
        SeqrlError: the extra is not installed, there is no such repository, or the network fails.
    """
    name, revision = parse_address(address)
    api = _api()
    with _naming_failures(f"cannot fetch {SCHEME}{name}"):
        commit: str = api.model_info(name, revision=revision).sha
        api.snapshot_download(name, revision=commit, local_dir=str(folder), allow_patterns=list(FILES))
    return commit


def _api() -> Any:
    """The client, with the endpoint and the token that huggingface_hub itself finds.

    Raises:
        SeqrlError: huggingface_hub is not installed.
    """
    return require_extra("hub", "huggingface_hub", "the hub").HfApi(library_name="seqrl")


@contextmanager
def _naming_failures(what: str) -> Iterator[None]:
    """Report what the client raises as one sentence."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # the hub's errors are OSErrors, its validators' ValueErrors
        reason = getattr(error, "server_message", None) or _first_reason(error)
        hint = "`hf auth login` signs in; check the name and the network"
        raise SeqrlError(f"{what}: {reason[:300]}", hint) from error
    except Exception as error:  # the HTTP library's, which is not ours to name
        raise SeqrlError(f"{what}: {type(error).__name__}: {error}"[:400], "check the network") from error


def _first_reason(error: Exception) -> str:
    """The line of the client's message that says why; before it is the status, after it what to read."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if not _STATUS.match(line)]
    return (reasons or lines or [type(error).__name__])[0]
