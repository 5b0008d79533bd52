"""Where the time of a plan goes, by kind of operation, and the least that its arithmetic could take."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

PARTS = {
    "compiled steps": ("seqrl::forward",),
    "compiled reordering": ("seqrl::join",),
    "products with weights": ("aten::mm", "aten::addmm", "aten::addmm_"),
    "attention to closed pages": ("aten::_embedding_bag_forward_only",),
    "attention to open pages and the context": ("aten::bmm",),
    "softmax": ("aten::_softmax",),
    "norms, GELU and biases": ("aten::native_layer_norm", "aten::gelu", "aten::add", "aten::add_"),
    "copies and reordering": ("aten::copy_", "aten::cat", "aten::index_select", "aten::index"),
}


def seconds_by_part(plan: Callable[[], object], operations: float) -> dict[str, float]:
    """Seconds of one plan by part, dispatch and all else as the rest, and the floor of its products with weights.

    Args:
        plan: makes one plan.
        operations: in the products with weights that no planner can leave out; the floor is what these would take at
            the rate of a large product on the same threads, with everything in cache.
    """
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        plan()
    spent = {event.key: event.self_cpu_time_total / 1e6 for event in recorded.key_averages()}
    parts = {part: sum(spent.get(name, 0.0) for name in names) for part, names in PARTS.items()}
    parts = {part: seconds for part, seconds in parts.items() if seconds}
    parts["dispatch and all else"] = sum(spent.values()) - sum(parts.values())
    parts["floor of products with weights"] = operations / peak_rate()
    return parts


def peak_rate(size: int = 1024) -> float:
    """Operations per second of a product of two square matrices: the best of a few."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
