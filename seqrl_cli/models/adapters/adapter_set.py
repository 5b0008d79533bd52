"""Adapters of a model: made, chosen, saved, merged and removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.adapters.linear import AdaptedLinear, Adapter, Current
from seqrl_cli.models.adapters.low_rank import LowRank
from seqrl_cli.models.adapters.selection import selection
from seqrl_cli.models.adapters.specs import Spec
from seqrl_cli.models.adapters.targets import Site, find_sites


@dataclass(frozen=True)
class Share:
    """How much of a model one member trains.

    Attributes:
        trainable: numbers of one member.
        total: numbers of the model, and of one member.
    """

    trainable: int
    total: int

    @property
    def fraction(self) -> float:
        """Trainable numbers per number."""
        return self.trainable / self.total


class AdapterSet:
    """The adapters of a frozen model: a pool of members, each with one adapter per place.

    Until :meth:`select` is called, no member is in use and the model is the base model, bit for bit.

    Args:
        model: adapted in place.
        spec: of every member.
        pool: number of members.
    """

    def __init__(self, model: nn.Module, spec: Spec, pool: int) -> None:
        self.model = model
        self.spec = spec
        self.pool = pool
        self.current = Current()
        self.base_size = sum(parameter.numel() for parameter in model.parameters())
        self.layers: dict[str, AdaptedLinear] = {}
        sites = find_sites(model, spec.targets)
        made = [_make(spec, _linear(model, site), site, pool) for site in sites]  # fails before the model changes
        model.requires_grad_(False)
        for site, adapter in zip(sites, made, strict=True):
            if site.layer not in self.layers:
                layer = _linear(model, site)
                self.layers[site.layer] = AdaptedLinear(layer, self.current, pool)
                _put(model, site.layer, self.layers[site.layer])
                adapter.to(layer.weight.device, layer.weight.dtype)
            self.layers[site.layer].adapters[site.target.rpartition(".")[2]] = adapter

    def reset(self, member: int, generator: torch.Generator | None = None) -> None:
        """Initialise a member such that it changes nothing."""
        for _, adapter in self._adapters():
            adapter.reset(member, generator)

    def select(self, choice: int | Tensor | None) -> None:
        """Choose what the model's next passes use.

        Args:
            choice: a member for the whole batch; (batch,) int64 for a member per sample, where -1 is none; or None for
                no adapter, which makes the model the base model, bit for bit.
        """
        self.current.selection = selection(choice, self.pool)

    def named_parameters(self, member: int | None = None) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters of a member, or of all, named ``member.layer.part.tensor``."""
        for number in range(self.pool) if member is None else (member,):
            for name, adapter in self._adapters():
                for tensor in adapter.tensors:
                    yield f"{number}.{name}.{tensor}", getattr(adapter, tensor)[number]

    def parameters(self, member: int | None = None) -> list[nn.Parameter]:
        """Parameters of a member, or of all."""
        return [parameter for _, parameter in self.named_parameters(member)]

    def share(self) -> Share:
        """How much of the model one member trains."""
        trainable = sum(parameter.numel() for parameter in self.parameters(0))
        return Share(trainable, self.base_size + trainable)

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors of all members by the names of :meth:`named_parameters`; nothing of the base model."""
        return {name: parameter.detach() for name, parameter in self.named_parameters()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Overwrite all members.

        Raises:
            SeqrlError: the tensors belong to other adapters.
        """
        own = dict(self.named_parameters())
        if own.keys() != state.keys():
            odd = min(own.keys() ^ state.keys())
            where = "lack" if odd in own else "hold an unexpected"
            raise SeqrlError(f"the adapter's weights {where} {odd}", "use the adapter with its own settings and base")
        for name, parameter in own.items():
            if parameter.shape != state[name].shape:
                sizes = f"{tuple(state[name].shape)}, not {tuple(parameter.shape)}"
                message = f"the adapter's weight {name} has the shape {sizes}"
                raise SeqrlError(message, "use the adapter with its own settings and base")
            parameter.copy_(state[name])

    @torch.no_grad()
    def copy_member(self, source: int, to: int) -> None:
        """Make a member equal to another."""
        for one, other in zip(self.parameters(source), self.parameters(to), strict=True):
            other.copy_(one)

    @torch.no_grad()
    def merge(self, member: int) -> None:
        """Put a member into the model's own weights, and remove all adapters."""
        for layer in self.layers.values():
            weight, bias = layer.merged(member)
            layer.weight.copy_(weight)
            if bias is not None:
                layer.bias.copy_(bias)
        self.detach()

    def detach(self) -> None:
        """Remove all adapters; the model is the base model, still frozen."""
        self.select(None)
        for name, layer in self.layers.items():
            _put(self.model, name, layer.plain())

    def _adapters(self) -> Iterator[tuple[str, Adapter]]:
        for name, layer in self.layers.items():
            for target, adapter in layer.named_adapters().items():
                yield f"{name}.{target}", adapter


def attach(model: nn.Module, spec: Spec, pool: int = 1, generator: torch.Generator | None = None) -> AdapterSet:
    """Freeze a model and put adapters at the places that a spec names.

    Args:
        model: adapted in place; none of its parameters needs gradients afterwards.
        spec: of every member.
        pool: number of members.
        generator: source of the initial weights, member by member; the global one when None.

    Raises:
        SeqrlError: a target matches nothing, the rank is larger than a layer, or the pool is empty.
    """
    if pool < 1:
        raise SeqrlError(f"a pool of {pool} adapters is empty", "choose a pool of 1 or more")
    adapters = AdapterSet(model, spec, pool)
    for member in range(pool):
        adapters.reset(member, generator)
    return adapters


def _make(spec: Spec, layer: nn.Linear, site: Site, pool: int) -> LowRank:
    """The adapters of all members at one place."""
    on_outputs = site.target == "feed-forward-output"
    inputs = layer.out_features if on_outputs else layer.in_features
    largest = min(inputs, site.span[1] - site.span[0])
    if spec.rank > largest:
        message = f"an adapter of rank {spec.rank} is larger than {site.layer}, whose rank is at most {largest}"
        raise SeqrlError(message, f"choose a rank of {largest} or less")
    scale = spec.alpha / spec.rank
    return LowRank(inputs, site.span, layer.out_features, spec.rank, scale, spec.dropout, pool, on_outputs)


def _linear(model: nn.Module, site: Site) -> nn.Linear:
    layer = model.get_submodule(site.layer)
    assert isinstance(layer, nn.Linear)
    return layer


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Replace a module by its dotted name."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
