"""Chunkwise retention by the GPU kernel of flash-linear-attention (Yang and Zhang 2024, package fla-core).

The first call on a device compares the kernel with our own form on random numbers: outputs, state and gradients. The
kernel is used only if they agree. It has not run on a GPU yet: the tests check only that a function with the kernel's
documented behaviour is accepted, and that others are rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

TOLERANCE = 1e-2
"""Largest difference, relative to the largest number compared: the kernel may multiply in TF32 or bfloat16."""

Kernel = Callable[..., tuple[Tensor, Tensor]]
Form = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


@cache
def fused_kernel(device: torch.device, reference: Form) -> Kernel | None:
    """The kernel if it is installed and agrees with our own form, else None.

    Args:
        device: device on which it would run.
        reference: our own form.
    """
    if device.type != "cuda":
        return None
    try:
        from fla.ops.retention import chunk_retention
    except Exception:  # not installed, or its compiler is missing; our own form can always be used
        return None
    return chunk_retention if agrees(chunk_retention, reference, device) else None


def retain_fused(
    kernel: Kernel, query: Tensor, key: Tensor, value: Tensor, decay: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Retention by the kernel; arguments and results are those of the forms in :mod:`.retention`.

    The kernel applies a step's decay before the token, our forms after it, so the states differ by one step of decay.
    """
    step = decay.view(-1, 1, 1).float()
    parts = (part.to(value.dtype).transpose(1, 2).contiguous() for part in (query, key, value))
    before = None if state is None else state.float() / step
    out, after = kernel(*parts, scale=1.0, initial_state=before, output_final_state=True)
    return out.transpose(1, 2), after * step


def agrees(kernel: Kernel, reference: Form, device: torch.device) -> bool:
    """Whether a kernel and our form agree in results and gradients, for an odd length and a state that is not zero."""
    results = []
    try:
        for form in (reference, lambda *inputs: retain_fused(kernel, *inputs)):
            results.append(_outputs_and_gradients(form, device))
    except Exception:  # a kernel that cannot run on this device is not used
        return False
    return all(_close(ours, theirs) for ours, theirs in zip(*results, strict=True))


@torch.inference_mode(False)
@torch.enable_grad()
def _outputs_and_gradients(form: Form, device: torch.device) -> list[Tensor]:
    """A form's results and gradients for fixed random numbers, in float32."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 4, 75, 32)] * 3 + [(2, 4, 32, 32)]
    drawn = (torch.randn(shape, generator=generator).to(device) for shape in shapes)
    query, key, value, state = (each.requires_grad_() for each in drawn)
    decay = 1 - 2.0 ** (-5 - torch.arange(4, dtype=torch.float64, device=device))
    with torch.autocast(device.type, enabled=False):
        out, after = form(query, key, value, decay, state)
    gradients = torch.autograd.grad(out.square().sum() + after.sum(), [query, key, value, state])
    return [out.detach(), after.detach(), *gradients]


def _close(ours: Tensor, theirs: Tensor) -> bool:
    same_shape = ours.shape == theirs.shape
    return same_shape and bool((ours - theirs).abs().max() <= TOLERANCE * ours.abs().max())
