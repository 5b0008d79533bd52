"""``seqrl train --seeds``: a sweep over seeds alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqrl_cli.cli.session import print_report

if TYPE_CHECKING:
    from seqrl_cli.config.grid import Grid
    from seqrl_cli.console import Console
    from seqrl_cli.runs.store import RunStore
    from seqrl_cli.workflows.sweep.followers import Followers


@dataclass(frozen=True)
class SeveralSeeds:
    """The options of ``train`` that matter to a sweep."""

    grid: Grid
    name: str | None
    jobs: int
    threads: int | None
    device: str
    mirrors: str
    offline: bool
    followers: Followers


def seeds_grid(
    dataset: str,
    given: Mapping[str, Any],
    seeds: str,
    size: str | None,
    preset: str | None,
    config_file: Path | None,
) -> Grid:
    """The grid of one configuration and several seeds.

    Raises:
        UsageError: the text is no seeds.
    """
    from seqrl_cli.config.grid import Grid, parse_seeds
    from seqrl_cli.config.value_text import value_text

    texts = {key: (value_text(value),) for key, value in given.items() if key not in ("seed", "model.arch")}
    archs = (given["model.arch"],) if "model.arch" in given else ()
    file = str(config_file.resolve()) if config_file else None
    return Grid((dataset,), archs, parse_seeds(seeds), texts, size=size, preset=preset, config_file=file)


def train_several(store: RunStore, several: SeveralSeeds, console: Console, dry_run: bool) -> None:
    """Train one run per seed, or print what that would do."""
    from seqrl_cli.cli.sweep import confirm_many, network_words
    from seqrl_cli.launch.cores import available_cores
    from seqrl_cli.workflows.sweep import run as workflow

    confirm_many(several.grid.count, yes=dry_run)
    request = workflow.SweepRequest(
        store,
        several.grid,
        name=several.name,
        jobs=several.jobs,
        threads=several.threads,
        cores=available_cores(),
        device=several.device,
        network=network_words(several.mirrors, several.offline),
        followers=several.followers,
    )
    if dry_run:
        workflow.dry_run(request, console)
    else:
        print_report(console, workflow.run(request, console))
