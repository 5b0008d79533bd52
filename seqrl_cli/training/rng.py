"""Random numbers: seed streams, and the states of PyTorch's global generators as text for a JSON file."""

from __future__ import annotations

import base64
from contextlib import AbstractContextManager
from enum import IntEnum

import torch


class SeedStream(IntEnum):
    """The second number of a generator's seed, after the run's own: one stream per purpose.

    Separate streams keep draws for one purpose from shifting those for another. Changing a value changes results.
    """

    HELD_OUT = 1
    """The choice of episodes held out from training."""
    REPLAY = 2
    """The choice of windows from the replay buffer in fine-tuning."""
    EPISODES = 3
    """Seeds of the episodes that fine-tuning plays."""
    PLAN = 4
    """The planner's draws in an episode, whose index follows; the environment has a seed of its own."""


def preserve_rng_state(device: torch.device) -> AbstractContextManager[None]:
    """A context for a block that seeds PyTorch's global generators: their states are restored at its end."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def generator_states(device: torch.device) -> dict[str, str]:
    """The state of the CPU's generator and, for a GPU, of the device's."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return {name: base64.b64encode(state.numpy().tobytes()).decode() for name, state in states.items()}


def restore_generators(states: dict[str, str], device: torch.device) -> None:
    """Restore what ``generator_states`` returned; without a GPU, a GPU's state is ignored.

    Raises:
        KeyError: there is no state of the CPU's generator.
        ValueError: a state is none of such a generator.
    """
    try:
        torch.set_rng_state(_decode(states["cpu"]))
        if device.type == "cuda" and "cuda" in states:
            torch.cuda.set_rng_state(_decode(states["cuda"]), device)
    except RuntimeError as error:  # of another size, or with other contents than such a generator has
        raise ValueError("the state of a random generator is damaged") from error


def _decode(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
