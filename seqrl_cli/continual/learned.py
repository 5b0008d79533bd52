"""What a learner has learned, as tensors by name, and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from seqrl_cli.continual.action_replay import ActionStatistics
from seqrl_cli.continual.anchors import Anchor
from seqrl_cli.continual.inference import Known
from seqrl_cli.continual.learner import Learner
from seqrl_cli.continual.statistics import TaskStatistics
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.adapters.keyed_pool import KeyedPool

_HINT = "start over with --force"


def learned_tensors(learner: Learner) -> dict[str, Tensor]:
    """Everything that was learned: no weight of the backbone that the method leaves alone."""
    found: dict[str, Tensor] = {}
    if learner.adapters is None:
        found |= {f"model.{name}": one.detach() for name, one in learner.learned_parameters().items()}
    else:
        found |= {f"adapters.{name}": one for name, one in learner.adapters.state_dict().items()}
    if learner.learns_head:
        found |= {f"model.head.{name}": one for name, one in learner.model.head.state_dict().items()}
    if learner.keys is not None:
        found |= {f"keys.{name}": one for name, one in learner.keys.state_dict().items()}
    for index, known in enumerate(learner.known):
        name = f"known.{index}.{known.input}.{known.member}"
        found |= {f"{name}.{key}": one for key, one in known.statistics.tensors().items()}
    for index, anchor in enumerate(learner.anchors):
        found |= {f"anchor.{index}.{name}": one for name, one in anchor.tensors().items()}
    for index, actions in enumerate(learner.actions):
        found |= {f"actions.{index}.{name}": one for name, one in actions.tensors().items()}
    return found


def restore_learned(learner: Learner, tensors: Mapping[str, Tensor], source: object) -> None:
    """Restore what :func:`learned_tensors` returned.

    Args:
        learner: a learner of the same method, model and tasks.
        tensors: the tensors, on the CPU.
        source: name of their source, for errors.

    Raises:
        SeqrlError: they belong to another method or model.
    """
    parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    weights = ("model.", "adapters.", "keys.")
    expected = {name for name in learned_tensors(learner) if name.startswith(weights)}
    if {name for name in tensors if name.startswith(weights)} != expected:
        raise SeqrlError(f"{source} was written by another method than {learner.method.name}", _HINT)
    _restore_model(learner, parts["model"], source)
    if learner.adapters is not None:
        learner.adapters.load_state_dict(parts["adapters"])
    if learner.keys is not None:
        _restore_keys(learner.keys, parts["keys"], source)
    learner.known = [_known(name, own) for name, own in _numbered(parts["known"], 3)]
    learner.anchors = [Anchor.from_tensors(own) for _, own in _numbered(parts["anchor"], 1)]
    learner.actions = [ActionStatistics.from_tensors(own) for _, own in _numbered(parts["actions"], 1)]


@torch.no_grad()
def _restore_model(learner: Learner, weights: Mapping[str, Tensor], source: object) -> None:
    own = dict(learner.model.named_parameters())
    for name, weight in weights.items():
        if name not in own or own[name].shape != weight.shape:
            raise SeqrlError(f"{source} contains the weight {name} of another model", _HINT)
        own[name].copy_(weight)


def _restore_keys(keys: KeyedPool, tensors: Mapping[str, Tensor], source: object) -> None:
    own = keys.state_dict()
    if own.keys() != tensors.keys() or any(own[name].shape != tensors[name].shape for name in own):
        raise SeqrlError(f"{source} contains the keys of another pool", _HINT)
    keys.load_state_dict(tensors)


def _numbered(tensors: Mapping[str, Tensor], depth: int) -> list[tuple[str, dict[str, Tensor]]]:
    """Tensors named ``<index>.<…>.<name>`` by the first ``depth`` parts of their names, by index."""
    groups: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        parts = name.split(".")
        groups[".".join(parts[:depth])][".".join(parts[depth:])] = tensor
    return sorted(groups.items(), key=lambda group: int(group[0].partition(".")[0]))


def _known(name: str, tensors: Mapping[str, Tensor]) -> Known:
    _, task_input, member = name.split(".")
    return Known(task_input, int(member), TaskStatistics.from_tensors(tensors))
