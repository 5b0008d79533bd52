"""Adapters: small trainable parts of a frozen model, one or a pool of them, chosen per batch or per sample.

In reading order:

- ``specs``: what an adapter is; ``targets``: where in a model it is put.
- ``selection``: which member of a pool adapts which sample; ``keyed_pool``: a choice by keys.
- ``linear``: a linear layer with adapters: ``low_rank`` (LoRA), ``scaling`` (IA3) and ``bottleneck`` (Houlsby).
- ``prefixes``: prompts and prefixes.
- ``adapter_set``: the adapters of a model.
- ``row_adapters``: adapters in a decoder.
- ``partial``: fine-tuning of some of a model's own parameters.
"""

from seqrl_cli.models.adapters.adapter_set import AdapterSet, attach
from seqrl_cli.models.adapters.keyed_pool import KeyedPool
from seqrl_cli.models.adapters.partial import GROUPS, train_only
from seqrl_cli.models.adapters.share import Share
from seqrl_cli.models.adapters.specs import (
    HoulsbySpec,
    IA3Spec,
    LoRASpec,
    PrefixSpec,
    PromptSpec,
    Spec,
    spec_from,
    spec_settings,
)

__all__ = [
    "GROUPS",
    "AdapterSet",
    "HoulsbySpec",
    "IA3Spec",
    "KeyedPool",
    "LoRASpec",
    "PrefixSpec",
    "PromptSpec",
    "Share",
    "Spec",
    "attach",
    "spec_from",
    "spec_settings",
    "train_only",
]
