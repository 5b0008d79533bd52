"""Which architectures there are."""

from __future__ import annotations

TOKEN_MODELS = ("gpt", "retnet")
"""They read tokens, and a planner searches with them."""

POLICIES = ("dt", "odt", "bc")
"""They say actions themselves."""


def with_article(name: str) -> str:
    """``a gpt``, ``an odt``."""
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
