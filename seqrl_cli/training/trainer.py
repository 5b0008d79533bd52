"""One training run in memory: an update, a validation, and all of its state in and out of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seqrl_cli.data.windows import Windows
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.build import TokenModel, device_of
from seqrl_cli.models.loss import target_weights, token_loss
from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.compile import compiled
from seqrl_cli.training.meters import MetricAccumulator
from seqrl_cli.training.optimizer import (
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
    trainable_parameters,
)
from seqrl_cli.training.precision import autocast, resolve_precision
from seqrl_cli.training.rng import generator_states, restore_generators
from seqrl_cli.training.sampler import Sampler
from seqrl_cli.training.settings import TrainSettings

Batch = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


class Trainer:
    """A model, its optimizer, its place in the data, and its counters.

    Frozen parameters are left alone: ``trainable_parameters`` are those that learn, by name.

    Dropout draws from PyTorch's global generators; they are seeded here, so construct inside ``own_generators``.

    Args:
        model: on its device; trained in place.
        train: windows to train on, at least one.
        validation: held-out windows, possibly none.
        settings: how to train.
    """

    def __init__(self, model: TokenModel, train: Windows, validation: Windows, settings: TrainSettings) -> None:
        order_seed, dropout_seed, validation_seed = np.random.SeedSequence(settings.seed).spawn(3)
        self.model = model
        self.train = train
        self.validation = validation
        self.settings = settings
        self.step = 0
        self.device = device_of(model)
        self.precision = resolve_precision(settings.precision, self.device)
        self.sampler = Sampler(len(train), settings.batch_size, np.random.default_rng(order_seed))
        torch.manual_seed(int(dropout_seed.generate_state(1)[0]))

        chosen = min(settings.validation_windows, len(validation))
        self._validated = np.random.default_rng(validation_seed).choice(len(validation), chosen, replace=False)
        self.trainable_parameters = trainable_parameters(model)
        self._optimizer = make_optimizer(model, settings.learning_rate, settings.betas, settings.weight_decay)
        self._forward = compiled(model) if settings.compile else model
        self._weights = target_weights(
            train.block_size,
            model.observation_dim,
            model.action_dim,
            action_weight=settings.action_weight,
            reward_weight=settings.reward_weight,
            value_weight=settings.value_weight,
        ).to(self.device)
        self._counted_tokens = 0  # targets that the schedule counts
        self._learning_rate = 0.0
        self._metrics = MetricAccumulator(settings.learning_rate)

    def update(self) -> None:
        """One step of the optimizer on the next batch."""
        batch = self.next_batch()
        self.model.train()
        loss = self.loss(*batch)
        torch.autograd.backward(loss)
        self.apply_gradients()
        self._metrics.note({"loss": loss.detach()})
        self.step += 1

    def next_batch(self) -> Batch:
        """Inputs, targets and mask of the next update, counted for the schedule and the rate."""
        inputs, targets, mask = self.train.batch(self.sampler.next_batch())
        self._counted_tokens += int(np.count_nonzero(targets != self.train.bins))
        self._metrics.count(targets.size)
        return inputs, targets, mask

    def loss(self, inputs: NDArray[np.int64], targets: NDArray[np.int64], mask: NDArray[np.bool_]) -> Tensor:
        """Loss of one batch, each array (batch, time)."""
        tokens, expected, counts = (torch.from_numpy(array).to(self.device) for array in (inputs, targets, mask))
        with autocast(self.precision, self.device):
            return token_loss(self._forward(tokens), expected, counts, self._weights)

    def apply_gradients(self) -> None:
        """Clip the gradients, step the optimizer at the schedule's rate, and clear them."""
        # the original sets the rate after the step, so that its very first step runs at the full rate; ours does not
        self._learning_rate = self.settings.learning_rate * self.settings.schedule.multiplier(self._counted_tokens)
        set_learning_rate(self._optimizer, self._learning_rate)
        nn.utils.clip_grad_norm_(self.trainable_parameters.values(), self.settings.grad_clip)
        self._optimizer.step()
        self._optimizer.zero_grad()

    @torch.no_grad()
    def validation_loss(self) -> float | None:
        """Mean loss on the chosen held-out windows, without dropout; None when nothing is held out."""
        if not len(self._validated):
            return None
        self.model.eval()
        total = 0.0
        for start in range(0, len(self._validated), self.settings.batch_size):
            windows = self._validated[start : start + self.settings.batch_size]
            total += self.loss(*self.validation.batch(windows)).item() * len(windows)
        return total / len(self._validated)

    def measure(self, *, validate: bool) -> dict[str, float | None]:
        """The numbers of the log step at this update; begins the next interval of mean loss and rate.

        Args:
            validate: whether to take the validation loss.

        Raises:
            SeqrlError: a loss since the last log step was not finite.
        """
        self.read_losses()
        validation_loss = self.validation_loss() if validate else None
        interval = self._metrics.close()
        return {
            "epoch": self.sampler.epoch + self.sampler.epoch_share,
            "loss": interval.means["loss"],
            "validation_loss": validation_loss,
            "learning_rate": self._learning_rate,
            "tokens_per_second": interval.targets_per_second,
            "elapsed": interval.elapsed,
        }

    def read_losses(self) -> None:
        """Take the losses of the latest updates from the device.

        Raises:
            SeqrlError: one of them is not finite.
        """
        self._metrics.read(self.step)

    def checkpoint(self) -> Checkpoint:
        """All that ``restore`` needs.

        Raises:
            SeqrlError: a loss since the last log step was not finite, so that the weights are worth nothing.
        """
        self.read_losses()
        state: dict[str, Any] = {
            "counted_tokens": self._counted_tokens,
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
        """Go on from a checkpoint.

        Args:
            checkpoint: of the same model, data and settings.
            on_warning: told when the number of threads has changed.

        Raises:
            SeqrlError: the checkpoint is of another model or other data.
        """
        state = checkpoint.state
        self.sampler.restore(state["sampler"])
        try:
            self.model.load_state_dict(checkpoint.model)
        except RuntimeError as error:
            hint = "use the run's own settings, or start again with --force"
            raise SeqrlError(f"the checkpoint of step {checkpoint.step} is of another model", hint) from error
        load_optimizer_tensors(self._optimizer, self.trainable_parameters, checkpoint.optimizer)
        restore_generators(state["generators"], self.device)
        self.step = checkpoint.step
        self._counted_tokens = state["counted_tokens"]
        self._metrics.restore({"loss": state["losses"]} if state["losses"] else {}, state["elapsed"])
        if self.settings.precision == "auto":
            self.precision = state["precision"]
        threads = torch.get_num_threads()
        if on_warning and state["threads"] != threads:
            on_warning(f"resuming with {threads} threads what began with {state['threads']}: last digits may differ")
