"""Training of a token model: updates, validation, and the state of both in checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seqrl_cli.data.windows import Windows
from seqrl_cli.files.json_fields import count_field
from seqrl_cli.models.build import TokenModel, device_of
from seqrl_cli.models.loss import target_weights, token_loss
from seqrl_cli.training.acceleration import autocast, compiled, resolve_precision
from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.meters import MetricAccumulator
from seqrl_cli.training.optimizer import (
    load_optimizer_tensors,
    make_muon,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
    trainable_parameters,
)
from seqrl_cli.training.restoring import require_optimizer, restore_weights, saved_precision, warn_of_threads
from seqrl_cli.training.rng import generator_states, restore_generators
from seqrl_cli.training.sampler import Sampler
from seqrl_cli.training.schedule import Schedule
from seqrl_cli.training.world import ALONE, Pass, World


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Attributes:
        updates: updates of the whole run, including those before a resume.
        schedule: schedule of the learning rate.
        seed: seed of shuffling, dropout and the choice of validation windows; not of the initial weights.
        batch_size: windows per update.
        learning_rate: learning rate before the schedule.
        optimizer: ``adamw``, or ``muon`` for the matrices of linear layers with AdamW for all else.
        matrix_rate: Muon's learning rate before the schedule.
        betas: AdamW's moment decays.
        weight_decay: weight decay of the matrices of linear layers and heads.
        grad_clip: largest norm of all gradients together.
        action_weight: weight of action tokens in the loss; observation tokens have 1.
        reward_weight: weight of reward tokens in the loss.
        value_weight: weight of value tokens in the loss.
        precision: ``auto`` means bf16 where it is faster.
        compile: whether to compile the model with ``torch.compile``.
        log_every: updates between log steps.
        checkpoint_every: updates between checkpoints; each follows a validation.
        keep_checkpoints: newest checkpoints to keep.
        validation_windows: most held-out windows to validate on.
    """

    updates: int
    schedule: Schedule
    seed: int
    batch_size: int = 64
    learning_rate: float = 6e-4
    optimizer: Literal["adamw", "muon"] = "adamw"
    matrix_rate: float = 0.03
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    action_weight: float = 5.0
    reward_weight: float = 1.0
    value_weight: float = 1.0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    compile: bool = False
    log_every: int = 100
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3
    validation_windows: int = 512


