"""``seqrl info DATASET``: print what a dataset contains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.config.extras import install_line, is_installed
from seqrl_cli.console import Console
from seqrl_cli.data.tokens_file import stated_terminal_rewards
from seqrl_cli.envs.registry import needed_extra
from seqrl_cli.reports.dataset_summary import histogram_lines, summarize_dataset, summary_rows
from seqrl_cli.reports.references import is_own_scale, scale_of_scores
from seqrl_cli.runs.store import RunStore

_REPEATED = ("dataset_id", "mean_length", "mean_return", "normalized_score", "spaces")
"""Attributes that lines for a person state already; ``--json`` has them all."""


def show_dataset(store: RunStore, dataset: str, console: Console) -> None:
    """Print a summary of a dataset in the run directory, or of a file.

    Raises:
        SeqrlError: the dataset has not been downloaded, or is damaged.
    """
    ref = locate(store, dataset)
    episodes, stated = ref.inspect(console)
    summary = summarize_dataset(episodes)
    mean_return = summary.returns.mean
    score = None if mean_return is None else ref.own_score(mean_return)
    at_terminals = stated_terminal_rewards(ref.folder.tokens)
    facts = {
        **{"dataset": ref.id, "path": ref.location, **asdict(summary), "score": score},
        **{"attributes": stated, "terminal_rewards": at_terminals},
    }
    console.emit(facts)
    console.show(f"{ref.id}  ({ref.location})")
    scored = {} if score is None else {"score": _score(score, ref, stated)}
    others = {name: value for name, value in stated.items() if name not in _REPEATED}
    shown = {name: f"{value:.10g}" if isinstance(value, float) else value for name, value in others.items()}
    tokens = {} if at_terminals is None else {"rewards at terminals": at_terminals}
    console.show_facts({**dict(summary_rows(summary)), **tokens, **scored, **shown})
    console.show("returns")
    console.show("\n".join(histogram_lines(summary.histogram, summary.edges)))
    env_id = ref.env_id
    extra = needed_extra(env_id) if env_id else None
    if extra and not is_installed(extra):
        console.note(f"planning in {env_id} needs the extra {extra}: {install_line(extra)}")


def _score(percent: float, ref: DatasetRef, stated: Mapping[str, Any]) -> str:
    """The score of the mean return, with its scale, and a caveat for a user's own file, whose rewards are unchecked."""
    scale = scale_of_scores(ref)
    is_own_file = stated.get("source", "file") == "file" and not is_own_scale(ref)
    caveat = "; if the file has the rewards of that environment" if is_own_file else ""
    return f"{percent:.1f} ({scale}{caveat})"
