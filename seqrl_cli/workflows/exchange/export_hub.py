"""``seqrl export RUN --format hub``: a folder to share, that plays wherever seqrl is installed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from seqrl_cli.artifacts.adapter_file import tensors_hash
from seqrl_cli.artifacts.families import load_merged
from seqrl_cli.artifacts.locate import find_stored
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.artifacts.train_job import count_parameters
from seqrl_cli.artifacts.trained_run import SavedRun, TrainedRun, warn_unfinished
from seqrl_cli.config.finetune import FinetuneConfig
from seqrl_cli.config.owners import has_key
from seqrl_cli.config.presets import dump_config
from seqrl_cli.config.schema import Config
from seqrl_cli.config.value_text import value_text
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import scores_of_environment
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import make_folder, write_text_atomic, writing
from seqrl_cli.interop.hub_folder import (
    CARD_FILE,
    CONFIG_FILE,
    RUN_CONFIG_FILE,
    WEIGHTS_FILE,
    is_hub_folder,
    is_unfinished_hub_folder,
    read_hub_folder,
    tokens_facts,
    write_hub_folder,
)
from seqrl_cli.interop.hub_transfer import push_folder, repository_name
from seqrl_cli.planning.episode_files import EpisodeFile, episode_paths, read_episode
from seqrl_cli.reports.model_card import CardFacts, model_card
from seqrl_cli.reports.results import read_result
from seqrl_cli.reports.table.build import build_table
from seqrl_cli.reports.table.text import to_rows
from seqrl_cli.runs.store import RunStore

FORMAT = "hub"


@dataclass(frozen=True)
class HubExportRequest:
    """Options of ``seqrl export RUN --format hub``.

    Attributes:
        store: the run directory.
        run: a run's path or name, or a dataset; None = the latest run.
        output: folder to write; None = one in the run's folder.
        checkpoint: updates of the checkpoint; None = the newest.
        push: repository on the hub to upload the folder to, ``user/name``; None = none.
        force: replace an existing export.
    """

    store: RunStore
    run: str | None
    output: Path | None = None
    checkpoint: int | None = None
    push: str | None = None
    force: bool = False


@dataclass(frozen=True)
class HubExportReport:
    """Result of an export for the hub: the folder, and where it was pushed to."""

    folder: str
    weights: str
    fresh: bool
    pushed: str | None = None

    def text(self) -> str:
        """The folder, and the address that ``seqrl import`` takes."""
        return self.folder if self.pushed is None else f"{self.folder}\nseqrl import {self.pushed}"


@dataclass(frozen=True)
class _Shared:
    """A run with everything that is written of it."""

    saved: SavedRun
    trained: TrainedRun
    config: Config
    references: tuple[float, float] | None
    folder: Path

    @property
    def report(self) -> HubExportReport:
        return HubExportReport(str(self.folder), str(self.folder / WEIGHTS_FILE), fresh=False)


def run(request: HubExportRequest, console: Console) -> HubExportReport:
    """Write the folder, with a model card of the results, and push it if that is asked for.

    Raises:
        SeqrlError: there is no such run, the folder contains something else, or the hub refuses.
    """
    shared = _load(request, console)
    report = shared.report
    if (shared.folder / CONFIG_FILE).exists() and not request.force:
        console.note(f"{shared.folder} already exists; --force writes it again")
    else:
        _write(shared)
        report = replace(report, fresh=True)
    if request.push is None:
        return report
    console.note(f"pushing {shared.folder} to {request.push}")
    message = f"{shared.saved.record.name}, update {shared.trained.step:,}"
    return replace(report, pushed=push_folder(shared.folder, request.push, message))


def dry_run(request: HubExportRequest, console: Console) -> None:
    """Print where the export would go.

    Raises:
        SeqrlError: as :func:`run` before it writes.
    """
    report = _load(request, console).report
    console.show(report.text())
    console.emit(asdict(report))


def _load(request: HubExportRequest, console: Console) -> _Shared:
    """Load the run; an adapter becomes part of the model.

    Raises:
        SeqrlError: there is no such run, or the folder contains something else, or other weights.
    """
    if request.push is not None:
        repository_name(request.push)
    saved = SavedRun.read(request.store.find(request.run, console.warn))
    trained = load_merged(saved, torch.device("cpu"), request.checkpoint, console.warn)
    if request.checkpoint is None:
        warn_unfinished(saved.folder, saved.record, trained.step, console.warn)
    folder = request.output or saved.folder.path / FORMAT
    if folder.exists() and not is_hub_folder(folder) and not is_unfinished_hub_folder(folder):
        raise SeqrlError(f"{folder} exists and contains something else", "choose another folder with -o")
    config = saved.config.model_copy(update={"finetune": FinetuneConfig()})
    shared = _Shared(saved, trained, config, _references(request.store, saved), folder)
    if (folder / CONFIG_FILE).exists() and not request.force:
        _refuse_other_weights(shared)
    return shared


def _refuse_other_weights(shared: _Shared) -> None:
    """Stop at a folder that was written of another checkpoint.

    Raises:
        SeqrlError: names both; or the folder is damaged.
    """
    found = read_hub_folder(shared.folder)
    if tensors_hash(found.weights) != tensors_hash(shared.trained.model.state_dict()):
        wanted = f"update {shared.trained.step:,} of {shared.saved.folder.path}"
        message = f"{shared.folder} holds the weights of update {found.run.step:,}, which are not those of {wanted}"
        raise SeqrlError(message, "--force writes it again; -o writes another folder")


def _references(store: RunStore, saved: SavedRun) -> tuple[float, float] | None:
    """The returns that score 0 and 100, where they are not those of the environment."""
    dataset = find_stored(store, saved.record.dataset)
    found = dataset.reference_scores if dataset is not None and len(dataset.datasets) == 1 else None
    return None if found == scores_of_environment(saved.record.env_id) else found


def _write(shared: _Shared) -> None:
    """Write the card and the configuration, then weights and, last, their description."""
    record, trained = shared.saved.record, shared.trained
    low, high = shared.references or (None, None)
    tokens = trained.tokens if isinstance(trained, TrainedModel) else None
    facts: dict[str, Any] = {
        **{
            key: getattr(record, key)
            for key in ("name", "arch", "datasets", "suite", "env_id", "seed", "return_range", "parent")
        },
        **{"tasks": record.tasks, "tokens_fingerprint": record.tokens_fingerprint},
        "parameters": count_parameters(trained.model),
        "step": trained.step,
        "reference_min": low,
        "reference_max": high,
        "tokens": tokens_facts(tokens) if tokens else None,
        "config": shared.config.model_dump(mode="json"),
    }
    edges = tokens.discretizer.edges if tokens else None
    with writing(shared.folder):
        (make_folder(shared.folder) / CONFIG_FILE).unlink(missing_ok=True)  # without it, a folder is no export
        shutil.rmtree(shared.folder / ".cache", ignore_errors=True)  # what huggingface_hub keeps there
    write_text_atomic(shared.folder / RUN_CONFIG_FILE, dump_config(shared.config))
    write_text_atomic(shared.folder / CARD_FILE, model_card(_card(shared)))
    write_hub_folder(shared.folder, facts, trained.model.state_dict(), edges)


def _card(shared: _Shared) -> CardFacts:
    """What the card says: results are those of this checkpoint."""
    record, saved = shared.saved.record, shared.saved
    played = [read_episode(path) for path in episode_paths(saved.folder.plans, below=True)]
    played = [episode for episode in played if episode.plan.checkpoint_step == shared.trained.step]
    rows = to_rows(build_table([read_result(episode.path) for episode in played], by="run")) if played else []
    return CardFacts(
        name=record.name,
        arch=record.arch,
        dataset=record.dataset,
        env_id=record.env_id,
        step=shared.trained.step,
        parameters=record.parameters,
        seed=record.seed,
        versions=record.versions,
        rows=[row for row in rows if row["kind"] == "result"],
        plans=_plans(played, shared.config, has_tasks=len(record.tasks) > 1),
        task=record.tasks[0].env_id if len(record.tasks) > 1 else None,
    )


def _plans(played: Sequence[EpisodeFile], config: Config, *, has_tasks: bool) -> list[list[str]]:
    """The words that repeat each plan: its seed, its episodes, and settings that are not those of the configuration."""
    counts = Counter(episode.path.parent for episode in played)
    plans = {episode.path.parent: episode.plan for episode in played}
    return [
        [
            *_settings({**plan.settings, "episodes": counts[folder]}, config),
            *([f"--tasks={plan.env_id}"] if has_tasks else []),
            *([f"--seed={plan.seed}"] if plan.seed else []),
        ]
        for folder, plan in plans.items()
    ]


def _settings(settings: Mapping[str, Any], config: Config) -> list[str]:
    """Those that are not in the configuration, and that a command line may have; a ``mddt`` infers its target."""
    own = config.plan.model_dump(mode="json")
    changed = {f"plan.{key}": value for key, value in settings.items() if own.get(key) != value}
    return [f"{key}={value_text(value)}" for key, value in changed.items() if has_key(config.model.arch, key)]
