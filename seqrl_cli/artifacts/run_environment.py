"""The environment that a run is evaluated in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqrl_cli.artifacts.locate import find_stored, locate
from seqrl_cli.artifacts.trained_run import TrainedRun
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.data.catalogue import list_datasets, scores_of_environment
from seqrl_cli.envs.trust import accept
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.runs.record import RunRecord
from seqrl_cli.runs.store import RunStore


def environment_of_run(
    store: RunStore, record: RunRecord, data: DataConfig | None = None
) -> tuple[str, tuple[float, float] | None]:
    """Environment and reference scores from the dataset, or from the run itself if the dataset no longer exists.

    Args:
        store: the run directory.
        record: the run's record.
        data: the section ``data`` of the run's configuration, which may state the returns that score 0 and 100.

    Raises:
        SeqrlError: neither names an environment.
    """
    dataset = find_stored(store, record.dataset)
    if dataset is None and record.env_id is not None:
        low, high = (data.reference_min, data.reference_max) if data else (None, None)
        own = None if low is None or high is None else (low, high)
        return record.env_id, own or scores_of_environment(record.env_id)
    dataset = dataset or locate(store, record.dataset)
    return dataset.environment(), dataset.reference_scores


def accept_named(overrides: Mapping[str, Any], record: RunRecord, store: RunStore) -> Mapping[str, Any]:
    """Trust a run's environment if the user names it, as ``data.env_id``; returns the other overrides.

    Raises:
        UsageError: another environment was named.
        SeqrlError: the run does not state an environment.
    """
    named = overrides.get("data.env_id")
    if named is None:
        return overrides
    dataset = find_stored(store, record.dataset)
    if dataset is not None and dataset.env_id is None:
        hint = f"only download adds it to the dataset: seqrl download {dataset.id} data.env_id={named}"
        raise SeqrlError(f"{dataset.id} does not state which environment it is from", hint)
    env_id, _ = environment_of_run(store, record)
    if named != env_id:
        raise UsageError(f"{record.dataset} is data of {env_id}, not of {named}", "leave data.env_id out")
    accept(env_id, [Path.cwd()])
    return {key: value for key, value in overrides.items() if key != "data.env_id"}


def observation_size_of_run(store: RunStore, trained: TrainedRun) -> int | None:
    """Dimensions of an observation that the run's data keep, from its tokens or its dataset; None for all."""
    return trained.observation_size(lambda: _observation_size_of_dataset(store, trained.record))


def _observation_size_of_dataset(store: RunStore, record: RunRecord) -> int | None:
    dataset = find_stored(store, record.dataset)
    if dataset is not None:
        return dataset.observation_size
    named = [spec for spec in list_datasets() if spec.id == record.dataset or spec.env_id == (record.env_id or "")]
    return next((spec.observation_size for spec in sorted(named, key=lambda spec: spec.id != record.dataset)), None)
