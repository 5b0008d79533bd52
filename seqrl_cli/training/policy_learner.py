"""Gradient steps on a policy: squared error, or likelihood with an entropy that a temperature holds up.

The one place where a policy learns, offline and online.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqrl_cli.data.policy_windows import PolicyBatch
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.block import joined_parameters
from seqrl_cli.models.decision.action_distribution import ActionDistribution, Point
from seqrl_cli.models.decision.decoder import Policy
from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.compile import compiled
from seqrl_cli.training.lamb import Lamb
from seqrl_cli.training.optimizer import (
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
    trainable_parameters,
)
from seqrl_cli.training.precision import Precision, autocast, resolve_precision
from seqrl_cli.training.rng import generator_states, restore_generators

TEMPERATURE = "temperature."  # prefix of the temperature's tensors among the optimizer's
CPU_STEPS = 64 * 20
"""Steps that go through the model at a time on a CPU: the activations of more are so large, at the paper's width, that
the allocator gives them back to the system after each operation, and a fifth of the time goes into getting them again.
"""
BF16_WIDTH = 128  # on a CPU, narrower transformers lose more by the casts than they gain by the products


@dataclass(frozen=True)
class PolicySettings:
    """How a policy learns.

    Args:
        seed: of dropout and of the samples for the entropy; not of the initial weights.
        optimizer: ``lamb`` decays every parameter, as the Online Decision Transformer does; ``adamw`` the matrices.
        learning_rate: after the warm-up, where it stays.
        warmup_updates: updates over which the rate rises linearly to its full height.
        betas: decay of the optimizer's moments.
        weight_decay: see ``optimizer``.
        grad_clip: largest norm of all gradients together.
        entropy_samples: samples a step that a squashed Gaussian's entropy is estimated from (k).
        target_entropy: what the temperature keeps the entropy above; None = minus the number of action dimensions.
        initial_temperature: of the first update.
        temperature_rate: learning rate of the temperature's logarithm.
        precision: ``auto`` takes bf16 where it is faster.
        compile: whether to compile the model with ``torch.compile``.
    """

    seed: int
    optimizer: Literal["adamw", "lamb"] = "lamb"
    learning_rate: float = 1e-4
    warmup_updates: int = 10_000
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 5e-4
    grad_clip: float = 0.25
    entropy_samples: int = 1
    target_entropy: float | None = None
    initial_temperature: float = 0.1
    temperature_rate: float = 1e-4
    precision: Literal["auto", "float32", "bf16"] = "auto"
    compile: bool = False


class PolicyLearner:
    """A policy, its optimizer, and its temperature.

    Frozen parameters are left alone: ``trainable_parameters`` are those that learn, by name.

    Dropout and entropy draw from PyTorch's global generators; they are seeded here, so construct inside
    ``own_generators``.

    Args:
        model: on its device; trained in place.
        settings: how it learns.
    """

    def __init__(self, model: Policy, settings: PolicySettings) -> None:
        self.model = model
        self.settings = settings
        self.step = 0
        self.device = model.head.weight.device
        self.precision = _precision(model, settings.precision, self.device)
        torch.manual_seed(settings.seed)
        rate, betas, decay = settings.learning_rate, settings.betas, settings.weight_decay
        self.trainable_parameters = trainable_parameters(model)
        self._optimizer: torch.optim.Optimizer
        if settings.optimizer == "lamb":
            joined = joined_parameters(model)
            parameters = self.trainable_parameters.values()
            self._optimizer = Lamb(parameters, lr=rate, betas=betas, weight_decay=decay, joined=joined)
        else:
            self._optimizer = make_optimizer(model, rate, betas, decay)
        self._forward: Callable[..., ActionDistribution] = compiled(model) if settings.compile else model
        self._dual = DualTemperature(settings, model.action_dim, self.device) if model.stochastic else None

    def update(self, batch: PolicyBatch) -> dict[str, Tensor]:
        """One step of the optimizer on a batch, and one of the temperature's.

        Returns:
            Scalars on the device: ``loss``, ``learning_rate``, and of a stochastic policy ``nll``, ``entropy`` and
            ``temperature``, that which was in the loss.
        """
        self.model.train()
        measures = self._accumulate(batch)
        rate = self.settings.learning_rate * min((self.step + 1) / max(1, self.settings.warmup_updates), 1.0)
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
        """Negative log-likelihood of the real steps' actions, or their squared error, without dropout."""
        self.model.eval()
        total, steps = 0.0, 0
        for batch in batches:
            distribution, actions, real = self._apply(batch)
            total += float((self._distance(distribution, actions) * real).sum())
            steps += int(batch.mask.sum())
        return total / steps

    def _accumulate(self, batch: PolicyBatch) -> dict[str, Tensor]:
        """Gradients of the batch's loss, a part of the batch at a time; what ``_measure`` gives, for the whole."""
        real = int(batch.mask.sum())
        size = max(1, CPU_STEPS // batch.mask.shape[1]) if self.device.type == "cpu" else len(batch)
        totals: dict[str, Tensor] = {}
        for start in range(0, len(batch), size):
            measures = self._measure(batch.part(slice(start, start + size)), real)
            torch.autograd.backward(measures["loss"])
            for name, value in measures.items():
                totals[name] = totals[name] + value.detach() if name in totals else value.detach()
        if self._dual:
            totals["temperature"] = self._dual.value
        return totals

    def _measure(self, batch: PolicyBatch, real_steps: int) -> dict[str, Tensor]:
        """The loss (Zheng et al. 2022, equation 6, with the temperature held fixed) and what it is made of.

        Args:
            batch: a part of a batch.
            real_steps: of the whole batch; each counts the same in its means, padding not at all.
        """
        distribution, actions, real = self._apply(batch)
        weight = real / real_steps
        distance = (self._distance(distribution, actions) * weight).sum()
        if isinstance(distribution, Point):
            return {"loss": distance}
        assert self._dual is not None
        noise = torch.randn(self.settings.entropy_samples, *actions.shape, device=self.device)
        entropy = (distribution.entropy(noise) * weight).sum()
        return {"loss": distance - self._dual.value * entropy, "nll": distance, "entropy": entropy}

    def _apply(self, batch: PolicyBatch) -> tuple[ActionDistribution, Tensor, Tensor]:
        """What the model says, the actions that it should say, and 1 where a step is real."""
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
        if isinstance(distribution, Point):
            return distribution.squared_error(actions)
        return -distribution.log_prob(actions)

    def checkpoint(self) -> Checkpoint:
        """All that ``restore`` needs, the temperature included."""
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
        """Go on from a checkpoint.

        Args:
            checkpoint: of the same model and settings.
            on_warning: told when the number of threads has changed.

        Raises:
            SeqrlError: the checkpoint is of another model or optimizer.
        """
        state, step = checkpoint.state, checkpoint.step
        hint = "use the run's own settings, or start again with --force"
        if state["optimizer"] != self.settings.optimizer:
            message = f"the checkpoint of step {step} is of {state['optimizer']}, not of {self.settings.optimizer}"
            raise SeqrlError(message, hint)
        try:
            self.model.load_state_dict(checkpoint.model)
        except RuntimeError as error:
            raise SeqrlError(f"the checkpoint of step {step} is of another model", hint) from error
        dual = {name: value for name, value in checkpoint.optimizer.items() if name.startswith(TEMPERATURE)}
        own = {name: value for name, value in checkpoint.optimizer.items() if name not in dual}
        load_optimizer_tensors(self._optimizer, self.trainable_parameters, own)
        if self._dual:
            self._dual.load({name.removeprefix(TEMPERATURE): value for name, value in dual.items()})
        restore_generators(state["generators"], self.device)
        self.step = step
        if self.settings.precision == "auto":
            self.precision = state["precision"]
        threads = torch.get_num_threads()
        if on_warning and state["threads"] != threads:
            on_warning(f"resuming with {threads} threads what began with {state['threads']}: last digits may differ")


def _precision(model: Policy, asked: Literal["auto", "float32", "bf16"], device: torch.device) -> Precision:
    """What ``auto`` means for a model on a device."""
    small = not model.gains_from_bf16 or model.head.in_features < BF16_WIDTH
    return "float32" if asked == "auto" and device.type == "cpu" and small else resolve_precision(asked, device)


class DualTemperature:
    """The multiplier of the constraint that the entropy stays above its target, optimised as a logarithm.

    It rises while the entropy is below the target and falls while it is above (Zheng et al. 2022, equation 8).
    """

    def __init__(self, settings: PolicySettings, action_dim: int, device: torch.device) -> None:
        self.target = -float(action_dim) if settings.target_entropy is None else settings.target_entropy
        initial = math.log(settings.initial_temperature)
        self._log = torch.tensor(initial, device=device, requires_grad=True)
        self._optimizer = torch.optim.Adam([self._log], lr=settings.temperature_rate, betas=(0.9, 0.999))

    @property
    def value(self) -> Tensor:
        """The temperature, a scalar without gradient."""
        return self._log.detach().exp()

    def update(self, entropy: Tensor) -> None:
        """One step, by the policy's mean entropy."""
        self._log.grad = self.value * (entropy - self.target)  # of temperature * (entropy - target)
        self._optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """The logarithm and its moments."""
        return {"log": self._log.detach(), **self._optimizer.state[self._log]}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Put back copies of what ``tensors`` gave, on the device; Adam keeps its step on the CPU."""
        with torch.no_grad():
            self._log.copy_(tensors["log"])
        moments = {name: value for name, value in tensors.items() if name != "log"}
        self._optimizer.state[self._log] = {
            name: value.to("cpu" if name == "step" else self._log.device, copy=True) for name, value in moments.items()
        }
