"""Which policies ship for an environment."""

from __future__ import annotations

from collections.abc import Iterable

from seqrl_cli.behaviour.library import list_families, load_behaviour
from seqrl_cli.behaviour.scripted import has_scripted_policy


def family_of(env: str) -> str | None:
    """The family with shipped policies that an environment, or the family itself, is of."""
    return next((name for name in list_families() if env in (name, load_behaviour(name).env_id)), None)


def reference_words(env_id: str | None) -> str:
    """What ``--reference`` can name in an environment: the worst and the best at hand, such as ``random,expert``."""
    if env_id is not None and family_of(env_id) is not None:
        return "random,expert"
    return "random,scripted" if env_id is not None and has_scripted_policy(env_id) else "random,data"


def common_reference(env_ids: Iterable[str | None]) -> str:
    """What ``--reference`` can name in each of some environments."""
    words = set(map(reference_words, env_ids))
    return words.pop() if len(words) == 1 else "random,data"
