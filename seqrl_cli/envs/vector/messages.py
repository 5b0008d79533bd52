"""Messages between a program and the process that plays its environments: a kind, a length, and plain bytes."""

from __future__ import annotations

import json
import struct
import traceback
from typing import IO

import numpy as np

from seqrl_cli.data.spaces import UnsupportedSpacesError
from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.errors import RemoteTracebackError, SeqrlError

START, STEP = b"b", b"s"  # requests
DONE, FAILED = b"d", b"f"  # answers

_ERRORS = {kind.__name__: kind for kind in (EnvironmentFailedError, UnsupportedSpacesError)}
_HEADER = struct.Struct("<cI")
_START = struct.Struct("<qQ")


def send(stream: IO[bytes], kind: bytes, body: bytes) -> None:
    """Write a message.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    stream.write(_HEADER.pack(kind, len(body)) + body)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[bytes, bytes]:
    """Wait for a message and return its kind and its body.

    Raises:
        EOFError: the other end is gone.
    """
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise EOFError
    kind, size = _HEADER.unpack(header)
    body = stream.read(size)
    if len(body) < size:
        raise EOFError
    return kind, body


def pack_start(index: int, seed: int) -> bytes:
    """The body of START."""
    return _START.pack(index, seed)


def unpack_start(body: bytes) -> tuple[int, int]:
    """Slot and seed."""
    index, seed = _START.unpack(body)
    return index, seed


def pack_step(actions: np.ndarray, chosen: np.ndarray) -> bytes:
    """The body of STEP; actions keep their type, because it affects what environments compute."""
    return actions.dtype.char.encode() + chosen.tobytes() + actions.tobytes()


def unpack_step(body: bytes, num_envs: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Actions ``(E, *shape)``, which the environments may change, and ``(E,)`` bool."""
    chosen = np.frombuffer(body, np.bool_, num_envs, offset=1)
    actions = np.frombuffer(body, body[:1].decode(), offset=1 + num_envs)
    return actions.reshape(num_envs, *shape).copy(), chosen


def pack_failure(error: SeqrlError) -> bytes:
    """The body of FAILED."""
    trace = "".join(traceback.format_exception(error))
    return json.dumps([type(error).__name__, error.message, error.hint, trace]).encode()


def unpack_failure(body: bytes) -> SeqrlError:
    """The same error, caused by one that shows where it arose."""
    name, message, hint, trace = json.loads(body)
    error = _ERRORS.get(name, SeqrlError)(message, hint)
    error.__cause__ = RemoteTracebackError(trace)
    return error
