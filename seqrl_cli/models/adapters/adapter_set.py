"""Adapters of a model: made, chosen, saved, merged and removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.adapters.linear import AdaptedLinear, Pool
from seqrl_cli.models.adapters.make import make_adapter
from seqrl_cli.models.adapters.prefixes import PrefixPool
from seqrl_cli.models.adapters.selection import Current, selection
from seqrl_cli.models.adapters.share import Share
from seqrl_cli.models.adapters.specs import LinearSpec, PrefixSpec, PromptSpec, Spec, TokenSpec
from seqrl_cli.models.adapters.targets import Site, find_sites, suited
from seqrl_cli.models.block import Block
from seqrl_cli.models.decoding.episode_adapters import PREFIXES


class AdapterSet:
    """The adapters of a frozen model: a pool of members, each with one adapter per place.

    Until :meth:`select` is called, no member is in use and the model is the base model, bit for bit.

    Args:
        model: the model, which is adapted in place.
        spec: the spec of every member.
        pool: number of members.
    """

    def __init__(self, model: nn.Module, spec: Spec, pool: int) -> None:
        self.model = model
        self.spec = spec
        self.pool = pool
        self.current = Current()
        self.base_size = sum(parameter.numel() for parameter in model.parameters())
        self.layers: dict[str, AdaptedLinear] = {}
        self.prefixes: PrefixPool | None = None
        if isinstance(spec, PromptSpec | PrefixSpec):
            self._attach_prefixes(spec)
        else:
            self._attach_layers(spec)

    def _attach_layers(self, spec: LinearSpec) -> None:
        """Put adapters around linear layers."""
        found = [(site, _linear(self.model, site)) for site in find_sites(self.model, spec.targets)]
        made = [make_adapter(spec, layer, site, self.pool) for site, layer in found]  # fails before the model changes
        if outside := [site.layer for site in self._outside_blocks(found)]:
            message = f"{outside[0]} cannot have a pool of {self.pool} adapters, one per episode"
            raise SeqrlError(message, "adapt parts of blocks or the head, or use a pool of 1")
        self.model.requires_grad_(False)
        for (site, layer), adapter in zip(found, made, strict=True):
            if site.layer not in self.layers:
                self.layers[site.layer] = AdaptedLinear(layer, self.current, self.pool)
                _put(self.model, site.layer, self.layers[site.layer])
            own = self.layers[site.layer].adapters
            own[site.target.rpartition(".")[2]] = adapter.to(layer.weight.device, layer.weight.dtype)

    def _outside_blocks(self, found: Sequence[tuple[Site, nn.Linear]]) -> list[Site]:
        """Places at which a decoder cannot give each episode its own member of the pool."""
        sites = [site for site, _ in found] if self.pool > 1 else []
        return [site for site in sites if not site.layer.startswith("blocks.") and site.layer != "head"]

    def _attach_prefixes(self, spec: TokenSpec) -> None:
        """Put keys and values before those of the blocks."""
        blocks = [block for block in self.model.modules() if isinstance(block, Block)]
        self.model.requires_grad_(False)
        self.prefixes = prefixes = PrefixPool(spec, blocks, self.current, self.pool)
        weight = blocks[0].query.weight
        self.model.add_module(PREFIXES, prefixes.to(weight.device, weight.dtype))
        prefixes.install()

    def reset(self, member: int, generator: torch.Generator | None = None) -> None:
        """Initialise a member such that it changes nothing."""
        for _, adapter in self._adapters():
            adapter.reset(member, generator)

    def select(self, choice: int | Tensor | None) -> None:
        """Choose what the model's next passes use.

        Args:
            choice: a member for the whole batch; (batch,) int64 for a member per sample, where -1 is none; (batch, k)
                for prompts and prefixes of k members one after the other; or None for no adapter, which makes the
                model the base model, bit for bit.
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
        for name, parameter in own.items():
            parameter.copy_(state[name])

    @torch.no_grad()
    def copy_member(self, source: int, to: int) -> None:
        """Make a member equal to another."""
        for one, other in zip(self.parameters(source), self.parameters(to), strict=True):
            other.copy_(one)

    @torch.no_grad()
    def merge(self, member: int) -> None:
        """Put a member into the model's own weights, and remove all adapters.

        Raises:
            SeqrlError: no linear layer is equivalent to such an adapter.
        """
        if not self.spec.mergeable:
            message = f"a {self.spec.kind} adapter cannot be merged into a model's weights"
            raise SeqrlError(message, "use it unmerged, or choose lora or ia3")
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
        if self.prefixes is not None:
            self.prefixes.remove()
            delattr(self.model, PREFIXES)

    def _adapters(self) -> Iterator[tuple[str, Pool]]:
        if self.prefixes is not None:
            yield "prefixes", self.prefixes.source
        for name, layer in self.layers.items():
            for target, adapter in layer.named_adapters().items():
                yield f"{name}.{target}", adapter


def attach(model: nn.Module, spec: Spec, pool: int = 1, generator: torch.Generator | None = None) -> AdapterSet:
    """Freeze a model and put adapters at the places that a spec names.

    Args:
        model: the model, which is adapted in place; none of its parameters needs gradients afterwards.
        spec: the spec of every member.
        pool: number of members.
        generator: source of the initial weights, member by member; the global one when None.

    Raises:
        SeqrlError: a target matches nothing, the rank is larger than a layer, the pool is empty, or the model's decoder
            cannot use such adapters.
    """
    if pool < 1:
        raise SeqrlError(f"a pool of {pool} adapters is empty", "choose a pool of 1 or more")
    if not spec.mergeable and not getattr(model, "routes_adapters", False):
        message = f"a {type(model).__name__} cannot be adapted by a {spec.kind}"
        raise SeqrlError(message, "choose lora or ia3, or a dt, odt or mddt")
    adapters = AdapterSet(model, suited(spec, model), pool)
    for member in range(pool):
        adapters.reset(member, generator)
    return adapters


def base_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights and buffers of a model without those of its adapters, under the names they have without."""
    adapted = [name for name, module in model.named_modules() if isinstance(module, AdaptedLinear)]
    foreign = (*(f"{name}.adapters." for name in adapted), f"{PREFIXES}.")
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(foreign)}


def _linear(model: nn.Module, site: Site) -> nn.Linear:
    layer = model.get_submodule(site.layer)
    assert isinstance(layer, nn.Linear)
    return layer


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Replace a module by its dotted name."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
