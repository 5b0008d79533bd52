"""Where a trained run plays: its environment, the reference scores, and what is kept of an observation."""

from __future__ import annotations

from seqrl_cli.artifacts.locate import locate
from seqrl_cli.artifacts.trained_run import TrainedRun
from seqrl_cli.data.catalogue import list_datasets, scores_of_environment
from seqrl_cli.runs.record import RunRecord
from seqrl_cli.runs.store import RunStore


def environment_of_run(store: RunStore, record: RunRecord) -> tuple[str, tuple[float, float] | None]:
    """Environment and reference scores, by the dataset; where it is gone, by the run's own record.

    Raises:
        SeqrlError: neither says which environment to plan in.
    """
    if store.dataset(record.dataset).dataset.exists() or record.env_id is None:
        located = locate(store, record.dataset)
        return located.environment(), located.reference_scores
    return record.env_id, scores_of_environment(record.env_id)


def observation_size_of_run(store: RunStore, trained: TrainedRun) -> int | None:
    """How many dimensions of an observation the run's data keep; None for all."""
    return trained.observation_size(lambda: _observation_size_of_dataset(store, trained.record.dataset))


def _observation_size_of_dataset(store: RunStore, dataset: str) -> int | None:
    if store.dataset(dataset).dataset.exists():
        return locate(store, dataset).spec.observation_size
    return next((spec.observation_size for spec in list_datasets() if spec.id == dataset), None)
