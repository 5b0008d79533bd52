"""Where models are computed: the device, its free memory, and how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from seqrl_cli.console import counted
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.control_groups import free_memory

FALLBACK_MEMORY = 4 * 2**30  # assumed to be free if the system does not report it


def choose_device(name: str) -> torch.device:
    """A device by name; ``auto`` takes a GPU if there is one.

    Raises:
        UsageError: no such kind of device.
        SeqrlError: the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}", "use auto, cpu, cuda or cuda:1") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"seqrl does not compute on {device.type} devices", "use auto, cpu, cuda or cuda:1")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SeqrlError("there is no cuda device on this machine", "use --device cpu, or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SeqrlError(f"there is no {name}; this machine has {torch.cuda.device_count()}", "use --device cuda")
    return device


def device_of_rank(name: str, local_rank: int, local_size: int) -> torch.device:
    """The device of one of several processes on this machine: each has its own GPU, or all share the CPU.

    Args:
        name: ``auto``, ``cpu`` or ``cuda``.
        local_rank: number of the process on this machine.
        local_size: number of processes on this machine.

    Raises:
        UsageError: it names one GPU for all.
        SeqrlError: there are fewer GPUs than processes.
    """
    device = choose_device(name)
    if device.type != "cuda":
        return device
    if device.index is not None:
        message = f"--device {name} names one GPU, but {local_size} processes train on this machine"
        raise UsageError(message, "use --device cuda, and CUDA_VISIBLE_DEVICES to choose some of them")
    if torch.cuda.device_count() < local_size:
        gpus = counted(torch.cuda.device_count(), "GPU")
        message = f"{local_size} processes train on this machine, which has {gpus}"
        raise SeqrlError(message, "start one process per GPU, or use --device cpu")
    return torch.device("cuda", local_rank)


def use_threads(threads: int | None) -> int:
    """Set how many CPU threads PyTorch uses; by default its own choice: all cores, or OMP_NUM_THREADS."""
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one CPU thread in the block; entering and leaving it takes microseconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def available_memory(device: torch.device) -> int:
    """Bytes that are free on a device, and within the memory limits of a container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([_free_memory(), *free_memory()])


def _free_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return FALLBACK_MEMORY
    kibibytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return int(kibibytes) * 1024 if kibibytes else FALLBACK_MEMORY
