"""Memory for the pages of a key/value cache."""

from __future__ import annotations

import torch
from torch import Tensor

from seqrl_cli.models.native import library, structs


class Pool:
    """Pages of all layers, taken one after the other and given back all at once.

    Args:
        layers: layers of the model.
        shape: sizes of a page.
        closed: whether its pages never change again.

    Attributes:
        used: pages in use.
        memory: (layers, capacity, numbers a page) float32.
    """

    def __init__(self, layers: int, shape: structs.Shape, *, closed: bool) -> None:
        self.used, self._closed = 0, closed
        self.memory = torch.zeros(layers, 0, library.load().page_size(shape, closed))

    def clear(self) -> None:
        """Give all pages back; their memory is kept for later ones."""
        self.used = 0

    def take(self, count: int) -> Tensor:
        """The numbers of so many fresh pages, (count,) int32."""
        first, self.used = self.used, self.used + count
        if self.used > self.memory.shape[1]:
            old = self.memory
            # room to grow, so that pages move seldom; zeros, because what is hidden is multiplied by zero
            self.memory = old.new_zeros(len(old), 2 * self.used, old.shape[2])
            self.memory[:, :first] = old[:, :first]
        return torch.arange(first, self.used, dtype=torch.int32)

    def bytes_of(self, count: int) -> int:
        """Of so many pages."""
        layers, _, page = self.memory.shape
        return 4 * layers * count * page

    @property
    def pages(self) -> structs.Pages:
        """Where they are, until more are taken."""
        return structs.Pages(self.memory.data_ptr(), self.memory.shape[1], self._closed)
