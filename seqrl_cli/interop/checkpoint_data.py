"""What the pickles of other projects' checkpoints may name besides NumPy arrays: tensors and the projects' classes.

As in :mod:`~seqrl_cli.data.safe_pickle.vocabulary`, nothing that is named here is imported or called.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from seqrl_cli.data.safe_pickle.vocabulary import ARRAY_CALLS, Vocabulary, is_count, is_shape, require

STORAGE_DTYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}

# Classes whose instances are read as a name and a dictionary.
PLAIN_CLASSES = {
    "trajectory.utils.config.Config",
    "trajectory.utils.discretization.KBinsDiscretizer",
    "trajectory.utils.discretization.QuantileDiscretizer",
    "torchscale.architecture.config.RetNetConfig",
}

# Classes that configurations mention; they have no instances in a pickle.
MENTIONED_CLASSES = {
    "numpy.ndarray",
    "trajectory.datasets.sequence.DiscretizedDataset",
    "trajectory.datasets.sequence.SequenceDataset",
    "trajectory.models.transformers.GPT",
    "torchscale.architecture.retnet.RetNetDecoder",
    *STORAGE_DTYPES,
}


@dataclass(frozen=True, eq=False)
class PlainStorage:
    """A reference to numbers that are stored elsewhere in the file."""

    key: str
    dtype: torch.dtype
    numel: int


@dataclass(frozen=True, eq=False)
class PlainTensor:
    """A view of a storage."""

    storage: PlainStorage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> PlainTensor:
    require(isinstance(storage, PlainStorage) and is_count(offset) and is_shape(size) and is_shape(stride))
    require(len(size) == len(stride) and not hooks and not metadata)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    # Also refuses views with a stride of 0, by which a few bytes could claim to be terabytes.
    require(math.prod(size) <= storage.numel and (0 in size or last < storage.numel))
    return PlainTensor(storage, offset, size, stride)


def _parameter(tensor: Any, requires_grad: Any, hooks: Any) -> PlainTensor:
    require(isinstance(tensor, PlainTensor) and not hooks)
    return tensor


CHECKPOINTS = Vocabulary(
    calls={
        **ARRAY_CALLS,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": _parameter,
    },
    classes=PLAIN_CLASSES,
    mentioned=MENTIONED_CLASSES,
)
