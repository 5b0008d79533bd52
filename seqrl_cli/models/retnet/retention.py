"""Retention in three forms of one function (Sun et al. 2023, arXiv 2307.08621, section 2.1).

A head's memory is a matrix S (key_dim, value_dim). A token with query q, key k and value v reads ``q (S + k v^T)``;
then time moves on by one step and S becomes ``A (S + k v^T)``, where A = g e^(-it) is the head's decay g and a rotation
of each pair of key dimensions by its angle t. So S is always what the *next* token sees, and it knows distances only:
there is no position that could grow large or jump.

The forms here work in a frame that stands still while a call's tokens pass: :func:`rotate` turns queries and keys by
the angle of their place in the call, which leaves only the decay to the forms, and :func:`rotate_state` turns the
memory for what comes next. All forms take

- query (batch, heads, time, key_dim) and key (batch, heads, time, key_dim), rotated,
- value (batch, heads, time, value_dim),
- decay (heads,) float64, see :func:`head_decays`,
- memory (batch, heads, key_dim, value_dim), or None for one that is empty,

and return what the tokens read, (batch, heads, time, value_dim), and the memory after them, not yet turned.
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
    """Decay from each of so many tokens to each that follows, and 0 to those before: (heads, time, time)."""
    steps = torch.arange(time, device=decay.device)
    table = powers(decay, steps).to(dtype)
    return table[:, (steps[:, None] - steps).clamp(min=0)].tril()


def rotary_phases(angles: Tensor, steps: Tensor) -> Tensor:
    """Rotations of each pair over so many steps, of length 1: (*steps.shape, pairs) complex128."""
    turned = steps[..., None] * angles
    return torch.polar(torch.ones_like(turned), turned)


def rotate(x: Tensor, turned: Tensor) -> Tensor:
    """Turn (and scale) neighbouring pairs of the last axis.

    Args:
        x: (..., time, key_dim).
        turned: (..., time, key_dim / 2) complex, broadcast against ``x``; its precision is the result's.
    """
    pairs = torch.view_as_complex(x.to(turned.real.dtype).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turned).flatten(-2)


def rotate_state(memory: Tensor, turned: Tensor) -> Tensor:
    """Turn the key axis of a memory (..., key_dim, value_dim) by (key_dim / 2,) complex."""
    return rotate(memory.mT.contiguous(), turned).mT


def retain_parallel(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor, memory: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """All pairs of tokens at once (equation 5): the fastest form for short sequences."""
    time = torch.arange(query.shape[2], device=query.device)
    weights = (query @ key.mT) * causal_decay(decay, len(time), query.dtype)
    mixed = weights @ value
    if memory is not None:
        from_the_start = powers(decay, time)[..., None].to(query.dtype)
        mixed = mixed + (query * from_the_start) @ memory
    return mixed, update_state(key, value, decay, memory)


def update_state(key: Tensor, value: Tensor, decay: Tensor, memory: Tensor | None = None) -> Tensor:
    """The memory after some tokens, without their outputs."""
    time = torch.arange(key.shape[2], device=key.device)
    to_the_end = powers(decay, len(time) - time)[..., None].to(key.dtype)
    added = (key * to_the_end).mT @ value
    if memory is None:
        return added
    return memory * (decay ** len(time)).view(-1, 1, 1).to(memory.dtype) + added


def retain_recurrent(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor, memory: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One token after the other (equation 6): memory and time per token do not depend on the length of the past."""
    memory = _empty(key, value) if memory is None else memory
    step = decay.view(-1, 1, 1).to(memory.dtype)
    mixed = []
    for q, k, v in zip(query.unbind(2), key.unbind(2), value.unbind(2), strict=True):
        memory = memory + k[..., :, None] * v[..., None, :]
        mixed.append(q[..., None, :] @ memory)
        memory = memory * step
    return torch.cat(mixed, dim=2), memory


def retain_chunkwise(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor, memory: Tensor | None = None, *, chunk_size: int
) -> tuple[Tensor, Tensor]:
    """Parallel within chunks, recurrent between them (equation 7): time grows with the length, not with its square.

    Args:
        query: see the module.
        key: see the module.
        value: see the module.
        decay: see the module.
        memory: see the module.
        chunk_size: tokens per chunk; the last one may be shorter.
    """
    whole = query.shape[2] // chunk_size * chunk_size
    if not whole:
        return retain_parallel(query, key, value, decay, memory)
    memory = _empty(key, value) if memory is None else memory
    parts = [part.split([whole, query.shape[2] - whole], dim=2) for part in (query, key, value)]
    (q, q_rest), (k, k_rest), (v, v_rest) = parts
    q, k, v = (part.unflatten(2, (-1, chunk_size)) for part in (q, k, v))
    mixed, memory = _retain_chunks(q, k, v, decay, memory)
    if whole < query.shape[2]:
        rest, memory = retain_parallel(q_rest, k_rest, v_rest, decay, memory)
        mixed = torch.cat([mixed, rest], dim=2)
    return mixed, memory


def _retain_chunks(query: Tensor, key: Tensor, value: Tensor, decay: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Whole chunks, each tensor (batch, heads, chunks, chunk, dim); results as of all forms."""
    time = torch.arange(query.shape[3], device=query.device)
    weights = (query @ key.mT) * causal_decay(decay, len(time), query.dtype)[:, None]
    to_the_end = powers(decay, len(time) - time)[:, None, :, None].to(key.dtype)
    over_all = (decay ** len(time)).view(-1, 1, 1).to(memory.dtype)
    before = []
    for added in ((key * to_the_end).mT @ value).unbind(2):
        before.append(memory)
        memory = memory * over_all + added
    from_the_start = powers(decay, time)[:, None, :, None].to(query.dtype)
    mixed = weights @ value + (query * from_the_start) @ torch.stack(before, dim=2)
    return mixed.flatten(2, 3), memory


def _empty(key: Tensor, value: Tensor) -> Tensor:
    """An empty memory for these keys and values."""
    return value.new_zeros(*key.shape[:2], key.shape[3], value.shape[3])


def retain(
    mode: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    decay: Tensor,
    memory: Tensor | None = None,
    *,
    chunk_size: int,
) -> tuple[Tensor, Tensor]:
    """Retention in the form named by ``mode``, one of ``MODES``; chunks by a fused kernel where there is one."""
    if mode == "chunkwise":
        kernel = fused_kernel(query.device, retain_parallel) if query.is_cuda and query.dtype != torch.float64 else None
        if kernel:
            return retain_fused(kernel, query, key, value, decay, memory)
        return retain_chunkwise(query, key, value, decay, memory, chunk_size=chunk_size)
    form = retain_parallel if mode == "parallel" else retain_recurrent
    return form(query, key, value, decay, memory)


def check_mode(mode: str, chunk_size: int) -> None:
    """Raise SeqrlError unless the form and the chunk size are valid."""
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    if chunk_size < 1:
        raise SeqrlError(f"chunk_size is {chunk_size}, but a chunk needs at least 1 token", "set chunk_size to 64, say")
