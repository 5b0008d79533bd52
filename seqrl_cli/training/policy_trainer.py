"""Offline training of a policy: the learner, with a sampler and metrics, as a trainer for the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from seqrl_cli.data.policy_windows import PolicyBatch, PolicyWindows
from seqrl_cli.models.decision.decoder import Policy
from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.meters import MetricAccumulator
from seqrl_cli.training.policy_learner import PolicyLearner, PolicySettings
from seqrl_cli.training.sampler import Sampler
from seqrl_cli.training.world import ALONE, World


@dataclass(frozen=True)
class PolicyTrainSettings:
    """How to train a policy offline.

    Attributes:
        updates: updates of the whole run, including those before a resume.
        learner: how it learns; its seed also determines shuffling and the choice of validation windows.
        batch_size: windows per update.
        log_every: updates between log steps.
        checkpoint_every: updates between checkpoints; each follows a validation.
        keep_checkpoints: newest checkpoints to keep.
        validation_windows: most held-out windows to validate on.
    """

    updates: int
    learner: PolicySettings
    batch_size: int = 256
    log_every: int = 100
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3
    validation_windows: int = 512


class PolicyTrainer:
    """Trains a policy on shuffled windows of a dataset.

    Each epoch has every window once, so trajectories occur in proportion to their length. The learner seeds PyTorch's
    global generators: use this inside ``preserve_rng_state``.

    Args:
        model: the policy, on its device; trained in place.
        train: windows to train on, at least one.
        validation: held-out windows, possibly none.
        settings: how to train.
        world: the processes that train it together.
    """

    def __init__(
        self,
        model: Policy,
        train: PolicyWindows,
        validation: PolicyWindows | None,
        settings: PolicyTrainSettings,
        world: World = ALONE,
    ) -> None:
        order_seed, learner_seed, validation_seed = np.random.SeedSequence(settings.learner.seed).spawn(3)
        seeded = replace(settings.learner, seed=int(learner_seed.generate_state(1)[0]))
        self.learner = PolicyLearner(model, seeded, world)
        self.world = world
        self.train = train
        self.validation = validation
        self.settings = settings
        self.sampler = Sampler(len(train), settings.batch_size, np.random.default_rng(order_seed))
        held_out = len(validation) if validation else 0
        chosen = min(settings.validation_windows, held_out)
        self._validated = np.random.default_rng(validation_seed).choice(held_out, chosen, replace=False)
        self._metrics = MetricAccumulator(settings.learner.learning_rate)

    @property
    def step(self) -> int:
        """Updates made."""
        return self.learner.step

    @property
    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """The policy's parameters that learn, by name."""
        return self.learner.trainable_parameters

    def update(self) -> None:
        """Make one optimizer step on the next batch."""
        windows = self.sampler.next_batch()
        real_steps = self.train.real_steps(windows)
        self._metrics.count(real_steps)
        shards = self.world.shards

        def read(shard: int) -> PolicyBatch | None:
            own = shards.part(windows, shard)
            return self.train.batch(own) if len(own) else None

        self._metrics.note(self.learner.learn(read, len(windows), real_steps))

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
        validation_loss = self._validation_loss() if validate else None
        latest = {name: values[-1] for name, values in self._metrics.measures.items()}
        interval = self._metrics.close()
        numbers = {
            "epoch": self.sampler.epoch + self.sampler.epoch_fraction,
            "loss": interval.means["loss"],
            "validation_loss": validation_loss,
            "learning_rate": latest["learning_rate"],
            "tokens_per_second": interval.targets_per_second,
            "elapsed": interval.elapsed,
        }
        if self.learner.model.stochastic:
            means = interval.means
            numbers |= {"nll": means["nll"], "entropy": means["entropy"], "temperature": latest["temperature"]}
        return numbers

    def _validation_loss(self) -> float | None:
        """The learner's validation loss on the chosen held-out windows; None if nothing is held out."""
        return self.learner.validation_loss(self._validation_batches()) if len(self._validated) else None

    def _validation_batches(self) -> Iterator[PolicyBatch]:
        assert self.validation is not None
        for start in range(0, len(self._validated), self.settings.batch_size):
            yield self.validation.batch(self._validated[start : start + self.settings.batch_size])

    def checkpoint(self) -> Checkpoint:
        """Everything that ``restore`` needs.

        Raises:
            SeqrlError: a loss since the last log step was not finite.
        """
        self.read_losses()
        learner = self.learner.checkpoint()
        own = {"measures": self._metrics.measures, "elapsed": self._metrics.elapsed, "sampler": self.sampler.state()}
        return replace(learner, state={**learner.state, **own})

    def restore(self, checkpoint: Checkpoint, on_warning: Callable[[str], None] | None = None) -> None:
        """Resume from a checkpoint.

        Args:
            checkpoint: a checkpoint of the same model, data and settings.
            on_warning: called when the number of threads has changed.

        Raises:
            SeqrlError: the checkpoint belongs to another model or other data.
        """
        self.sampler.restore(checkpoint.state["sampler"])
        self.learner.restore(checkpoint, on_warning)
        self._metrics.restore(checkpoint.state["measures"], checkpoint.state["elapsed"])
