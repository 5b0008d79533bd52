"""The structs of the C++, field by field."""

from __future__ import annotations

import ctypes

Address = ctypes.c_void_p
Count = ctypes.c_int64


class PackedLinear(ctypes.Structure):
    """``PackedLinear`` of linear.h."""

    _fields_ = [("weights", Address), ("bias", Address), ("inputs", Count), ("outputs", Count)]


class GPTLayerWeights(ctypes.Structure):
    """``GPTLayerWeights`` of gpt.h."""

    _fields_ = [(name, PackedLinear) for name in ("qkv", "projection", "mlp_in", "mlp_out")]


class PageShape(ctypes.Structure):
    """``PageShape`` of attention.h."""

    _fields_ = [(name, Count) for name in ("heads", "head_dim", "head_width", "columns", "lanes")]


class PagePool(ctypes.Structure):
    """``PagePool`` of attention.h."""

    _fields_ = [("memory", Address), ("capacity", Count), ("closed", Count)]


class GPTWeights(ctypes.Structure):
    """``GPTWeights`` of gpt.h."""

    _fields_ = [
        ("layers", Count),
        ("width", Count),
        ("shape", PageShape),
        ("layer", ctypes.POINTER(GPTLayerWeights)),
        ("embedding", Address),
        ("positions", Address),
    ]


class ForwardCall(ctypes.Structure):
    """``ForwardCall`` of gpt.h."""

    _fields_ = [
        *[(name, Count) for name in ("units", "span", "steps")],
        *[
            (name, Address)
            for name in ("order", "tokens", "first_row", "position", "block_table", "shared_page", "private_page")
        ],
        *[(name, Count) for name in ("closed_pages", "split", "column", "keeps")],
        *[(name, PagePool) for name in ("closed", "open", "target")],
        ("heads", ctypes.POINTER(PackedLinear)),
        ("outputs", Count),
        ("chosen", Address),
        ("logits", Address),
    ]
