"""Fine-tuning of some groups of a model's own parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from torch import nn

from seqrl_cli.errors import SeqrlError, unknown
from seqrl_cli.models.adapters.share import Share

GROUPS = ("head", "last-layers", "encoders", "norms", "all")
"""Names of groups: the output layers; the last block with the norm and the heads after it; all that comes before the
first block; the norms everywhere; everything."""

_HEADS = ("head", "return_head", "state_heads")
_AFTER_BLOCKS = ("norm", *_HEADS)


def train_only(model: nn.Module, groups: Sequence[str]) -> Share:
    """Freeze a model except for some groups of its parameters.

    Args:
        model: the model; afterwards exactly the parameters in a group need gradients.
        groups: one or several of ``GROUPS``.

    Returns:
        How much of the model is trained.

    Raises:
        UsageError: there is no such group.
        SeqrlError: there are no groups, or the model has no such parameters.
    """
    if not groups:
        raise SeqrlError("without a group of parameters nothing is trained", f"name some of {', '.join(GROUPS)}")
    chosen = [parameter for group in groups for parameter in _found(model, group)]
    model.requires_grad_(False)
    for parameter in chosen:
        parameter.requires_grad_(True)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return Share(trainable, sum(parameter.numel() for parameter in model.parameters()))


def _found(model: nn.Module, group: str) -> list[nn.Parameter]:
    """The parameters of a group; raises UsageError for an unknown one, SeqrlError if there are none."""
    if group not in GROUPS:
        raise unknown("group of parameters", group, GROUPS)
    found = list(_parameters(model, group))
    if not found:
        message = f"a {type(model).__name__} has no parameters in the group {group!r}"
        raise SeqrlError(message, "choose another group, or all")
    return found


def _parameters(model: nn.Module, group: str) -> Iterator[nn.Parameter]:
    blocks = getattr(model, "blocks", None)
    if group == "all":
        return model.parameters()
    if group == "norms":
        norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm | nn.RMSNorm)]
        return chain.from_iterable(norm.parameters() for norm in norms)
    if group == "head":
        return _of(model, _HEADS)
    if not isinstance(blocks, nn.ModuleList):
        return iter(())
    if group == "last-layers":
        return chain(blocks[-1].parameters(), _of(model, _AFTER_BLOCKS))
    own = (parameter for name, parameter in model.named_parameters(recurse=False))
    return chain(
        own, _of(model, [name for name, _ in model.named_children() if name not in ("blocks", *_AFTER_BLOCKS)])
    )


def _of(model: nn.Module, names: Sequence[str]) -> Iterator[nn.Parameter]:
    """Parameters of direct sub-modules."""
    return chain.from_iterable(module.parameters() for name, module in model.named_children() if name in names)
