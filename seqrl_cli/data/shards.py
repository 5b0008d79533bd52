"""How the windows of a batch are divided among the processes that train one model together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Shards:
    """The shards of each batch, and those among them that this process computes.

    Shard ``k`` of ``count`` has the windows ``k``, ``k + count``, ``k + 2 * count`` … of a batch. A batch with fewer
    windows than there are shards leaves some of them empty.

    Attributes:
        count: shards of a batch.
        own: numbers of the shards that this process computes, in order.
    """

    count: int = 1
    own: tuple[int, ...] = (0,)

    def part(self, values: NDArray[Any], number: int) -> NDArray[Any]:
        """The values (windows, ...) of one shard, as a view."""
        return values[number :: self.count]


WHOLE = Shards()
"""One shard, which is the whole batch."""
