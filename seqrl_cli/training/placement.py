"""Which of a run's processes this one is; it imports nothing, so that a command line can make it at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Placement:
    """The place of this process among those of a run, as torchrun's environment variables state it.

    Attributes:
        rank: number of the process, from 0; rank 0 writes the run.
        size: number of processes on all nodes.
        local_rank: number among the processes of its node, which is also that of its GPU.
        local_size: processes on its node.
        rendezvous: where the processes meet: ``env://`` for torchrun's own, or a URL of PyTorch's.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    rendezvous: str = "env://"
