"""The adapters at a linear layer that a spec describes."""

from __future__ import annotations

from torch import nn

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.adapters.bottleneck import Bottleneck
from seqrl_cli.models.adapters.low_rank import LowRank
from seqrl_cli.models.adapters.scaling import Scaling
from seqrl_cli.models.adapters.specs import HoulsbySpec, IA3Spec, LinearSpec, LoRASpec
from seqrl_cli.models.adapters.targets import Site


def make_adapter(spec: LinearSpec, layer: nn.Linear, site: Site, pool: int) -> LowRank | Scaling | Bottleneck:
    """The adapters of all members of a pool at one linear layer, not yet initialized.

    Args:
        spec: kind and size of the adapters.
        layer: the linear layer.
        site: place of the layer in the model, and the span of its outputs that the adapters concern.
        pool: number of members.

    Raises:
        SeqrlError: the place is too small.
    """
    if isinstance(spec, LoRASpec):
        return _low_rank(spec, layer, site, pool)
    if isinstance(spec, IA3Spec):
        on_inputs = site.target == "activations"
        span = (0, layer.in_features) if on_inputs else site.span
        return Scaling(span, layer.in_features if on_inputs else layer.out_features, pool, on_inputs)
    return _bottleneck(spec, layer, site, pool)


def _low_rank(spec: LoRASpec, layer: nn.Linear, site: Site, pool: int) -> LowRank:
    on_outputs = site.target == "feed-forward-output"
    inputs = layer.out_features if on_outputs else layer.in_features
    largest = min(inputs, site.span[1] - site.span[0])
    if spec.rank > largest:
        message = f"an adapter of rank {spec.rank} is larger than {site.layer}, whose rank is at most {largest}"
        raise SeqrlError(message, f"choose a rank of {largest} or less")
    scale = spec.alpha / spec.rank
    return LowRank(inputs, site.span, layer.out_features, spec.rank, scale, spec.dropout, pool, on_outputs)


def _bottleneck(spec: HoulsbySpec, layer: nn.Linear, site: Site, pool: int) -> Bottleneck:
    inner = layer.out_features // spec.reduction
    if inner < 1:
        message = f"a bottleneck of 1/{spec.reduction} of the {layer.out_features} outputs of {site.layer} is empty"
        raise SeqrlError(message, f"choose a reduction of {layer.out_features} or less")
    return Bottleneck(layer.out_features, inner, pool)
