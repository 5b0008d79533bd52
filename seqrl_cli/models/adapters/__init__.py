"""Adapters: small trainable parts of a frozen model, one or a pool of them, chosen per batch or per sample.

In reading order:

- ``specs``: what an adapter is; ``targets``: where in a model it is put.
- ``selection``: which member of a pool adapts which sample.
- ``linear``: a linear layer with adapters: ``low_rank`` (LoRA), ``scaling`` (IA3) and ``bottleneck`` (Houlsby).
- ``prefixes``: prompts and prefixes.
- ``adapter_set``: the adapters of a model.
- ``row_adapters``: adapters in a decoder.
"""

from seqrl_cli.models.adapters.adapter_set import AdapterSet, attach
from seqrl_cli.models.adapters.specs import HoulsbySpec, IA3Spec, LoRASpec, PrefixSpec, PromptSpec, Spec

__all__ = ["AdapterSet", "HoulsbySpec", "IA3Spec", "LoRASpec", "PrefixSpec", "PromptSpec", "Spec", "attach"]
