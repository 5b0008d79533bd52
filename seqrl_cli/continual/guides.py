"""What accompanies the training of a task: the choice of the adapter, and the losses of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.continual.anchors import Anchor
from seqrl_cli.models.adapters import AdapterSet
from seqrl_cli.models.adapters.keyed_pool import KeyedPool
from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer, TaskWindows


class OneAdapter:
    """All windows use one adapter.

    Args:
        adapters: the model's adapters.
        member: the adapter.
    """

    def __init__(self, adapters: AdapterSet, member: int) -> None:
        self.adapters = adapters
        self.member = member

    def before_windows(self, name: str, windows: TaskWindows, training: bool) -> None:
        """See :class:`~seqrl_cli.training.guide.Guide`."""
        self.adapters.select(self.member)

    def added_loss(self) -> Tensor | None:
        """See :class:`~seqrl_cli.training.guide.Guide`."""
        return None


class KeyedAdapters:
    """Each window uses the adapter whose key is nearest, and the chosen keys are pulled to their windows (L2M).

    Args:
        model: the model with the adapters.
        adapters: the adapters, one per key.
        keys: the keys, which learn with the adapters.
        weight: weight of the pull in the loss.
        allowed: (members,) bool, those that the task may use; None for all.
    """

    def __init__(
        self,
        model: MultiDomainTransformer,
        adapters: AdapterSet,
        keys: KeyedPool,
        weight: float,
        allowed: Tensor | None = None,
    ) -> None:
        self.model = model
        self.adapters = adapters
        self.keys = keys
        self.weight = weight
        self.allowed = allowed
        self._pulls: list[Tensor] = []

    def before_windows(self, name: str, windows: TaskWindows, training: bool) -> None:
        """See :class:`~seqrl_cli.training.guide.Guide`."""
        queries = window_queries(self.model, name, windows)
        chosen = self.keys.choose(queries, self.allowed)
        if training:
            self.keys.count(chosen)
            self._pulls.append(self.keys.pull(queries, chosen))
        self.adapters.select(chosen)

    def added_loss(self) -> Tensor | None:
        """Minus the weighted mean cosine of windows and their keys."""
        similarity = torch.stack(self._pulls).mean()
        self._pulls.clear()
        return -self.weight * similarity


class Anchored:
    """Weights are held near those after earlier tasks.

    Args:
        parameters: the parameters that learn, by name.
        anchors: the anchors of earlier tasks.
        weight: weight of the penalty in the loss.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], anchors: Sequence[Anchor], weight: float) -> None:
        self.parameters = parameters
        self.anchors = anchors
        self.weight = weight

    def before_windows(self, name: str, windows: TaskWindows, training: bool) -> None:
        """See :class:`~seqrl_cli.training.guide.Guide`."""

    def added_loss(self) -> Tensor | None:
        """The weighted penalties of all anchors."""
        if not self.anchors:
            return None
        return self.weight * torch.stack([anchor.penalty(self.parameters) for anchor in self.anchors]).sum()


class Contrast:
    """One adapter, whose features are pushed away from those of earlier tasks (HiDe's within-task prediction).

    The loss is that of HiDe's code (Wang et al. 2023, arXiv 2310.07234, equation 10, there as a cross-entropy): each
    feature should be nearest to itself among the features of the batch and the means of earlier tasks. Features have
    unit length; without that, their lengths decide alone, and the loss vanishes.

    Args:
        model: the model with the adapter.
        adapters: the model's adapters.
        member: the task's adapter.
        means: (earlier means, width), the means of the features of earlier tasks.
        weight: weight of the contrastive loss.
        temperature: temperature of its softmax.
    """

    _MAX_FEATURES = 64  # per update, since the loss compares all pairs

    def __init__(
        self,
        model: MultiDomainTransformer,
        adapters: AdapterSet,
        member: int,
        means: Tensor,
        weight: float,
        temperature: float,
    ) -> None:
        self.adapters = adapters
        self.member = member
        self.means = functional.normalize(means, dim=-1)
        self.weight = weight
        self.temperature = temperature
        self._features: Tensor | None = None
        self._hook = model.norm.register_forward_hook(self._keep)

    def before_windows(self, name: str, windows: TaskWindows, training: bool) -> None:
        """See :class:`~seqrl_cli.training.guide.Guide`."""
        self.adapters.select(self.member)

    def added_loss(self) -> Tensor | None:
        """The weighted contrastive loss of some features of the latest windows."""
        if self._features is None or not len(self.means) or not self.weight:
            return None
        features = functional.normalize(self._features.flatten(0, -2)[: self._MAX_FEATURES].float(), dim=-1)
        everything = torch.cat([self.means.to(features), features])
        similarities = everything @ everything.T / self.temperature
        targets = torch.arange(len(everything), device=features.device)
        return self.weight * functional.cross_entropy(similarities, targets)

    def close(self) -> None:
        """Stop looking at the model's features."""
        self._hook.remove()

    def _keep(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._features = output if output.requires_grad else None


def window_queries(model: MultiDomainTransformer, name: str, windows: TaskWindows) -> Tensor:
    """The mean (batch, width) of the embedded states in each window, without padding, which repeats a time step."""
    with torch.no_grad():
        observed = model.encoders[name](windows.observations, windows.bodies)
        kinds = torch.zeros(1, dtype=torch.int64, device=observed.device)
        placed = model.place(observed.unsqueeze(2), kinds, windows.timesteps.unsqueeze(2)).squeeze(2)
        first = torch.ones_like(windows.timesteps[:, :1])
        real = torch.cat([first, windows.timesteps.diff(dim=1).clamp(0, 1)], dim=1).unsqueeze(-1).to(placed)
        return (placed * real).sum(dim=1) / real.sum(dim=1)
