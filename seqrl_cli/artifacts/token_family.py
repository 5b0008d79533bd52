"""Token models as a family of architectures: their data, their training and their runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.sizes import Sizes
from seqrl_cli.artifacts.token_model import TrainedModel, load_model, make_model, own_tokens
from seqrl_cli.artifacts.tokens import current_tokens, ensure_tokens, tokens_like
from seqrl_cli.artifacts.train_job import OTHER_SIZES_HINT, TrainJob, held_out_generator
from seqrl_cli.artifacts.trained_run import SavedRun
from seqrl_cli.config.model_sections import TokenModelSection
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.data.discretizer import Discretizer, token_dtype
from seqrl_cli.data.space import DiscreteSpace
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.data.windows import Windows, return_weights, split_episodes
from seqrl_cli.models.build import TokenModel
from seqrl_cli.runs.record import RunRecord
from seqrl_cli.training.schedule import paper_schedule, paper_updates, scaled_schedule
from seqrl_cli.training.token_trainer import TokenTrainer, TrainSettings


class TokenFamily:
    """Models of tokens; see :class:`~seqrl_cli.artifacts.families.Family`."""

    def ensure(self, dataset: DatasetRef, config: Config, console: Console) -> TokenizedDataset:
        """See :meth:`Family.ensure`."""
        return ensure_tokens(dataset, config.data, console)

    def current(self, dataset: DatasetRef, config: Config, console: Console) -> TokenizedDataset | None:
        """See :meth:`Family.current`."""
        return current_tokens(dataset, config.data, console.warn)

    def placeholder(
        self, dataset: DatasetRef, config: Config, sizes: Sizes, offsets: np.ndarray
    ) -> TokenizedDataset | None:
        """See :meth:`Family.placeholder`."""
        if sizes.spaces is None or sizes.dims is None:
            return None
        sizes.spaces.require_readable(dataset.id, images=False)
        action = sizes.spaces.action
        bins = config.data.bins
        return TokenizedDataset(
            tokens=np.zeros((offsets[-1], sizes.dims), token_dtype(bins)),
            offsets=offsets,
            returns=np.zeros(len(offsets) - 1),
            discretizer=Discretizer(np.zeros((bins + 1, sizes.dims)), config.data.discretizer),
            observation_dim=sizes.spaces.observation.size,
            action_dim=action.size,
            choices=action.n if isinstance(action, DiscreteSpace) else None,
            discount=config.data.discount,
            termination_penalty=None,
            dataset_id=dataset.id,
            env_id=dataset.spec.env_id,
            observation_slice=dataset.spec.observation_size,
            fingerprint="",
        )

    def facts(self, data: TokenizedDataset | None) -> dict[str, object]:
        """See :meth:`Family.facts`."""
        return {"tokens are there": data is not None}

    def data_bytes(self, config: Config, sizes: Sizes) -> int | None:
        """See :meth:`Family.data_bytes`."""
        return sizes.tokens_bytes(config.data.bins)

    def complete(self, config: Config, data: TokenizedDataset, source: object) -> Config:
        """See :meth:`Family.complete`; ``auto`` becomes the penalty that the tokens have."""
        if config.data.termination_penalty != "auto":
            return config
        known = {"termination_penalty": data.termination_penalty}
        return config.model_copy(update={"data": config.data.model_copy(update=known)})

    def prepare(self, config: Config, data: TokenizedDataset, step_limit: int, device: torch.device) -> TrainJob:
        """See :meth:`Family.prepare`."""
        return _job(make_model(config, data).to(device), config, data, step_limit)

    def data_like(self, base: TrainedModel, dataset: DatasetRef, config: Config) -> TokenizedDataset:
        """See :meth:`Family.data_like`; the tokens are those of the model's own bins."""
        spaces = dataset.load_readable(images=False).spaces
        spaces.require_alike(dataset.id, base.spaces, base.record.name, OTHER_SIZES_HINT)
        return tokens_like(base.tokens, dataset)

    def prepare_from(self, base: TrainedModel, config: Config, data: TokenizedDataset, step_limit: int) -> TrainJob:
        """See :meth:`Family.prepare_from`."""
        return _job(base.model, config, data, step_limit)

    def fine_tuned(self, base: TrainedModel, run: SavedRun, step: int) -> TrainedModel:
        """See :meth:`Family.fine_tuned`."""
        return TrainedModel(base.model, step, own_tokens(run), run.config, run.record)

    def as_run(self, model: TokenModel, data: TokenizedDataset, config: Config, record: RunRecord) -> TrainedModel:
        """See :meth:`Family.as_run`."""
        return TrainedModel(model, 0, data, config, record)

    def load(
        self,
        run: SavedRun,
        device: torch.device,
        checkpoint: int | None,
        on_warning: Callable[[str], None] | None,
    ) -> TrainedModel:
        """See :meth:`Family.load`."""
        return load_model(run, device, checkpoint, on_warning)


def _job(model: TokenModel, config: Config, data: TokenizedDataset, step_limit: int) -> TrainJob:
    """The training of a model on all windows but those of held-out episodes."""
    section = config.model
    assert isinstance(section, TokenModelSection)
    parts = split_episodes(len(data.returns), config.train.validation_share, held_out_generator(config))
    emphasis = config.train.return_emphasis
    weights = return_weights(data.returns[parts[0]], np.diff(data.offsets)[parts[0]], emphasis)
    train, validation = (
        Windows(data.tokens, data.offsets, section.sequence_length, data.bins, step_limit, episodes, chosen)
        for episodes, chosen in zip(parts, (weights, None), strict=True)
    )
    settings = train_settings(config, len(train), train.block_size)
    return TrainJob(model, train, validation, settings, TokenTrainer, data)


def train_settings(config: Config, windows: int, block_size: int) -> TrainSettings:
    """The loop's settings: the paper's number of updates and schedule, or a given number and one scaled to it.

    Args:
        config: the resolved configuration.
        windows: number of training windows. The papers hold nothing out and count all windows; here those of held-out
            episodes do not count, so that warm-up and decay last as many epochs as in the papers.
        block_size: targets per window.
    """
    train = config.train
    updates = train.updates or paper_updates(windows, train.batch_size, train.n_epochs_ref)
    if train.updates is None and train.schedule != "linear":
        schedule = paper_schedule(train.schedule, windows, block_size)
    else:
        schedule = scaled_schedule(train.schedule, updates, train.batch_size, block_size)
    return TrainSettings(
        updates=updates,
        schedule=schedule,
        seed=config.seed,
        batch_size=train.batch_size,
        learning_rate=train.learning_rate,
        optimizer=train.optimizer,
        matrix_rate=train.matrix_rate,
        betas=(train.beta1, train.beta2),
        weight_decay=train.weight_decay,
        grad_clip=train.grad_clip,
        action_weight=train.action_weight,
        reward_weight=train.reward_weight,
        value_weight=train.value_weight,
        precision=train.precision,
        compile=train.compile,
        log_every=train.log_every,
        checkpoint_every=train.checkpoint_every,
        keep_checkpoints=train.keep_checkpoints,
    )
