"""Several processes that train one model, each with a copy of it: PyTorch's DistributedDataParallel.

Processes exchange gradients through NCCL on GPUs and through Gloo on CPUs; flags, facts and checkpoints always go
through Gloo, which does not make a GPU wait.
"""

# no postponed annotations: PyTorch checks those of a communication hook as they are

import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from seqrl_cli.data.shards import Shards
from seqrl_cli.errors import SeqrlError
from seqrl_cli.training.placement import Placement
from seqrl_cli.training.world import Measures, Pass, add, backpropagated, normal_draws, shard_seed

T = TypeVar("T")

PATIENCE = timedelta(hours=1)
"""Longest wait for the others, who write checkpoints and play evaluations meanwhile. Nobody waits for the dead: their
connections close."""

_BARRIERS = 8  # Gloo has two threads, and either may take up a barrier


class RanksLostError(SeqrlError):
    """The connection to other processes of the run is gone."""


@contextmanager
def joined(placement: Placement, device: torch.device) -> Iterator["Ranks"]:
    """Meet the other processes of the run, for the block.

    Args:
        placement: the place of this process.
        device: the device that this process computes on.

    Raises:
        RanksLostError: others died or could not be reached.
    """
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(
            backend, init_method=placement.rendezvous, rank=placement.rank, world_size=placement.size, timeout=PATIENCE
        )
        yield Ranks(placement)
        _settle()
        dist.destroy_process_group()
    except (RuntimeError, ValueError) as error:
        if not _is_of_the_connection(error):
            raise
        message = f"rank {placement.rank} on {socket.gethostname()} lost the other processes of the run"
        hint = "the first error of another rank gives the reason; the same command resumes from the newest checkpoint"
        raise RanksLostError(message, hint) from error


def _settle() -> None:
    """Let Gloo's threads release the tensors of the last collectives.

    A thread that releases a tensor of Python's after the interpreter began to end aborts the process. A collective
    returns before that moment; a thread lets go of it, at the latest, before it takes up its next one. Barriers have
    no tensors of Python's.
    """
    for _ in range(_BARRIERS):
        dist.barrier()


def _is_of_the_connection(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "Gloo", "NCCL", "Connection"))


class Ranks:
    """A world of several processes; see :class:`~seqrl_cli.training.world.World`.

    Args:
        placement: the place of this process.
    """

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.size = placement.size
        self.leads = placement.rank == 0
        self.shards = Shards(placement.size, (placement.rank,))
        self._wrapped: DistributedDataParallel | None = None

    def seed(self, seed: int, step: int, number: int) -> None:
        """Seed dropout by update and shard, so that no checkpoint has to contain the generators of all processes."""
        torch.manual_seed(shard_seed(seed, step, number))

    def normal(self, seed: int, step: int, shape: Sequence[int]) -> Tensor | None:
        """See :meth:`World.normal`."""
        return normal_draws(seed, step, shape)

    def prepare(self, model: nn.Module, *, uses_all: bool) -> None:
        """See :meth:`World.prepare`; afterwards all processes have the leader's weights."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PyTorch 2.13 has another name for broadcast_buffers
            self._wrapped = DistributedDataParallel(
                _Called(model), broadcast_buffers=False, find_unused_parameters=not uses_all
            )
        self._wrapped.register_comm_hook(None, _sum)

    def accumulate(self, passes: Callable[[int], Sequence[Pass]], names: Sequence[str]) -> Measures:
        """See :meth:`World.accumulate`; only the last pass exchanges gradients."""
        wrapped = self._wrapped
        assert wrapped is not None, "call prepare first"
        own = list(passes(self.placement.rank)) or [lambda: _nothing(wrapped, names)]
        totals: Measures = {}
        for number, one in enumerate(own):
            with wrapped.no_sync() if number + 1 < len(own) else nullcontext():
                add(totals, backpropagated(wrapped(one)))
        summed = torch.stack([totals[name] for name in names])
        dist.all_reduce(summed)
        return dict(zip(names, summed.unbind(), strict=True))

    def any(self, flag: bool) -> bool:
        """See :meth:`World.any`."""
        flags = torch.tensor([int(flag)])
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags.item())

    def gather(self, value: T) -> list[T]:
        """The values of all processes, by rank."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def from_leader(self, value: T) -> T:
        """See :meth:`World.from_leader`."""
        values = [value]
        dist.broadcast_object_list(values, device=torch.device("cpu"))
        return values[0]

    def tensors_from_leader(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """See :meth:`World.tensors_from_leader`."""
        forms = self.from_leader({name: (one.shape, one.dtype) for name, one in (tensors or {}).items()})
        found = {}
        for name, (shape, dtype) in forms.items():
            one = tensors[name].cpu().contiguous() if tensors is not None else torch.empty(shape, dtype=dtype)
            dist.broadcast(one.view(-1).view(torch.uint8), 0)
            found[name] = one
        return found


class _Called(nn.Module):
    """Calls a pass inside the forward pass of DistributedDataParallel, whichever parts of the model the pass uses."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, one: Pass) -> Measures:
        return one()


def _nothing(model: nn.Module, names: Sequence[str]) -> Measures:
    """The measures of an empty shard: zeros, with gradients of zero for every parameter."""
    zero = torch.stack([one.sum() for one in model.parameters() if one.requires_grad]).sum() * 0
    return {name: zero for name in names}


def _sum(state: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """Sum gradients over the processes, in place of their mean: the losses are shares of one sum."""
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda done: done.value()[0])
