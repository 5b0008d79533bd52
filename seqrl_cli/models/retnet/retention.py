"""Retention in three forms of one function (Sun et al. 2023, arXiv 2307.08621, section 2.1).

A head's recurrent state is a matrix S (key_dim, value_dim). A token with query q, key k and value v outputs
``q (S + k v^T)``; then S becomes ``A (S + k v^T)``, where A = g e^(-it) decays all of S by the head's factor g and
rotates each pair of key dimensions by its angle t. So S is what the *next* token sees. It depends on distances between
tokens only, never on absolute positions.

Within a call, the three forms apply the decay only. The caller rotates queries and keys beforehand by the rotary phases
of their positions in the call (:func:`rotate`), and the state afterwards (:func:`rotate_state`). All forms take

- query (batch, heads, time, key_dim) and key (batch, heads, time, key_dim), rotated,
- value (batch, heads, time, value_dim),
- decay (heads,) float64, see :func:`head_decays`,
- state (batch, heads, key_dim, value_dim), or None for a zero state,

and return the outputs of the tokens, (batch, heads, time, value_dim), and the state after them, not yet rotated.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqrl_cli.errors import SeqrlError, unknown
from seqrl_cli.models.retnet.fused_retention import fused_kernel, retain_fused

MODES = ("parallel", "chunkwise", "recurrent")


def head_decays(heads: int, device: torch.device) -> Tensor:
    """Decay per token of each head, 1 - 2^(-5 - head): (heads,) float64 (equation 8)."""
    return 1 - 2.0 ** (-5 - torch.arange(heads, dtype=torch.float64, device=device))


def pair_angles(key_dim: int, device: torch.device) -> Tensor:
    """Angle per token of each pair of key dimensions, from 1 down to 1/10,000: (key_dim / 2,) float64."""
    return 10_000.0 ** -torch.linspace(0, 1, key_dim // 2, dtype=torch.float64, device=device)


def powers(decay: Tensor, steps: Tensor) -> Tensor:
    """Decay over ``steps`` (steps,), as (heads, steps) float64."""
    return decay[:, None] ** steps


def causal_decay(decay: Tensor, time: int, dtype: torch.dtype) -> Tensor:
    """Decay from each of ``time`` tokens to itself and each later one, 0 to earlier ones: (heads, time, time)."""
    steps = torch.arange(time, device=decay.device)
    table = powers(decay, steps).to(dtype)
    return table[:, (steps[:, None] - steps).clamp(min=0)].tril()


def rotary_phases(angles: Tensor, steps: Tensor) -> Tensor:
    """Rotation of each pair of key dimensions over ``steps``, of modulus 1: (*steps.shape, pairs) complex128."""
    rotation = steps[..., None] * angles
    return torch.polar(torch.ones_like(rotation), rotation)


def rotate(x: Tensor, phases: Tensor) -> Tensor:
    """Rotate (and scale) neighbouring pairs of the last axis.

    Args:
        x: (..., time, key_dim).
        phases: (..., time, key_dim / 2) complex, broadcast against ``x``; its precision is the result's.
    """
    pairs = torch.view_as_complex(x.to(phases.real.dtype).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * phases).flatten(-2)


def rotate_state(state: Tensor, phases: Tensor) -> Tensor:
    """Rotate the key axis of a state (..., key_dim, value_dim) by ``phases`` (key_dim / 2,) complex."""
    return rotate(state.mT.contiguous(), phases).mT


def retain_parallel(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """All pairs of tokens at once (equation 5): the fastest form for short sequences."""
    time = torch.arange(query.shape[2], device=query.device)
    weights = (query @ key.mT) * causal_decay(decay, len(time), query.dtype)
    out = weights @ value
    if state is not None:
        decay_from_start = powers(decay, time)[..., None].to(query.dtype)
        out = out + (query * decay_from_start) @ state
    return out, update_state(key, value, decay, state)


def update_state(key: Tensor, value: Tensor, decay: Tensor, state: Tensor | None = None) -> Tensor:
    """The state after some tokens, without their outputs."""
    time = torch.arange(key.shape[2], device=key.device)
    decay_to_end = powers(decay, len(time) - time)[..., None].to(key.dtype)
    added = (key * decay_to_end).mT @ value
    if state is None:
        return added
    return state * (decay ** len(time)).view(-1, 1, 1).to(state.dtype) + added


def retain_recurrent(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One token after the other (equation 6): time and storage per token do not depend on the length of the past."""
    state = _zero_state(key, value) if state is None else state
    step = decay.view(-1, 1, 1).to(state.dtype)
    out = []
    for q, k, v in zip(query.unbind(2), key.unbind(2), value.unbind(2), strict=True):
        state = state + k[..., :, None] * v[..., None, :]
        out.append(q[..., None, :] @ state)
        state = state * step
    return torch.cat(out, dim=2), state


