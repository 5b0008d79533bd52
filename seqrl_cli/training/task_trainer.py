"""Training of a multi-domain model: cross-entropy of action tokens over windows of several tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.data.task_data import TaskMixture
from seqrl_cli.data.task_sampler import SamplingRules, TaskSampler, WindowBatch
from seqrl_cli.models.block import joined_parameters
from seqrl_cli.models.build import device_of
from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer, TaskWindows
from seqrl_cli.training.acceleration import autocast, resolve_precision
from seqrl_cli.training.augment import Augmentation, augment
from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.guide import Guide
from seqrl_cli.training.lamb import Lamb
from seqrl_cli.training.meters import MetricAccumulator
from seqrl_cli.training.optimizer import (
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
    trainable_parameters,
)
from seqrl_cli.training.rates import RateSchedule
from seqrl_cli.training.restoring import require_optimizer, restore_weights, warn_of_threads
from seqrl_cli.training.rng import generator_states, restore_generators


@dataclass(frozen=True)
class TaskTrainSettings:
    """How a multi-domain model learns.

    Attributes:
        updates: of the whole run, including those before a resume.
        seed: of the windows, dropout and augmentations; not of the initial weights.
        schedule: of the learning rate.
        rules: how windows are drawn.
        batch_size: windows per domain and update.
        learning_rate: the full rate.
        optimizer: ``adamw`` decays matrices only, ``lamb`` all parameters.
        betas: decays of the optimizer's moments.
        weight_decay: see ``optimizer``.
        grad_clip: largest norm of all gradients together.
        accumulate: draws per update, whose gradients are averaged.
        label_smoothing: probability that the targets give to all ids alike.
        augmentation: of images.
        precision: ``auto`` means bf16 where it is faster.
        log_every: updates between log steps.
        checkpoint_every: updates between checkpoints; each follows a validation.
        keep_checkpoints: newest checkpoints to keep.
        validation_batches: draws of held-out windows per validation.
    """

    updates: int
    seed: int
    schedule: RateSchedule
    rules: SamplingRules = field(default_factory=SamplingRules)
    batch_size: int = 64
    learning_rate: float = 3e-3
    optimizer: Literal["adamw", "lamb"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    accumulate: int = 1
    label_smoothing: float = 0.0
    augmentation: Augmentation = "none"
    precision: Literal["auto", "float32", "bf16"] = "float32"
    log_every: int = 100
    checkpoint_every: int = 500
    keep_checkpoints: int = 3
    validation_batches: int = 4


class TaskTrainer:
    """Trains a model on windows of several tasks.

    Dropout and augmentations draw from PyTorch's global generators, which the constructor seeds: use it inside
    ``preserve_rng_state``.

    Args:
        model: on its device; trained in place.
        train: the tasks with the episodes to train on.
        validation: the same tasks with held-out episodes, or None.
        settings: how to train.
        guide: chooses adapters and adds losses; None for neither.
    """

    def __init__(
        self,
        model: MultiDomainTransformer,
        train: TaskMixture,
        validation: TaskMixture | None,
        settings: TaskTrainSettings,
        guide: Guide | None = None,
    ) -> None:
        self.model = model
        self.settings = settings
        self.guide = guide
        self.step = 0
        self.device = device_of(model)
        self.precision = resolve_precision(settings.precision, self.device)
        self._seeds = np.random.SeedSequence(settings.seed).spawn(3)
        torch.manual_seed(int(self._seeds[1].generate_state(1)[0]))
        rng = np.random.default_rng(self._seeds[0])
        self.sampler = TaskSampler(train.tasks, model.context, settings.rules, rng)
        self.validation = validation
        self.trainable_parameters = trainable_parameters(model)
        self._optimizer = self._make_optimizer()
        self._metrics = MetricAccumulator(settings.learning_rate)
        self._windows = len(train)
        self._windows_per_update = settings.batch_size * settings.accumulate * self.sampler.domains_per_update

    def _make_optimizer(self) -> torch.optim.Optimizer:
        settings = self.settings
        rate, betas, decay = settings.learning_rate, settings.betas, settings.weight_decay
        if settings.optimizer == "lamb":
            parameters, joined = self.trainable_parameters.values(), joined_parameters(self.model)
            return Lamb(parameters, lr=rate, betas=betas, weight_decay=decay, joined=joined)
        return make_optimizer(self.model, rate, betas, decay)

    def update(self) -> None:
        """Make one optimizer step."""
        settings = self.settings
        self.model.train()
        total = torch.zeros((), device=self.device)
        for _ in range(settings.accumulate):
            for weight, batches in self.sampler.next_batches(settings.batch_size):
                loss = weight * self._domain_loss(batches) / settings.accumulate
                if self.guide and (added := self.guide.added_loss()) is not None:
                    loss = loss + added / settings.accumulate
                torch.autograd.backward(loss)
                total += loss.detach()
                self._metrics.count(sum(int(batch.mask.sum()) * batch.actions.shape[2] for batch in batches))
        rate = settings.learning_rate * settings.schedule.factor(self.step)
        set_learning_rate(self._optimizer, rate)
        nn.utils.clip_grad_norm_(self.trainable_parameters.values(), settings.grad_clip)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        self._metrics.note({"loss": total, "learning_rate": torch.tensor(rate, dtype=torch.float64)})

    def read_losses(self) -> None:
        """Read the losses of the updates made so far from the device.

        Raises:
            SeqrlError: one of them is not finite.
        """
        self._metrics.read(self.step)

    def measure(self, *, validate: bool) -> dict[str, float | None]:
        """The numbers of the log step at this update; starts the next interval.

        Args:
            validate: whether to compute the validation loss.

        Raises:
            SeqrlError: a loss since the last log step was not finite.
        """
        self.read_losses()
        losses = self._validation_losses() if validate and self.validation else {}
        rate = self._metrics.measures["learning_rate"][-1]
        interval = self._metrics.close()
        return {
            "epoch": self.step * self._windows_per_update / self._windows,
            "loss": interval.means["loss"],
            "validation_loss": sum(losses.values()) / len(losses) if losses else None,
            "learning_rate": rate,
            "tokens_per_second": interval.targets_per_second,
            "elapsed": interval.elapsed,
            **{f"validation_loss/{domain}": loss for domain, loss in losses.items() if len(losses) > 1},
        }

    def _domain_loss(self, batches: Sequence[WindowBatch]) -> Tensor:
        """Mean cross-entropy in nats of the action tokens of a domain's windows."""
        total, count = torch.zeros((), device=self.device), 0
        for batch in batches:
            with autocast(self.precision, self.device):
                summed = self._summed_loss(batch)
            total = total + summed
            count += int(batch.mask.sum()) * batch.actions.shape[2]
        return total / count

    def _summed_loss(self, batch: WindowBatch) -> Tensor:
        name, _, choices = batch.group
        tokens = self.model.tokens
        windows = self._windows_of(batch)
        if self.guide:
            self.guide.before_windows(name, windows, self.model.training)
        real = torch.from_numpy(batch.mask).to(self.device)
        allowed = tokens.allowed(choices)
        logits = self.model(name, windows)[..., allowed][real]
        targets = windows.actions[real] - (allowed.start or 0)
        smoothing = self.settings.label_smoothing if self.model.training else 0.0
        return functional.cross_entropy(
            logits.flatten(0, -2).float(), targets.flatten(), reduction="sum", label_smoothing=smoothing
        )

    def _windows_of(self, batch: WindowBatch) -> TaskWindows:
        """The model's inputs on its device, augmented in training."""

        def to_device(array: Any) -> Tensor:
            return torch.from_numpy(array).to(self.device)

        observations, actions = to_device(batch.observations), to_device(batch.actions)
        if self.model.training:
            observations = augment(observations, self.settings.augmentation)
        is_choice = batch.group[2] is not None
        return TaskWindows(
            observations,
            to_device(batch.returns_to_go),
            actions.long() if is_choice else self.model.tokens.encode(actions),
            to_device(batch.rewards),
            to_device(batch.timesteps),
            self.model.body_numbers(batch.group[0], batch.bodies),
        )

    @torch.no_grad()
    def _validation_losses(self) -> dict[str, float]:
        """Mean cross-entropy by domain on held-out windows, the same at every validation."""
        self.model.eval()
        totals: dict[str, list[float]] = {}
        for batches in self._validation_batches():
            totals.setdefault(batches[0].group[0], []).append(float(self._domain_loss(batches)))
        return {domain: sum(losses) / len(losses) for domain, losses in totals.items()}

    def _validation_batches(self) -> Iterator[list[WindowBatch]]:
        assert self.validation is not None
        rng = np.random.default_rng(self._seeds[2])
        sampler = TaskSampler(self.validation.tasks, self.model.context, SamplingRules(), rng)
        for _ in range(self.settings.validation_batches):
            yield from (batches for _, batches in sampler.next_batches(self.settings.batch_size))

    def checkpoint(self) -> Checkpoint:
        """Everything that ``restore`` needs.

        Raises:
            SeqrlError: a loss since the last log step was not finite.
        """
        self.read_losses()
        state = {
            "optimizer": self.settings.optimizer,
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "generators": generator_states(self.device),
            "sampler": self.sampler.state(),
            "measures": self._metrics.measures,
            "elapsed": self._metrics.elapsed,
        }
        tensors = optimizer_tensors(self._optimizer, self.trainable_parameters)
        return Checkpoint(self.step, self.model.state_dict(), tensors, state)

    def restore(self, checkpoint: Checkpoint, on_warning: Callable[[str], None] | None = None) -> None:
        """Resume from a checkpoint.

        Args:
            checkpoint: of the same model, data and settings.
            on_warning: called when the number of threads has changed.

        Raises:
            SeqrlError: the checkpoint belongs to another model, optimizer or other data.
        """
        state: Mapping[str, Any] = checkpoint.state
        require_optimizer(self.settings.optimizer, checkpoint)
        restore_weights(self.model, checkpoint)
        load_optimizer_tensors(self._optimizer, self.trainable_parameters, checkpoint.optimizer)
        restore_generators(state["generators"], self.device)
        self.sampler.restore(state["sampler"])
        self._metrics.restore(state["measures"], state["elapsed"])
        self.step = checkpoint.step
        if self.settings.precision == "auto":
            self.precision = state["precision"]
        warn_of_threads(state["threads"], on_warning)