class TokenTrainer:
    """Trains a token model: optimizer, schedule, sampler and counters.

    Frozen parameters stay as they are; ``trainable_parameters`` has the others by name.

    Dropout draws from PyTorch's global generators, which the constructor seeds: use it inside ``preserve_rng_state``.

    Args:
        model: the model, on its device; trained in place.
        train: windows to train on, at least one.
        validation: held-out windows, possibly none.
        settings: how to train.
        world: the processes that train it together.
    """

    def __init__(
        self, model: TokenModel, train: Windows, validation: Windows, settings: TrainSettings, world: World = ALONE
    ) -> None:
        order_seed, dropout_seed, validation_seed = np.random.SeedSequence(settings.seed).spawn(3)
        self.model = model
        self.train = train
        self.validation = validation
        self.settings = settings
        self.world = world
        self.step = 0
        self.device = device_of(model)
        self.precision = resolve_precision(settings.precision, self.device)
        self.sampler = Sampler(len(train), settings.batch_size, np.random.default_rng(order_seed))
        torch.manual_seed(int(dropout_seed.generate_state(1)[0]))

        chosen = min(settings.validation_windows, len(validation))
        self._validated = np.random.default_rng(validation_seed).choice(len(validation), chosen, replace=False)
        self.trainable_parameters = trainable_parameters(model)
        self._optimizer = _optimizer(model, settings)
        self._forward = compiled(model) if settings.compile else model
        self.world.prepare(model, uses_all=True)
        self._weights = target_weights(
            train.block_size,
            model.observation_dim,
            model.action_dim,
            action_weight=settings.action_weight,
            reward_weight=settings.reward_weight,
            value_weight=settings.value_weight,
        ).to(self.device)
        self._counted_tokens = 0  # targets without stop tokens, for the schedule
        self._learning_rate = 0.0
        self._metrics = MetricAccumulator(settings.learning_rate)

    def update(self) -> None:
        """Make one optimizer step on the next batch."""
        windows = self.next_windows()
        self.model.train()
        measures = self.world.accumulate(lambda shard: self.passes(windows, shard), ["loss"])
        self.apply_gradients()
        self._metrics.note(measures)
        self.step += 1

    def next_windows(self) -> NDArray[np.int64]:
        """The (batch,) windows of the next update, those of all processes; counts their targets."""
        windows = self.sampler.next_batch()
        self._counted_tokens += self.train.real_targets(windows)
        self._metrics.count(len(windows) * self.train.block_size)
        return windows

    def passes(self, windows: NDArray[np.int64], shard: int) -> list[Pass]:
        """The forward pass of one shard of a batch; none if the batch is too small for it."""
        own = self.world.shards.part(windows, shard)
        if not len(own):
            return []
        self.world.seed(self.settings.seed, self.step, shard)
        return [lambda: {"loss": self.loss(*self.train.batch(own)) * (len(own) / len(windows))}]

    def loss(self, inputs: NDArray[np.int64], targets: NDArray[np.int64], mask: NDArray[np.bool_]) -> Tensor:
        """Loss of one batch, each array (batch, time)."""
        tokens, expected, counts = (torch.from_numpy(array).to(self.device) for array in (inputs, targets, mask))
        with autocast(self.precision, self.device):
            return token_loss(self._forward(tokens), expected, counts, self._weights)

    def apply_gradients(self) -> None:
        """Clip the gradients, step the optimizer at the schedule's rate, and clear them."""
        # the original sets the rate after the step, so that its first step has the full rate
        self._learning_rate = self.settings.learning_rate * self.settings.schedule.multiplier(self._counted_tokens)
        set_learning_rate(self._optimizer, self._learning_rate)
        nn.utils.clip_grad_norm_(self.trainable_parameters.values(), self.settings.grad_clip)
        self._optimizer.step()
        self._optimizer.zero_grad()

    @torch.no_grad()
    def validation_loss(self) -> float | None:
        """Mean loss on the chosen held-out windows, without dropout; None if nothing is held out."""
        if not len(self._validated):
            return None
        self.model.eval()
        total = 0.0
        for start in range(0, len(self._validated), self.settings.batch_size):
            windows = self._validated[start : start + self.settings.batch_size]
            total += self.loss(*self.validation.batch(windows)).item() * len(windows)
        return total / len(self._validated)

    def measure(self, *, validate: bool) -> dict[str, float | None]:
        """The numbers of the log step at this update; starts the next interval.

        Args:
            validate: whether to compute the validation loss.

        Raises:
            SeqrlError: a loss since the last log step was not finite.
        """
        self.read_losses()
        validation_loss = self.validation_loss() if validate else None
        interval = self._metrics.close()
        return {
            "epoch": self.sampler.epoch + self.sampler.epoch_fraction,
            "loss": interval.means["loss"],
            "validation_loss": validation_loss,
            "learning_rate": self._learning_rate,
            "tokens_per_second": interval.targets_per_second,
            "elapsed": interval.elapsed,
        }

    def read_losses(self) -> None:
        """Read the losses of the updates made so far from the device.

        Raises:
            SeqrlError: one of them is not finite.
        """
        self._metrics.read(self.step)

    def checkpoint(self) -> Checkpoint:
        """Everything that ``restore`` needs.

        Raises:
            SeqrlError: a loss since the last log step was not finite.
        """
        self.read_losses()
        state: dict[str, Any] = {
            "counted_tokens": self._counted_tokens,
            "optimizer": self.settings.optimizer,
            "losses": self._metrics.measures.get("loss", []),
            "elapsed": self._metrics.elapsed,
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "sampler": self.sampler.state(),
            "generators": generator_states(self.device),
        }
        moments = optimizer_tensors(self._optimizer, self.trainable_parameters)
        return Checkpoint(self.step, self.model.state_dict(), moments, state)

    def restore(self, checkpoint: Checkpoint, on_warning: Callable[[str], None] | None = None) -> None:
        """Resume from a checkpoint.

        Args:
            checkpoint: a checkpoint of the same model, data and settings.
            on_warning: called when the number of threads has changed.

        Raises:
            SeqrlError: the checkpoint belongs to another model or other data.
        """
        state = checkpoint.state
        self.sampler.restore(state["sampler"])
        require_optimizer(self.settings.optimizer, checkpoint, unnamed="adamw")
        restore_weights(self.model, checkpoint)
        load_optimizer_tensors(self._optimizer, self.trainable_parameters, checkpoint.optimizer)
        restore_generators(state["generators"], self.device)
        self.step = checkpoint.step
        self._counted_tokens = count_field(state, "counted_tokens")
        self._metrics.restore({"loss": state["losses"]} if state["losses"] else {}, state["elapsed"])
        if self.settings.precision == "auto":
            self.precision = saved_precision(state)
        warn_of_threads(state["threads"], on_warning)


def _optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimizer that the settings name."""
    others = (settings.learning_rate, settings.betas, settings.weight_decay)
    if settings.optimizer == "muon":
        return make_muon(model, settings.matrix_rate, *others)
    return make_optimizer(model, *others)
