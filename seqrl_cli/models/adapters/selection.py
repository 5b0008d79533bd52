"""Which member of a pool adapts which sample of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NONE = -1
"""The number of no member."""


@dataclass(frozen=True)
class Selection:
    """The members in use, and which of them each sample uses.

    Only members in use take part in a forward pass. The others get no gradient, not even zero, so an optimizer leaves
    them alone.

    Attributes:
        members: numbers of the members in use, increasing.
        slots: (batch,) int64, 1 + the index of the sample's member in ``members``, and 0 for none; (batch, k) if
            samples use several; None if the whole batch uses the only member.
    """

    members: tuple[int, ...]
    slots: Tensor | None = None

    def chosen(self, width: int) -> Tensor:
        """(batch, members * width) zeros and ones: ``width`` ones in a sample's row, at its member."""
        assert self.slots is not None and self.slots.dim() == 1, "one member per sample"
        numbers = torch.arange(1, len(self.members) + 1, device=self.slots.device)
        return (self.slots.unsqueeze(1) == numbers).repeat_interleave(width, dim=1)


@dataclass
class Current:
    """What all adapters of a model use now; None for no adapter."""

    selection: Selection | None = None

    def only_member(self) -> int | None:
        """The member that is in use for every sample; None for none."""
        if self.selection is None:
            return None
        assert self.selection.slots is None, "one member must be selected for all samples"
        return self.selection.members[0]


def selection(choice: int | Tensor | None, pool: int) -> Selection | None:
    """The selection that a choice stands for; None where no sample uses a member.

    Args:
        choice: one member for the whole batch, (batch,) members, -1 for none, or (batch, k); None for
            none at all.
        pool: number of members.
    """
    if choice is None or (isinstance(choice, int) and choice == NONE):
        return None
    if isinstance(choice, int):
        assert 0 <= choice < pool, f"member {choice} of {pool}"
        return Selection((choice,))
    members = [member for member in choice.unique().tolist() if member != NONE]
    assert all(0 <= member < pool for member in members), f"members {members} of {pool}"
    if not members:
        return None
    table = torch.zeros(pool + 1, dtype=torch.int64, device=choice.device)  # the last entry is that of -1
    table[members] = torch.arange(1, len(members) + 1, device=choice.device)
    return Selection(tuple(members), table[choice])


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Reshape ``values`` (batch, width) so that they broadcast over ``like`` (batch, ..., width)."""
    return values.view(len(values), *[1] * (like.dim() - 2), values.shape[-1])
