"""What the pickles of other projects' checkpoints may name besides NumPy arrays: tensors and the projects' classes.

As in :mod:`~seqrl_cli.files.safe_pickle.vocabulary`, nothing that is named here is imported or called.
"""

from __future__ import annotations

import torch

from seqrl_cli.files.safe_pickle.tensors import STORAGES, TENSOR_CALLS
from seqrl_cli.files.safe_pickle.vocabulary import ARRAY_CALLS, Vocabulary

# By NumPy's codes.
STORAGE_DTYPES = {
    "f4": torch.float32,
    "f8": torch.float64,
    "f2": torch.float16,
    "bfloat16": torch.bfloat16,
    "i8": torch.int64,
    "i4": torch.int32,
    "i2": torch.int16,
    "i1": torch.int8,
    "u1": torch.uint8,
    "b1": torch.bool,
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
    *STORAGES,
}


CHECKPOINTS = Vocabulary(
    calls={
        **ARRAY_CALLS,
        **TENSOR_CALLS,
    },
    classes=PLAIN_CLASSES,
    mentioned=MENTIONED_CLASSES,
)
