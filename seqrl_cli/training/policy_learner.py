"""Gradient steps on a policy, offline and online.

Deterministic policies minimize a squared error, or the cross-entropy of choices; stochastic ones maximize the
likelihood under an entropy constraint, whose multiplier is the temperature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqrl_cli.data.policy_windows import PolicyBatch
from seqrl_cli.models.block import Block
from seqrl_cli.models.build import device_of
from seqrl_cli.models.decision.action_distribution import ActionDistribution, PointMass
from seqrl_cli.models.decision.decoder import Policy
from seqrl_cli.training.acceleration import Precision, autocast, compiled, resolve_precision
from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.optimizer import (
    load_optimizer_tensors,
    optimizer_by_name,
    optimizer_tensors,
    set_learning_rate,
    trainable_parameters,
)
from seqrl_cli.training.rates import Curve, RateSchedule
from seqrl_cli.training.restoring import require_optimizer, restore_weights, saved_precision, warn_of_threads
from seqrl_cli.training.rng import generator_states, restore_generators
from seqrl_cli.training.world import ALONE, Measures, Pass, World, own_draws

TEMPERATURE = "temperature."  # prefix of the temperature's tensors among the optimizer's
CPU_STEPS = 64 * 20
"""Steps per forward pass on a CPU. At the paper's width the activations of more steps are so large that the allocator
returns them to the system after each operation; requesting them again takes a fifth of the time.
"""
CPU_IMAGES = 128
"""Images per forward pass on a CPU: the features of one take several megabytes."""
BF16_WIDTH = 128  # on a CPU, the casts of narrower transformers cost more than the products gain


@dataclass(frozen=True)
class PolicySettings:
    """How a policy learns.

    Attributes:
        seed: seed of dropout and of the samples for the entropy; not of the initial weights.
        optimizer: ``lamb`` decays all parameters, as the Online Decision Transformer does; ``adamw`` only matrices.
        learning_rate: the highest learning rate.
        warmup_updates: updates over which the rate rises linearly from zero.
        curve: learning rate after the warm-up.
        updates: updates of the whole training, at whose end the curve ends; ``constant`` needs none.
        betas: decays of the optimizer's moments.
        weight_decay: see ``optimizer``.
        grad_clip: largest norm of all gradients together.
        entropy_samples: samples per step (k) for the entropy of a squashed Gaussian.
        target_entropy: lower bound of the entropy; None means :func:`usual_target_entropy`.
        initial_temperature: temperature at the first update.
        temperature_rate: learning rate of the temperature's logarithm.
        precision: ``auto`` means bf16 where it is faster.
        compile: whether to compile the model with ``torch.compile``.
    """

    seed: int
    optimizer: Literal["adamw", "lamb"] = "lamb"
    learning_rate: float = 1e-4
    warmup_updates: int = 10_000
    curve: Curve = "constant"
    updates: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 5e-4
    grad_clip: float = 0.25
    entropy_samples: int = 1
    target_entropy: float | None = None
    initial_temperature: float = 0.1
    temperature_rate: float = 1e-4
    precision: Literal["auto", "float32", "bf16"] = "auto"
    compile: bool = False

    def rate(self, step: int) -> float:
        """The learning rate of the update after ``step`` updates."""
        return self.learning_rate * RateSchedule(self.curve, self.warmup_updates, self.updates).factor(step)


class PolicyLearner:
    """A policy, its optimizer, and its temperature.

    Frozen parameters stay as they are; ``trainable_parameters`` has the others by name.

    Dropout and entropy draw from PyTorch's global generators, which the constructor seeds: use it inside
    ``preserve_rng_state``.

    Args:
        model: the policy, on its device; trained in place.
        settings: how it learns.
        world: the processes that train it together.
    """

    def __init__(self, model: Policy, settings: PolicySettings, world: World = ALONE) -> None:
        self.model = model
        self.settings = settings
        self.world = world
        self.step = 0
        self.device = device_of(model)
        self.precision = _precision(model, settings.precision, self.device)
        torch.manual_seed(settings.seed)
        rate, betas, decay = settings.learning_rate, settings.betas, settings.weight_decay
        self.trainable_parameters = trainable_parameters(model)
        self._optimizer = optimizer_by_name(settings.optimizer, model, rate, betas, decay)
        self._forward: Callable[..., ActionDistribution] = compiled(model) if settings.compile else model
        self._dual = DualTemperature(settings, usual_target_entropy(model), self.device) if model.stochastic else None
        self.world.prepare(model, uses_all=True)

    def update(self, batch: PolicyBatch) -> dict[str, Tensor]:
        """Make one optimizer step on a batch, in one process; see :meth:`learn`."""
        return self.learn(lambda shard: batch, len(batch), int(batch.mask.sum()))

    def learn(self, read: Callable[[int], PolicyBatch | None], windows: int, real_steps: int) -> dict[str, Tensor]:
        """Make one optimizer step on a batch, and one step of the temperature.

        Args:
            read: reads a shard of the batch, by its number; None for an empty shard.
            windows: number of windows in the whole batch.
            real_steps: number of steps in the whole batch that are not padding.

        Returns:
            Scalars on the device: ``loss`` and ``learning_rate``; for a stochastic policy also ``nll``,
            ``entropy``, and the ``temperature`` in that loss.
        """
        self.model.train()
        measures = self._accumulate(read, windows, real_steps)
        rate = self.settings.rate(self.step)
        set_learning_rate(self._optimizer, rate)
        nn.utils.clip_grad_norm_(self.trainable_parameters.values(), self.settings.grad_clip)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._dual:
            self._dual.update(measures["entropy"])
        self.step += 1
        return {**measures, "learning_rate": torch.tensor(rate, dtype=torch.float64)}

    @torch.no_grad()
    def validation_loss(self, batches: Iterator[PolicyBatch]) -> float:
        """Mean negative log-likelihood or squared error of the actions of all real steps, without dropout."""
        self.model.eval()
        total = 0.0
        steps = 0
        for batch in batches:
            size = self._part_size(batch) if self.model.normalizer.reads_images else len(batch)
            for start in range(0, len(batch), size):
                distribution, actions, real = self._apply(batch.part(slice(start, start + size)))
                total += float((self._distance(distribution, actions) * real).sum())
            steps += int(batch.mask.sum())
        return total / steps

    def _accumulate(
        self, read: Callable[[int], PolicyBatch | None], windows: int, real_steps: int
    ) -> dict[str, Tensor]:
        """Accumulate the gradients of a batch's loss; returns the sums of what ``_measure`` returns."""
        names = ["loss", "nll", "entropy"] if self._dual else ["loss"]
        settings, noise = self.settings, None
        if self._dual:
            shape = (settings.entropy_samples, windows, self.model.context, self.model.action_dim)
            noise = self.world.normal(settings.seed, self.step, shape)

        def passes(shard: int) -> list[Pass]:
            batch = read(shard)
            if batch is None:
                return []
            self.world.seed(settings.seed, self.step, shard)
            return self._passes(batch, real_steps, own_draws(noise, self.world.shards, shard))

        totals = self.world.accumulate(passes, names)
        return {**totals, "temperature": self._dual.value} if self._dual else totals

    def _passes(self, batch: PolicyBatch, real_steps: int, noise: Tensor | None) -> list[Pass]:
        """The forward passes of a shard, part by part."""
        size = self._part_size(batch)
        parts = [slice(start, start + size) for start in range(0, len(batch), size)]
        return [
            partial(self._measure, batch.part(one), real_steps, None if noise is None else noise[:, one])
            for one in parts
        ]

    def _part_size(self, batch: PolicyBatch) -> int:
        """Windows per forward pass."""
        if self.device.type != "cpu":
            return len(batch)
        steps = CPU_IMAGES if self.model.normalizer.reads_images else CPU_STEPS
        return max(1, steps // batch.mask.shape[1])

    def _measure(self, batch: PolicyBatch, real_steps: int, noise: Tensor | None = None) -> Measures:
        """The loss (Zheng et al. 2022, equation 6, with a fixed temperature) and its terms.

        Args:
            batch: a part of a batch.
            real_steps: steps of the whole batch that are not padding; the loss is their mean.
            noise: noise (samples, batch, time, action_dim) for the entropy; drawn here if None.
        """
        distribution, actions, real = self._apply(batch)
        weight = real / real_steps
        distance = (self._distance(distribution, actions) * weight).sum()
        if self._dual is None:
            return {"loss": distance}
        assert not isinstance(distribution, PointMass)
        if noise is None:
            noise = torch.randn(self.settings.entropy_samples, *actions.shape, device=self.device)
        entropy = (distribution.entropy(noise.to(self.device)) * weight).sum()
        return {"loss": distance - self._dual.value * entropy, "nll": distance, "entropy": entropy}

    def _apply(self, batch: PolicyBatch) -> tuple[ActionDistribution, Tensor, Tensor]:
        """The model's distribution, the data's normalized actions, and 1 for real steps, 0 for padding."""
        arrays = (batch.observations, batch.actions, batch.returns_to_go, batch.timesteps)
        observations, actions, returns_to_go, timesteps = (torch.from_numpy(array).to(self.device) for array in arrays)
        with autocast(self.precision, self.device):
            distribution = self._forward(observations, actions, returns_to_go, timesteps)
        return (
            distribution,
            self.model.normalizer.normalize_action(actions),
            torch.from_numpy(batch.mask).to(self.device).float(),
        )

    @staticmethod
    def _distance(distribution: ActionDistribution, actions: Tensor) -> Tensor:
        if isinstance(distribution, PointMass):
            return distribution.squared_error(actions)
        return -distribution.log_prob(actions)

    def checkpoint(self) -> Checkpoint:
        """Everything that ``restore`` needs, including the temperature."""
        tensors = optimizer_tensors(self._optimizer, self.trainable_parameters)
        if self._dual:
            tensors |= {TEMPERATURE + name: tensor for name, tensor in self._dual.tensors().items()}
        state: dict[str, Any] = {
            "optimizer": self.settings.optimizer,
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "generators": generator_states(self.device),
        }
        return Checkpoint(self.step, self.model.state_dict(), tensors, state)

    def restore(self, checkpoint: Checkpoint, on_warning: Callable[[str], None] | None = None) -> None:
        """Resume from a checkpoint.

        Args:
            checkpoint: a checkpoint of the same model and settings.
            on_warning: called when the number of threads has changed.

        Raises:
            SeqrlError: the checkpoint belongs to another model or optimizer.
        """
        state = checkpoint.state
        step = checkpoint.step
        require_optimizer(self.settings.optimizer, checkpoint)
        restore_weights(self.model, checkpoint)
        dual = {name: value for name, value in checkpoint.optimizer.items() if name.startswith(TEMPERATURE)}
        own = {name: value for name, value in checkpoint.optimizer.items() if name not in dual}
        load_optimizer_tensors(self._optimizer, self.trainable_parameters, own)
        if self._dual:
            self._dual.load({name.removeprefix(TEMPERATURE): value for name, value in dual.items()})
        restore_generators(state["generators"], self.device)
        self.step = step
        if self.settings.precision == "auto":
            self.precision = saved_precision(state)
        warn_of_threads(state["threads"], on_warning)


def _precision(model: Policy, asked: Literal["auto", "float32", "bf16"], device: torch.device) -> Precision:
    """Replace ``auto`` by the faster precision for a model on a device."""
    wide = any(block.width >= BF16_WIDTH for block in model.modules() if isinstance(block, Block))
    if asked == "auto" and device.type == "cpu" and not wide:
        return "float32"
    return resolve_precision(asked, device)


CHOICES_ENTROPY = 0.25
"""Lower bound of the entropy of choices, as a fraction of that of uniform choices. It is lower than the 0.98 of
discrete soft actor-critic (Christodoulou 2019, arXiv 1910.07207), because the policy also imitates its data."""


def usual_target_entropy(model: Policy) -> float:
    """The lower bound of a policy's entropy: minus the number of action dimensions, or a fraction of the choices'."""
    if model.normalizer.discrete:
        return CHOICES_ENTROPY * math.log(model.action_dim)
    return -float(model.action_dim)


class DualTemperature:
    """The multiplier of the constraint that the entropy stays above its target; its logarithm is optimized.

    It rises while the entropy is below the target and falls while it is above (Zheng et al. 2022, equation 8).
    """

    def __init__(self, settings: PolicySettings, usual_target: float, device: torch.device) -> None:
        self.target = usual_target if settings.target_entropy is None else settings.target_entropy
        initial = math.log(settings.initial_temperature)
        self._log = torch.tensor(initial, device=device, requires_grad=True)
        self._optimizer = torch.optim.Adam([self._log], lr=settings.temperature_rate, betas=(0.9, 0.999))

    @property
    def value(self) -> Tensor:
        """The temperature, a scalar without gradient."""
        return self._log.detach().exp()

    def update(self, entropy: Tensor) -> None:
        """Make one step, given the policy's mean entropy."""
        self._log.grad = (self.value * (entropy - self.target)).to(self._log)  # of temperature * (entropy - target)
        self._optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """The logarithm and its moments, for a checkpoint."""
        return {"log": self._log.detach(), **self._optimizer.state[self._log]}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Restore what ``tensors`` returned; Adam keeps its step count on the CPU."""
        with torch.no_grad():
            self._log.copy_(tensors["log"])
        moments = {name: value for name, value in tensors.items() if name != "log"}
        self._optimizer.state[self._log] = {
            name: value.to("cpu" if name == "step" else self._log.device, copy=True) for name, value in moments.items()
        }
