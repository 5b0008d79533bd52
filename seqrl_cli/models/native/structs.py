"""What Python hands to the C++, field by field as it is declared there."""

from __future__ import annotations

import ctypes

Address, Count = ctypes.c_void_p, ctypes.c_int64


class Linear(ctypes.Structure):
    """``Linear`` of linear.h."""

    _fields_ = [("weights", Address), ("bias", Address), ("inputs", Count), ("outputs", Count)]


class Layer(ctypes.Structure):
    """``Layer`` of gpt.cpp."""

    _fields_ = [(name, Linear) for name in ("qkv", "projection", "mlp_in", "mlp_out")]


class Shape(ctypes.Structure):
    """``Shape`` of attention.h."""

    _fields_ = [(name, Count) for name in ("heads", "head_dim", "head_width", "columns", "lanes")]


class Pages(ctypes.Structure):
    """``Pages`` of attention.h."""

    _fields_ = [("memory", Address), ("capacity", Count), ("closed", Count)]


class Model(ctypes.Structure):
    """``Model`` of gpt.cpp."""

    _fields_ = [
        ("layers", Count),
        ("width", Count),
        ("shape", Shape),
        ("layer", ctypes.POINTER(Layer)),
        ("embedding", Address),
        ("positions", Address),
    ]


class Call(ctypes.Structure):
    """``Call`` of gpt.cpp."""

    _fields_ = [
        *[(name, Count) for name in ("units", "span", "steps")],
        *[(name, Address) for name in ("order", "tokens", "first_row", "position", "table", "stem", "own")],
        *[(name, Count) for name in ("closed_pages", "split", "column", "keeps")],
        *[(name, Pages) for name in ("closed", "open", "target")],
        ("heads", ctypes.POINTER(Linear)),
        ("outputs", Count),
        ("chosen", Address),
        ("logits", Address),
    ]
