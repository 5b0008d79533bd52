"""The places in a model that an adapter's targets name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from seqrl_cli.errors import SeqrlError, nearest
from seqrl_cli.models.adapters.specs import IA3Spec, LoRASpec, Spec
from seqrl_cli.models.parts import PARTS, Part


@dataclass(frozen=True)
class Site:
    """Some outputs of a linear layer.

    Attributes:
        layer: dotted name of the layer in the model.
        target: the part of a block, or the layer's name, as the user wrote it.
        span: first and last (exclusive) output.
    """

    layer: str
    target: str
    span: tuple[int, int]


def suited(spec: Spec, model: nn.Module) -> Spec:
    """The spec itself, or with the model's own usual targets where the spec has the usual ones of blocks.

    A model without blocks says in ``usual_targets`` which of its layers are adapted unless the user names some.
    """
    own = getattr(model, "usual_targets", None)
    if own and isinstance(spec, LoRASpec | IA3Spec) and spec.targets == type(spec)().targets:
        return replace(spec, targets=own)
    return spec


def find_sites(model: nn.Module, targets: Sequence[str]) -> list[Site]:
    """The linear layers that targets name, in the order of the model's modules.

    A target is a part of a block, or the name of a linear layer, with or without the modules around it.

    Raises:
        SeqrlError: nothing matches one of the targets, or there are none.
    """
    if not targets:
        raise SeqrlError("an adapter without targets adapts nothing", "name some, such as query, value, feed-forward")
    found = [site for name, module in model.named_modules() for site in _sites_at(name, module, targets)]
    matched = {site.target for site in found}
    for target in targets:
        if target not in matched:
            raise _no_match(model, target)
    return found


def _sites_at(name: str, module: nn.Module, targets: Sequence[str]) -> list[Site]:
    """Sites in a block, or at a linear layer."""
    if isinstance(module, nn.Linear):
        wanted = [target for target in targets if target not in PARTS and f".{name}".endswith(f".{target}")]
        return [Site(name, target, (0, module.out_features)) for target in wanted]
    parts = _parts_of(module)
    sites = []
    for target in targets:
        if target in parts:
            layer = getattr(module, parts[target].layer)
            span = parts[target].span or (0, layer.out_features)
            sites.append(Site(f"{name}.{parts[target].layer}", target, span))
    return sites


def _parts_of(module: nn.Module) -> dict[str, Part]:
    parts = getattr(module, "parts", None)
    return parts if isinstance(parts, dict) else {}


def _no_match(model: nn.Module, target: str) -> SeqrlError:
    names = {part for module in model.modules() for part in _parts_of(module)}
    layers = {_short(name) for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    close = nearest(target, [*names, *layers])
    hint = f"did you mean {close!r}?" if close else "choose from: " + ", ".join(sorted(names | layers))
    return SeqrlError(f"no layer of this model is called {target!r}", hint)


def _short(name: str) -> str:
    """The last part of a layer's name, unless that is only a number."""
    last = name.rpartition(".")[2]
    return name if last.isdigit() else last
