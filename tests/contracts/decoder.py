"""What every decoder must do, whatever the model behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqrl_cli.models.decoding.interface import Decoder

Reference = Callable[[Tensor, int], Tensor]
"""Logits (rows, bins + 1) after tokens (rows, time), computed from scratch, for a decoder prefilled with so many."""


def check_equals_reference(decoder: Decoder, reference: Reference, *, past: int, steps: int, seed: int = 0) -> None:
    """While rows branch and are dropped, all logits are the reference's; tokens are random, values and stop included.

    Args:
        decoder: what is tested.
        reference: the naive computation.
        past: tokens in the prefill.
        steps: tokens decoded after it.
        seed: of tokens and selections.
    """
    generator = torch.Generator().manual_seed(seed)
    groups = 2
    rows = torch.randint(0, decoder.bins + 1, (groups, past), generator=generator)
    logits, state = decoder.prefill(rows)
    for count in range(steps):
        torch.testing.assert_close(logits, reference(rows, past), atol=1e-4, rtol=0, msg=f"after {count} steps")
        if count % 5 == 1:
            state, rows = state.expand(2), rows.repeat_interleave(2, 0)
        if count % 7 == 3:
            each = len(rows) // groups
            index = torch.randint(0, each, (groups, 3), generator=generator)
            state, rows = state.select(index), rows.unflatten(0, (groups, each))[torch.arange(groups)[:, None], index]
            rows = rows.flatten(0, 1)
        tokens = torch.randint(0, decoder.bins + 1, (len(rows),), generator=generator)
        rows = torch.cat([rows, tokens[:, None]], dim=1)
        logits, state = decoder.step(tokens, state)


def check_past_values_are_hidden(decoder: Decoder, *, past: int, steps: int) -> None:
    """Other value tokens in the past change no logit."""
    transition_dim = decoder.observation_dim + decoder.action_dim + 2
    tokens = torch.randint(0, decoder.bins, (1, past + steps), generator=torch.Generator().manual_seed(1))
    others = tokens.clone()
    # the newest token is a query, so a value token shows in the logits directly after it, and in no others
    others[:, transition_dim - 1 :: transition_dim] = (
        others[:, transition_dim - 1 :: transition_dim] + 1
    ) % decoder.bins
    runs = [logits_along(decoder, each, past) for each in (tokens, others)]
    for position, (ours, theirs) in enumerate(zip(*runs, strict=True), start=past - 1):
        if position % transition_dim != transition_dim - 1:
            torch.testing.assert_close(ours, theirs, atol=0, rtol=0, msg=f"after the token at {position}")


def check_greedy(decoder: Decoder) -> None:
    """Greedy decoding gives what taking the likeliest token again and again gives, wherever it begins and ends."""
    transition_dim = decoder.observation_dim + decoder.action_dim + 2
    tokens = torch.randint(0, decoder.bins, (2, 2 * transition_dim), generator=torch.Generator().manual_seed(3))
    for past in range(1, 2 * transition_dim):
        for count in (1, 3, transition_dim + 1):
            (chosen, *ours), (expected, *theirs) = (
                _greedy_logits(decoder, tokens[:, :past], count, method)
                for method in (type(decoder).greedy, Decoder.greedy)
            )
            assert torch.equal(chosen, expected), f"{count} tokens after {past}"
            assert all(map(torch.equal, ours, theirs)), f"{count} tokens after {past}"


def check_groups_are_independent(decoder: Decoder, *, past: int, steps: int, beam: int = 5) -> None:
    """A group's logits are the same, bit for bit, alone and among four."""
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(0, decoder.bins, (4, past), generator=generator)
    continued = torch.randint(0, decoder.bins, (steps, 4, beam), generator=generator)
    kept = torch.randint(0, beam, (4, beam), generator=generator)
    together = _beam_logits(decoder, tokens, continued, kept)
    for group in range(4):
        one = slice(group, group + 1)
        alone = _beam_logits(decoder, tokens[one], continued[:, one], kept[one])
        assert torch.equal(torch.stack(alone), torch.stack(together)[:, group * beam : (group + 1) * beam])


def logits_along(decoder: Decoder, tokens: Tensor, past: int) -> list[Tensor]:
    """Logits after a prefill of ``past`` tokens and after each further one of (groups, time) tokens."""
    logits, state = decoder.prefill(tokens[:, :past])
    seen = [logits]
    for token in tokens[:, past:].unbind(1):
        logits, state = decoder.step(token, state)
        seen.append(logits)
    return seen


def _greedy_logits(decoder: Decoder, past: Tensor, count: int, method: Callable[..., Any]) -> list[Tensor]:
    """Tokens, logits after them, and after one more token, of rows that have branched."""
    logits, state = decoder.prefill(past)
    state = state.expand(2)
    chosen, logits, state = method(decoder, logits.repeat_interleave(2, 0), state, count)
    return [chosen, logits, decoder.step(torch.arange(len(chosen)), state)[0]]


def _beam_logits(decoder: Decoder, tokens: Tensor, continued: Tensor, kept: Tensor) -> list[Tensor]:
    _, state = decoder.prefill(tokens)
    state = state.expand(kept.shape[1])
    seen = []
    for step, each in enumerate(continued):
        logits, state = decoder.step(each.flatten(), state)
        seen.append(logits)
        if step % 6 == 4:
            state = state.select(kept)
    return seen
