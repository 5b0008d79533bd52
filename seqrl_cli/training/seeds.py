"""What a run's seed is drawn from for: each purpose has a stream of its own, so that one does not shift another."""

from __future__ import annotations

from enum import IntEnum


class Stream(IntEnum):
    """The second number of a generator's seed, after the run's own; changing one changes what runs give."""

    HELD_OUT = 1
    """Which episodes are held out from training."""
    REPLAY = 2
    """Which windows of the replay buffer fine-tuning learns from."""
    EPISODES = 3
    """Seeds of the episodes in which fine-tuning explores and evaluates."""
    PLAN = 4
    """What planning draws in an episode, whose index follows; its environment has a seed of its own."""
