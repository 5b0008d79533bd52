"""The environment in which a run plays."""

from __future__ import annotations

from seqrl_cli.artifacts.locate import held, locate
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
    dataset = held(store, record.dataset)
    if dataset is None and record.env_id is not None:
        return record.env_id, scores_of_environment(record.env_id)
    dataset = dataset or locate(store, record.dataset)
    return dataset.environment(), dataset.reference_scores


def observation_size_of_run(store: RunStore, trained: TrainedModel | TrainedPolicy) -> int | None:
    """Dimensions of an observation that the run's data keep, from its tokens or its dataset; None for all."""
    if isinstance(trained, TrainedModel):
        return trained.tokens.observation_slice
    name = trained.record.dataset
    known = next((spec.observation_size for spec in list_datasets() if spec.id == name), None)
    dataset = held(store, name)
    return dataset.observation_size if dataset else known
