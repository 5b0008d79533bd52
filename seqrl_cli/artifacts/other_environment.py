"""An existing dataset whose environment the user names later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqrl_cli.artifacts.references import own_references
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import read_d4rl
from seqrl_cli.data.formats.episode_ends import cut_again
from seqrl_cli.envs.fit import LoadedDataset, fit_environment
from seqrl_cli.envs.limits import own_step_limit


def in_environment(path: Path, stated: Mapping[str, object], former: str | None, env_id: str) -> LoadedDataset:
    """The episodes of a dataset in another environment, and the attributes to store with them.

    Args:
        path: the dataset's file in the run directory.
        stated: attributes of that file.
        former: gymnasium id of its environment until now; None: unknown.
        env_id: gymnasium id of its environment from now on.

    Raises:
        SeqrlError: the environment does not exist or does not fit the dataset, or the file is damaged.
    """
    episodes, facts = fit_environment(read_d4rl(path), env_id, str(path))
    return _cut(episodes, {**stated, **facts, **own_references(stated, former)}, env_id)


def _cut(episodes: Episodes, facts: dict[str, Any], env_id: str) -> LoadedDataset:
    """Cut episodes whose ends were not marked by the limit of the environment."""
    limit = own_step_limit(env_id)
    if limit is None or "cut_after" not in facts:
        return episodes, facts
    return cut_again(episodes, limit), {**facts, "cut_after": limit}
