"""Memory for the pages of a key/value cache."""

from __future__ import annotations

import torch
from torch import Tensor

from seqrl_cli.native import library, structs


class PageAllocator:
    """Allocates pages of all layers one by one and frees them all at once.

    Args:
        layers: layers of the model.
        shape: sizes of a page.
        closed: whether the pages are closed, that is, never change again.

    Attributes:
        used: number of pages in use.
        memory: (layers, capacity, numbers per page) float32.
    """

    def __init__(self, layers: int, shape: structs.PageShape, *, closed: bool) -> None:
        self.used = 0
        self._closed = closed
        self.memory = torch.zeros(layers, 0, library.load().page_size(shape, closed))

    def clear(self) -> None:
        """Free all pages; their memory is reused."""
        self.used = 0

    def take(self, count: int) -> Tensor:
        """Allocate ``count`` pages; returns their numbers, (count,) int32."""
        first = self.used
        self.used += count
        if self.used > self.memory.shape[1]:
            old = self.memory
            # extra room, so that pages are rarely copied; zeros, since hidden values are multiplied by zero
            self.memory = old.new_zeros(len(old), 2 * self.used, old.shape[2])
            self.memory[:, :first] = old[:, :first]
        return torch.arange(first, self.used, dtype=torch.int32)

    def bytes_of(self, count: int) -> int:
        """Size of ``count`` pages in bytes."""
        layers, _, page = self.memory.shape
        return 4 * layers * count * page

    @property
    def pages(self) -> structs.PagePool:
        """The pages as a C++ struct, valid until more are allocated."""
        return structs.PagePool(self.memory.data_ptr(), self.memory.shape[1], self._closed)
