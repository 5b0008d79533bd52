"""The environment in which a run plays."""

from __future__ import annotations

from seqrl_cli.artifacts.locate import locate
from seqrl_cli.artifacts.policy import TrainedPolicy
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.data.catalogue import list_datasets, scores_of_environment
from seqrl_cli.runs.record import RunRecord
from seqrl_cli.runs.store import RunStore


def environment_of_run(store: RunStore, record: RunRecord) -> tuple[str, tuple[float, float] | None]:
    """Environment and reference scores from the dataset; where it no longer exists, from the run's record.

    Raises:
        SeqrlError: neither names an environment.
    """
    if store.dataset(record.dataset).dataset.exists() or record.env_id is None:
        located = locate(store, record.dataset)
        return located.environment(), located.reference_scores
    return record.env_id, scores_of_environment(record.env_id)


def observation_size_of_run(store: RunStore, trained: TrainedModel | TrainedPolicy) -> int | None:
    """Dimensions of an observation that the run's data keep, from its tokens or its dataset; None for all."""
    if isinstance(trained, TrainedModel):
        return trained.tokens.observation_slice
    dataset = trained.record.dataset
    known = next((spec.observation_size for spec in list_datasets() if spec.id == dataset), None)
    return locate(store, dataset).spec.observation_size if store.dataset(dataset).dataset.exists() else known
