"""PyTorch's tensors in pickles, as views of stored bytes; PyTorch itself is not needed.

As in :mod:`~seqrl_cli.files.safe_pickle.vocabulary`, nothing that is named here is imported or called.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.files.safe_pickle.vocabulary import ARRAYS, Vocabulary, as_bytes, is_count, is_shape, require

# NumPy's codes of the numbers in each type of storage; it has none for bfloat16, the upper half of a float32.
STORAGES = {
    "torch.FloatStorage": "f4",
    "torch.DoubleStorage": "f8",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "b1",
}


@dataclass(frozen=True, eq=False, slots=True)
class PlainStorage:
    """A reference to numbers that are stored elsewhere in the file.

    Attributes:
        key: the name of the storage in the file.
        code: NumPy's code of its numbers, or ``bfloat16``.
        numel: number of its numbers.
        contents: bytes of all storages by key, which the reader of the file fills in.
    """

    key: str
    code: str
    numel: int
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def itemsize(self) -> int:
        """Bytes per number."""
        return 2 if self.code == "bfloat16" else np.dtype(self.code).itemsize

    def data(self) -> bytes:
        """The bytes of the storage; raises ValueError if it is missing, or has another length than it states."""
        data = self.contents.get(self.key)
        if data is None:
            raise ValueError(f"storage {self.key} is missing")
        if len(data) != self.numel * self.itemsize:
            raise ValueError(f"storage {self.key} has {len(data):,} bytes, not {self.numel:,} numbers")
        return data


@dataclass(frozen=True, eq=False, slots=True)
class EmbeddedStorage:
    """A storage that ``pickle`` itself has saved: a whole file of ``torch.save`` as bytes."""

    content: bytes


@dataclass(frozen=True, eq=False, slots=True)
class PlainTensor:
    """A view of a storage."""

    storage: PlainStorage | EmbeddedStorage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def to_numpy(self, storage: PlainStorage) -> NDArray[Any]:
        """The numbers; raises ValueError if the storage does not contain them.

        Args:
            storage: the tensor's own storage, read if it was embedded.
        """
        require_inside(storage, self.offset, self.size, self.stride)
        data = storage.data()
        if not data or 0 in self.size:
            return np.empty(self.size, np.float32)
        numbers: NDArray[Any]
        if storage.code == "bfloat16":
            numbers = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            numbers = np.frombuffer(data, f"<{storage.code}")
        steps = tuple(step * numbers.itemsize for step in self.stride)
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.size, steps).copy()


def require_inside(storage: PlainStorage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
    """Refuse a view that ends behind its storage.

    Raises:
        ValueError: it does.
    """
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    require(0 in size or last < storage.numel)


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> PlainTensor:
    require(isinstance(storage, PlainStorage))
    view = _view(storage, offset, size, stride, requires_grad, hooks, metadata)
    # Refuses views with a stride of 0, by which a few bytes could claim to be terabytes.
    require(math.prod(view.size) <= storage.numel)
    require_inside(storage, offset, size, stride)
    return view


def _view(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> PlainTensor:
    """A view that whoever looks at it must check, its size above all."""
    require(isinstance(storage, PlainStorage | EmbeddedStorage))
    require(is_count(offset) and is_shape(size) and is_shape(stride))
    require(len(size) == len(stride) and not hooks and not metadata)
    return PlainTensor(storage, offset, size, stride)


def _parameter(tensor: Any, requires_grad: Any, hooks: Any) -> PlainTensor:
    require(isinstance(tensor, PlainTensor) and not hooks)
    assert isinstance(tensor, PlainTensor)
    return tensor


def _embedded(content: Any) -> EmbeddedStorage:
    return EmbeddedStorage(bytes(as_bytes(content)))


TENSOR_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}

# Recordings by pickle or by torch.save; the storages that pickle embeds, which contain nothing else.
RECORDINGS = Vocabulary(
    {
        **ARRAYS.calls,
        **TENSOR_CALLS,
        "torch._utils._rebuild_tensor_v2": _view,
        "torch.storage._load_from_bytes": _embedded,
    },
    mentioned=frozenset({*ARRAYS.mentioned, *STORAGES}),
    is_open=True,
)
STORAGE_ONLY = Vocabulary({}, mentioned=frozenset(STORAGES))
