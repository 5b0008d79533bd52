"""Makes the tokens and the configuration of a run from another project's checkpoint and a dataset."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.config.model_sections import TokenModelSection
from seqrl_cli.config.presets import resolve_config
from seqrl_cli.config.schema import Config
from seqrl_cli.data.discretizer import Discretizer, token_dtype
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.data.targets import transition_columns
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.interop.checkpoint import ForeignCheckpoint


def convert_tokens(checkpoint: ForeignCheckpoint, dataset: DatasetRef) -> TokenizedDataset:
    """The model's bins, as a tokenized dataset without transitions.

    Raises:
        SeqrlError: the bins depend on the dataset, which is missing or of another environment.
    """
    discretizer = checkpoint.discretizer or _fit_discretizer(checkpoint, dataset)
    sizes = (checkpoint.observation_dim, checkpoint.action_dim, checkpoint.bins)
    digest = hashlib.sha256(f"{sizes} {discretizer.strategy}".encode() + discretizer.edges.tobytes())
    return TokenizedDataset(
        tokens=np.empty((0, checkpoint.transition_dim), token_dtype(checkpoint.bins)),
        offsets=np.zeros(1, np.int64),
        returns=np.empty(0),
        discretizer=discretizer,
        observation_dim=checkpoint.observation_dim,
        action_dim=checkpoint.action_dim,
        discount=checkpoint.discount,
        termination_penalty=checkpoint.termination_penalty,
        dataset_id=dataset.id,
        env_id=dataset.env_id,
        observation_slice=dataset.observation_slice,
        fingerprint=digest.hexdigest(),
    )


def _fit_discretizer(checkpoint: ForeignCheckpoint, dataset: DatasetRef) -> Discretizer:
    """Fit bins to the dataset, as the Trajectory Transformer does each time it loads a model."""
    folder = checkpoint.weights.parent
    if not dataset.exists:
        message = f"{folder} contains no bin edges, and {dataset.id}, from which they are computed, is missing"
        raise SeqrlError(message, f"seqrl download {dataset.id}; or name another dataset with --dataset")
    episodes = _without_last_row(dataset.load_readable(images=False))
    expected = Spaces.of_vectors(checkpoint.observation_dim, checkpoint.action_dim)
    hint = "name a dataset of the model's environment with --dataset"
    expected.require_fit(str(folder), episodes.spaces, dataset.id, hint)
    columns = transition_columns(episodes, checkpoint.discount, checkpoint.termination_penalty)
    return Discretizer.fit_columns(columns, checkpoint.bins, "quantile")


def _without_last_row(episodes: Episodes) -> Episodes:
    """The dataset without its last row, which the Trajectory Transformer drops."""
    rows = slice(0, episodes.transitions - 1)
    return Episodes.from_flags(
        episodes.observations[rows],
        episodes.actions[rows],
        episodes.rewards[rows],
        episodes.terminals[rows],
        episodes.timeouts[rows],
    )


def convert_config(checkpoint: ForeignCheckpoint, dataset: DatasetRef, path: Path) -> Config:
    """The dataset's preset, overridden by the folder's settings.

    Args:
        checkpoint: content of the folder.
        dataset: the dataset that the run is for.
        path: the folder, for errors.

    Raises:
        SeqrlError: the folder has a setting that seqrl does not support.
    """
    values = {f"model.{key}": value for key, value in checkpoint.model.items()}
    values |= {f"plan.{key}": value for key, value in checkpoint.plan.items()}
    values |= {
        "data.bins": checkpoint.bins,
        "data.discretizer": "quantile" if checkpoint.discretizer is None else checkpoint.discretizer.strategy,
        "data.discount": checkpoint.discount,
        "data.termination_penalty": checkpoint.termination_penalty,
    }
    try:
        config = resolve_config(dataset.id, size="paper", overrides=values)
        assert isinstance(config.model, TokenModelSection)
        context = min(config.plan.max_context_transitions, config.model.sequence_length)
        return resolve_config(dataset.id, size="paper", overrides={**values, "plan.max_context_transitions": context})
    except UsageError as error:
        raise SeqrlError(
            f"{path} has settings that seqrl does not support: {error.message}", "check the folder"
        ) from error
