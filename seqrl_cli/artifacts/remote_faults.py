"""What goes wrong with a URL, as sentences; and which of it may pass by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.regular import NotRegularError, TooLargeError

PULL_HINT = "do not pull from there"
_NO_RIGHTS = {"NoCredentialsError", "ClientAuthenticationError", "DefaultCredentialsError"}
"""Errors of the stores' packages that are no :class:`PermissionError`: of S3, Azure and Google."""


class UnreachableError(SeqrlError):
    """A store did not answer, or broke off; the same may succeed a moment later."""


@contextmanager
def reached(shown: str) -> Iterator[None]:
    """Turn whatever a store's package raises in the block into a sentence.

    Args:
        shown: the URL, without a password.

    Raises:
        UnreachableError: this may pass.
        SeqrlError: this will not pass by itself: rights, a place that is not there, files that are none of ours.
    """
    try:
        yield
    except (SeqrlError, ImportError, ValueError):
        raise
    except (NotRegularError, TooLargeError) as error:
        message = f"{shown} holds what no push writes: {error.filename}: {error.strerror}"
        raise SeqrlError(message, PULL_HINT) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"{shown} has no such place: {_reason(error)}"
        raise SeqrlError(message, "check the URL; the bucket or container must exist") from error
    except Exception as error:
        if isinstance(error, PermissionError) or type(error).__name__ in _NO_RIGHTS:
            message = f"{shown} does not let this machine read or write: {_reason(error)}"
            raise SeqrlError(message, "check the credentials, or ask the owner for rights") from error
        message = f"{shown} cannot be reached: {type(error).__name__}: {_reason(error)}"
        raise UnreachableError(message, "check the URL and the network; the same command goes on") from error


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
