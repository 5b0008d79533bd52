"""Adapters: small trainable parts of a frozen model, one or a pool of them, chosen per batch or per sample."""

from seqrl_cli.models.adapters.adapter_set import AdapterSet, attach
from seqrl_cli.models.adapters.specs import LoRASpec, Spec

__all__ = ["AdapterSet", "LoRASpec", "Spec", "attach"]
