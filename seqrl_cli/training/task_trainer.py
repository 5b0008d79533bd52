"""Training of a multi-domain model on windows of several tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqrl_cli.data.task_data import TaskMixture
from seqrl_cli.data.task_sampler import DomainDraw, SamplingRules, Starts, TaskSampler, WindowBatch
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.build import device_of
from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer
from seqrl_cli.training.acceleration import autocast, resolve_precision
from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.guide import Guide
from seqrl_cli.training.meters import MetricAccumulator
from seqrl_cli.training.optimizer import (
    load_optimizer_tensors,
    optimizer_by_name,
    optimizer_tensors,
    set_learning_rate,
    trainable_parameters,
)
from seqrl_cli.training.rates import Plateau
from seqrl_cli.training.restoring import require_optimizer, restore_weights, saved_precision, warn_of_threads
from seqrl_cli.training.rng import generator_states, restore_generators
from seqrl_cli.training.task_losses import Part, TaskObjective, summed_losses
from seqrl_cli.training.task_settings import TaskTrainSettings
from seqrl_cli.training.world import ALONE, Measures, Pass, World


class TaskTrainer:
    """Trains a model on windows of several tasks.

    Dropout and augmentations draw from PyTorch's global generators, which the constructor seeds: use it inside
    ``preserve_rng_state``.

    Args:
        model: the model, on its device; trained in place.
        train: the tasks with the episodes to train on.
        validation: the same tasks with held-out episodes, or None.
        settings: how to train.
        world: the processes that train it together.
        guide: chooses adapters and adds losses; None for neither.

    Raises:
        SeqrlError: the schedule needs held-out episodes, and there are none.
    """

    def __init__(
        self,
        model: MultiDomainTransformer,
        train: TaskMixture,
        validation: TaskMixture | None,
        settings: TaskTrainSettings,
        world: World = ALONE,
        guide: Guide | None = None,
    ) -> None:
        assert guide is None or world.size == 1, "a guide accompanies one process"
        self.model = model
        self.world = world
        self.settings = settings
        self.guide = guide
        self.step = 0
        self.device = device_of(model)
        self.precision = resolve_precision(settings.precision, self.device)
        self._seeds = np.random.SeedSequence(settings.seed).spawn(3)
        torch.manual_seed(int(self._seeds[1].generate_state(1)[0]))
        rng = np.random.default_rng(self._seeds[0])
        smoothing, mean_weight = settings.label_smoothing, settings.mean_weight
        self.objective = TaskObjective(dict(settings.weights), smoothing, settings.augmentation, mean_weight)
        self._steps = model.context + self.objective.steps_ahead
        self.sampler = TaskSampler(train.tasks, self._steps, settings.rules, rng, world.shards)
        self.validation = validation
        self.trainable_parameters = trainable_parameters(model)
        rate, betas, decay = settings.learning_rate, settings.betas, settings.weight_decay
        self._optimizer = optimizer_by_name(settings.optimizer, model, rate, betas, decay, settings.matrix_rate)
        self._plateau = _plateau(settings, validation)
        self._metrics = MetricAccumulator(settings.learning_rate)
        self.world.prepare(model, uses_all=False)
        self._windows = len(train)
        self._windows_per_update = settings.accumulate * self.sampler.windows_per_draw(settings.batch_size)

    def update(self) -> None:
        """Make one optimizer step."""
        settings = self.settings
        if not self.model.training:  # to say so to every module of a pool takes a while
            self.model.train()
        draws = [draw for _ in range(settings.accumulate) for draw in self.sampler.next_draws(settings.batch_size)]
        counts = [self._counts(draw.starts) for draw in draws]
        self._metrics.count(sum(one["actions"] for one in counts))
        names = ["loss", *(f"loss/{part}" for part in self.objective.weights)]
        measures = self.world.accumulate(lambda shard: self._passes(draws, counts, shard), names)
        totals: dict[Part, Tensor] = {part: measures[f"loss/{part}"] for part in self.objective.weights}
        rate = settings.learning_rate * settings.schedule.factor(self.step) * self._plateau.factor
        set_learning_rate(self._optimizer, rate)
        nn.utils.clip_grad_norm_(self.trainable_parameters.values(), settings.grad_clip)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        parts = {f"loss/{part}": total for part, total in totals.items()} if len(totals) > 1 else {}
        noted = {"loss": self._joined(totals), "learning_rate": torch.tensor(rate, dtype=torch.float64)}
        self._metrics.note({**noted, **parts})
        if settings.schedule.curve == "plateau" and self.step % settings.plateau_every == 0:
            loss = self._validate()["validation_loss"] if self.world.leads else None
            loss = self.world.from_leader(loss)
            assert loss is not None, "the constructor demands held-out episodes"
            self._plateau.observe(loss)

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
        validated = self._validate() if validate and self.validation else {"validation_loss": None}
        rate = self._metrics.measures["learning_rate"][-1]
        interval = self._metrics.close()
        return {
            "epoch": self.step * self._windows_per_update / self._windows,
            "loss": interval.means["loss"],
            "validation_loss": validated.pop("validation_loss"),
            "learning_rate": rate,
            "tokens_per_second": interval.targets_per_second,
            "elapsed": interval.elapsed,
            **validated,
            **{name: loss for name, loss in interval.means.items() if name.startswith("loss/")},
        }

    def _passes(self, draws: Sequence[DomainDraw], counts: Sequence[Mapping[Part, int]], shard: int) -> list[Pass]:
        """The forward passes of one shard: one per domain and draw that has windows there."""
        self.world.seed(self.settings.seed, self.step, shard)
        return [
            partial(self._measure, draw.weight, starts, count)
            for draw, count in zip(draws, counts, strict=True)
            if (starts := draw.shard(self.world.shards, shard))
        ]

    def _measure(self, weight: float, starts: Starts, counts: Mapping[Part, int]) -> Measures:
        """The losses of some windows of a domain, as parts of the update's.

        Args:
            weight: weight of the domain.
            starts: starts of the windows.
            counts: predictions in all windows of the domain.
        """
        accumulate = self.settings.accumulate
        found = self._domain_losses(self.sampler.read(starts), counts)
        losses = {part: weight * loss / accumulate for part, loss in found.items()}
        joined = self._joined(losses)
        if self.guide and (added := self.guide.added_loss()) is not None:
            joined = joined + added / accumulate
        return {"loss": joined, **{f"loss/{part}": loss for part, loss in losses.items()}}

    def _counts(self, starts: Starts) -> dict[Part, int]:
        """Predictions of each part in some windows, without reading them."""
        actions = states = returns = 0
        for index, steps in self.sampler.real_steps(starts, self._steps):
            seen = int(np.minimum(steps, self.model.context).sum())
            actions += seen * self.sampler.tasks[index].facts.action_dim
            returns += seen
            states += int((steps - 1).sum())
        return {"actions": actions, "states": states, "returns": returns}

    def _domain_losses(
        self, batches: Sequence[WindowBatch], counts: Mapping[Part, int] | None = None
    ) -> dict[Part, Tensor]:
        """The loss of each part over a domain's windows: their sum, divided by the predictions.

        Args:
            batches: the windows, or a shard of them.
            counts: predictions in all windows; None if these are all.
        """
        totals = {part: torch.zeros((), device=self.device) for part in self.objective.weights}
        own: dict[Part, int] = dict.fromkeys(self.objective.weights, 0)
        for batch in batches:
            with autocast(self.precision, self.device):
                sums = summed_losses(self.model, batch, self.objective, self.guide)
            for part, (summed, count) in sums.items():
                totals[part] = totals[part] + summed
                own[part] += count
        # there may be no next state at all, if all windows begin at the ends of episodes
        return {part: total / max(1, (counts or own)[part]) for part, total in totals.items()}

    def _joined(self, losses: Mapping[Part, Tensor]) -> Tensor:
        """The weighted sum of the parts."""
        weighted = [self.objective.weights[part] * loss for part, loss in losses.items()]
        return torch.stack(weighted).sum() if len(weighted) > 1 else weighted[0]

    @torch.no_grad()
    def _validate(self) -> dict[str, float | None]:
        """The mean loss over domains on held-out windows, the same at every validation; also by domain and by part."""
        self.model.eval()
        by_domain: dict[str, list[float]] = defaultdict(list)
        by_part: dict[str, list[float]] = defaultdict(list)
        for batches in self._validation_batches():
            losses = self._domain_losses(batches)
            by_domain[batches[0].group[0]].append(float(self._joined(losses)))
            for part, loss in losses.items():
                by_part[part].append(float(loss))
        domains = {domain: _mean(losses) for domain, losses in by_domain.items()}
        found: dict[str, float | None] = {"validation_loss": _mean(list(domains.values()))}
        for means in (domains, {part: _mean(losses) for part, losses in by_part.items()}):
            if len(means) > 1:
                found |= {f"validation_loss/{name}": loss for name, loss in means.items()}
        return found

    def _validation_batches(self) -> Iterator[list[WindowBatch]]:
        assert self.validation is not None
        rng = np.random.default_rng(self._seeds[2])
        rules = SamplingRules(image_batch=self.settings.rules.image_batch)
        sampler = TaskSampler(self.validation.tasks, self._steps, rules, rng)
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
            "plateau": self._plateau.state(),
            "measures": self._metrics.measures,
            "elapsed": self._metrics.elapsed,
        }
        tensors = optimizer_tensors(self._optimizer, self.trainable_parameters)
        return Checkpoint(self.step, self.model.state_dict(), tensors, state)

    def restore(self, checkpoint: Checkpoint, on_warning: Callable[[str], None] | None = None) -> None:
        """Resume from a checkpoint.

        Args:
            checkpoint: a checkpoint of the same model, data and settings.
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
        if "plateau" in state:  # not in older checkpoints
            self._plateau.restore(state["plateau"])
        self._metrics.restore(state["measures"], state["elapsed"])
        self.step = checkpoint.step
        if self.settings.precision == "auto":
            self.precision = saved_precision(state)
        warn_of_threads(state["threads"], on_warning)


def _plateau(settings: TaskTrainSettings, validation: TaskMixture | None) -> Plateau:
    """The plateau of a run; its factor stays 1 unless the schedule is one.

    Raises:
        SeqrlError: the schedule is one, but no episode is held out.
    """
    if settings.schedule.curve == "plateau" and validation is None:
        message = "tasks.curve=plateau follows the validation loss, but no episode is held out"
        raise SeqrlError(message, "use a dataset with more episodes, or tasks.curve=cosine")
    return Plateau(settings.patience, settings.schedule.floor)


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
