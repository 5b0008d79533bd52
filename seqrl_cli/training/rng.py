"""The states of PyTorch's own generators, from which dropout draws, as text for a JSON file."""

from __future__ import annotations

import base64
from contextlib import AbstractContextManager

import torch


def own_generators(device: torch.device) -> AbstractContextManager[None]:
    """Within the block PyTorch's generators may be seeded and drawn from; afterwards they are as they were before."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def generator_states(device: torch.device) -> dict[str, str]:
    """States of the CPU's generator and, on a GPU, of the device's."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return {name: base64.b64encode(state.numpy().tobytes()).decode() for name, state in states.items()}


def restore_generators(states: dict[str, str], device: torch.device) -> None:
    """Put back what ``generator_states`` gave; a GPU's state is left out on a machine without one."""
    torch.set_rng_state(_decode(states["cpu"]))
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(_decode(states["cuda"]), device)


def _decode(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
