"""Chunkwise retention by flash-linear-attention's kernel, on a GPU that has it (Yang and Zhang 2024, package fla-core).

The kernel is used only where it proves itself: the first call on a device compares it with our own form on random
numbers, outputs, memory and gradients, and goes without it when they differ. This path has not run on a GPU yet; what
the tests see is that a function of the kernel's documented behaviour is accepted, and that others are not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

TOLERANCE = 1e-2
"""Of the largest number compared: the kernel may multiply with the precision of TF32 or bfloat16."""

Kernel = Callable[..., tuple[Tensor, Tensor]]
Form = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


@cache
def fused_kernel(device: torch.device, reference: Form) -> Kernel | None:
    """The kernel, where it is installed and agrees with ours; None elsewhere.

    Args:
        device: where it is to run.
        reference: our own form.
    """
    if device.type != "cuda":
        return None
    try:
        from fla.ops.retention import chunk_retention
    except Exception:  # not installed, or its compiler is missing: whatever it says, ours is there
        return None
    return chunk_retention if agrees(chunk_retention, reference, device) else None


def retain_fused(
    kernel: Kernel, query: Tensor, key: Tensor, value: Tensor, decay: Tensor, memory: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Retention by the kernel; arguments and results as of the forms in :mod:`.retention`.

    The kernel counts the decay of a step before the token, we after it, so a memory is one step of decay apart.
    """
    step = decay.view(-1, 1, 1).float()
    parts = (part.to(value.dtype).transpose(1, 2).contiguous() for part in (query, key, value))
    before = None if memory is None else memory.float() / step
    mixed, after = kernel(*parts, scale=1.0, initial_state=before, output_final_state=True)
    return mixed.transpose(1, 2), after * step


def agrees(kernel: Kernel, reference: Form, device: torch.device) -> bool:
    """Whether a kernel gives what our form gives, and the same gradients, on odd sizes and from a carried memory."""
    results = []
    try:
        for form in (reference, lambda *inputs: retain_fused(kernel, *inputs)):
            results.append(_outputs_and_gradients(form, device))
    except Exception:  # a kernel that cannot run here is one that is not used
        return False
    return all(_close(ours, theirs) for ours, theirs in zip(*results, strict=True))


@torch.inference_mode(False)
@torch.enable_grad()
def _outputs_and_gradients(form: Form, device: torch.device) -> list[Tensor]:
    """What a form gives for random numbers, always the same ones, in float32."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 4, 75, 32)] * 3 + [(2, 4, 32, 32)]
    drawn = (torch.randn(shape, generator=generator).to(device) for shape in shapes)
    query, key, value, memory = (each.requires_grad_() for each in drawn)
    decay = 1 - 2.0 ** (-5 - torch.arange(4, dtype=torch.float64, device=device))
    with torch.autocast(device.type, enabled=False):
        mixed, after = form(query, key, value, decay, memory)
    gradients = torch.autograd.grad(mixed.square().sum() + after.sum(), [query, key, value, memory])
    return [mixed.detach(), after.detach(), *gradients]


def _close(ours: Tensor, theirs: Tensor) -> bool:
    same_shape = ours.shape == theirs.shape
    return same_shape and bool((ours - theirs).abs().max() <= TOLERANCE * ours.abs().max())
