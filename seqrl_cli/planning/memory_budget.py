"""How many episodes can be planned side by side within a limit of RAM or GPU memory, known before it is allocated."""

from __future__ import annotations

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decoding.interface import Decoder
from seqrl_cli.planning.settings import SearchSettings


def plan_bytes(decoder: Decoder, settings: SearchSettings) -> int:
    """The most memory that planning for one episode takes, in bytes."""
    caches = decoder.cache_bytes(settings.beam_width, settings.n_expand, settings.horizon)
    candidates, dims = settings.beam_width * settings.n_expand, decoder.observation_dim + decoder.action_dim + 2
    noise = 4 * (decoder.action_dim * candidates + decoder.observation_dim * settings.beam_width)
    sequences = 8 * (dims + 1) * candidates  # tokens and rewards
    return caches + settings.horizon * (noise + sequences)


def episodes_that_fit(decoder: Decoder, settings: SearchSettings, episodes: int, max_memory: int | None) -> int:
    """How many of ``episodes`` to plan in one batch.

    Args:
        decoder: the model.
        settings: the search.
        episodes: episodes that run side by side.
        max_memory: bytes that a batch may take; None for no limit.

    Raises:
        SeqrlError: not even one fits.
    """
    if max_memory is None:
        return episodes
    needed = plan_bytes(decoder, settings)
    if needed > max_memory:
        raise SeqrlError(
            f"one plan needs {needed / 2**20:,.0f} MiB, but only {max_memory / 2**20:,.0f} MiB may be used",
            "lower --beam-width or --horizon, or raise --max-memory",
        )
    return min(episodes, max_memory // needed)