def retain_chunkwise(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor, state: Tensor | None = None, *, chunk_size: int
) -> tuple[Tensor, Tensor]:
    """Parallel within chunks, recurrent between them (equation 7): time grows with the length, not with its square.

    Args:
        query: see the module.
        key: see the module.
        value: see the module.
        decay: see the module.
        state: see the module.
        chunk_size: tokens per chunk; the last one may be shorter.
    """
    time = query.shape[2]
    whole = time // chunk_size * chunk_size
    if whole == 0:
        return retain_parallel(query, key, value, decay, state)
    state = _zero_state(key, value) if state is None else state
    parts = [part.split([whole, time - whole], dim=2) for part in (query, key, value)]
    (q, q_rest), (k, k_rest), (v, v_rest) = parts
    q, k, v = (part.unflatten(2, (-1, chunk_size)) for part in (q, k, v))
    out, state = _retain_chunks(q, k, v, decay, state)
    if whole < time:
        rest, state = retain_parallel(q_rest, k_rest, v_rest, decay, state)
        out = torch.cat([out, rest], dim=2)
    return out, state


def _retain_chunks(query: Tensor, key: Tensor, value: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Retention over whole chunks, each tensor (batch, heads, chunks, chunk, dim); returns what all forms return."""
    time = torch.arange(query.shape[3], device=query.device)
    weights = (query @ key.mT) * causal_decay(decay, len(time), query.dtype)[:, None]
    decay_to_end = powers(decay, len(time) - time)[:, None, :, None].to(key.dtype)
    chunk_decay = (decay ** len(time)).view(-1, 1, 1).to(state.dtype)
    before = []
    for added in ((key * decay_to_end).mT @ value).unbind(2):
        before.append(state)
        state = state * chunk_decay + added
    decay_from_start = powers(decay, time)[:, None, :, None].to(query.dtype)
    out = weights @ value + (query * decay_from_start) @ torch.stack(before, dim=2)
    return out.flatten(2, 3), state


def _zero_state(key: Tensor, value: Tensor) -> Tensor:
    """The zero state for these keys and values."""
    return value.new_zeros(*key.shape[:2], key.shape[3], value.shape[3])


def retain(
    mode: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    decay: Tensor,
    state: Tensor | None = None,
    *,
    chunk_size: int,
) -> tuple[Tensor, Tensor]:
    """Retention in the form ``mode``, one of ``MODES``; ``chunkwise`` uses the fused kernel if it is available."""
    if mode == "chunkwise":
        kernel = fused_kernel(query.device, retain_parallel) if query.is_cuda and query.dtype != torch.float64 else None
        if kernel:
            return retain_fused(kernel, query, key, value, decay, state)
        return retain_chunkwise(query, key, value, decay, state, chunk_size=chunk_size)
    form = retain_parallel if mode == "parallel" else retain_recurrent
    return form(query, key, value, decay, state)


def check_mode(mode: str, chunk_size: int) -> None:
    """Raise SeqrlError unless the form and the chunk size are valid."""
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    if chunk_size < 1:
        raise SeqrlError(f"chunk_size is {chunk_size}, but a chunk needs at least 1 token", "set chunk_size to 64, say")
