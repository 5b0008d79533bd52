"""``results()``: planned episodes and their summaries as lists of flat dictionaries, for pandas and polars."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from seqrl_cli.cli.options import default_store
from seqrl_cli.reports.groups import check_grouping
from seqrl_cli.reports.references import with_current_scores
from seqrl_cli.reports.results import EpisodeResult, read_results
from seqrl_cli.reports.table.stored import stored_datasets, table_of_stored
from seqrl_cli.reports.table.text import to_rows
from seqrl_cli.runs.store import RunStore
from seqrl_cli.scripting.keys import PathLike


def results(
    *sources: PathLike,
    by: Literal["episode", "method", "run"] = "episode",
    runs_dir: PathLike | None = None,
) -> list[dict[str, Any]]:
    """Results as flat dictionaries with the same keys: ``pandas.DataFrame(results())``.

    Args:
        *sources: runs, datasets or folders of plans; none = everything in the run directory.
            Scores are those of the datasets' references as they are now.
        by: ``episode`` for a row per episode; ``method`` or ``run`` for the rows of ``seqrl table``, with standard
            errors and 95 % intervals, and the data's own returns as references.
        runs_dir: the run directory; None = ``$SEQRL_RUNS``, else ``runs``.

    Returns:
        Values are text, numbers, truth values, or None where unknown; scores are percentages. Empty without episodes.

    Raises:
        UsageError: ``by`` is something else.
        SeqrlError: there is no such run, dataset or folder.
    """
    store = default_store(runs_dir)
    found = read_results(*_folders(store, sources))
    for sentence in found.warnings:
        warnings.warn(sentence, stacklevel=2)
    datasets = stored_datasets(store, found.episodes)
    episodes = with_current_scores(found.episodes, datasets)
    if by == "episode":
        return [_episode_row(episode) for episode in episodes]
    check_grouping(by)
    return to_rows(table_of_stored(episodes, datasets, by=by)) if episodes else []


def _folders(store: RunStore, sources: Sequence[PathLike]) -> list[Path]:
    if not sources:
        return [store.root] if store.root.is_dir() else []
    return [_folder(store, Path(source)) for source in sources]


def _folder(store: RunStore, source: Path) -> Path:
    """A folder by its path or its name below the root, else a run by its name."""
    existing = next((path for path in (source, store.root / source) if path.is_dir()), None)
    return existing or store.find(str(source)).path


def _episode_row(episode: EpisodeResult) -> dict[str, Any]:
    return {
        "dataset": episode.dataset,
        "env_id": episode.env_id,
        "arch": episode.arch,
        "run": episode.run,
        "method": episode.method,
        "settings": episode.settings_label,
        "model_seed": episode.model_seed,
        "seed": episode.seed,
        "return": episode.return_,
        "score": None if episode.score is None else 100.0 * episode.score,
        "steps": episode.steps,
        "terminated": episode.terminated,
        "success": episode.success,
        "cut": episode.cut_at is not None,
        "iterations": episode.iterations,
        "online_steps": episode.online_steps,
        "seconds_per_step": episode.seconds_per_step,
        "path": str(episode.path),
    }
