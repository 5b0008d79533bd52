"""Models for many tasks as a family of architectures: their data, their training and their runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.sizes import Sizes
from seqrl_cli.artifacts.task_fit import check_task
from seqrl_cli.artifacts.task_loading import MultiTaskData, load_tasks
from seqrl_cli.artifacts.train_job import OTHER_SIZES_HINT, TrainJob, held_out_generator
from seqrl_cli.artifacts.trained_run import SavedRun
from seqrl_cli.config.model_sections import MultiDomainSection
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.data.task_data import TaskData, TaskMixture, mean_and_deviation
from seqrl_cli.data.task_sampler import SamplingRules
from seqrl_cli.data.windows import split_episodes
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.models.build import load_weights
from seqrl_cli.models.decision.multi_domain import Input, MultiDomainTransformer
from seqrl_cli.models.encoders.vector import VectorEncoder
from seqrl_cli.models.size import build_if_it_fits
from seqrl_cli.runs.record import RunRecord, TaskRecord
from seqrl_cli.training.rates import RateSchedule
from seqrl_cli.training.task_losses import Part
from seqrl_cli.training.task_settings import TaskTrainSettings
from seqrl_cli.training.task_trainer import TaskTrainer

_MAX_TIME_EMBEDDINGS = 1000


@dataclass(frozen=True)
class TrainedMultiTask:
    """A run's model for many tasks; see :class:`~seqrl_cli.artifacts.trained_run.TrainedRun`."""

    model: MultiDomainTransformer
    step: int
    config: Config
    record: RunRecord

    @property
    def spaces(self) -> Spaces:
        """The observations that it reads and the actions that it chooses in its first task."""
        first = self.record.tasks[0]
        return Spaces.of_shapes(first.shape, first.action_dim, first.choices)

    def observation_size(self, of_dataset: Callable[[], int | None]) -> int | None:
        """All dimensions are kept."""
        return None


class MultiTaskFamily:
    """Models for many tasks; see :class:`~seqrl_cli.artifacts.families.Family`."""

    def ensure(self, dataset: DatasetRef, config: Config, console: Console) -> MultiTaskData:
        """See :meth:`Family.ensure`."""
        dataset.ensure(config.data, console)
        return load_tasks(dataset, config.tasks)

    def current(self, dataset: DatasetRef, config: Config, console: Console) -> MultiTaskData | None:
        """See :meth:`Family.current`."""
        return load_tasks(dataset, config.tasks) if dataset.exists else None

    def placeholder(self, dataset: DatasetRef, config: Config, sizes: Sizes, offsets: np.ndarray) -> None:
        """See :meth:`Family.placeholder`; the sizes of several datasets are not known beforehand."""
        return

    def facts(self, data: MultiTaskData | None) -> dict[str, object]:
        """See :meth:`Family.facts`."""
        if data is None:
            return {}
        domains = sorted({task.facts.input for task in data.tasks})
        return {"tasks": len(data.tasks), "domains": ", ".join(domains), "memory": data.memory.text}

    def data_bytes(self, config: Config, sizes: Sizes) -> int | None:
        """See :meth:`Family.data_bytes`; episodes are used as they are."""
        return 0

    def complete(self, config: Config, data: MultiTaskData, source: object) -> Config:
        """See :meth:`Family.complete`; the record has the tasks' target returns."""
        return config

    def prepare(self, config: Config, data: MultiTaskData, step_limit: int, device: torch.device) -> TrainJob:
        """See :meth:`Family.prepare`."""
        _check_weights(config, data)
        trained, held_out = _split(config, data)
        records = tuple(task.facts for task in data.tasks)
        steps = _time_embeddings(config, data, step_limit)
        model = make_model(config, records, steps, torch.Generator().manual_seed(config.seed))
        fit_encoders(model, trained)
        return _job(model.to(device), config, data, trained, held_out)

    def data_like(self, base: TrainedMultiTask, dataset: DatasetRef, config: Config) -> MultiTaskData:
        """See :meth:`Family.data_like`."""
        data = load_tasks(dataset, config.tasks)
        shapes = {task.input: task.shape for task in base.record.tasks}
        for facts in (task.facts for task in data.tasks):
            check_task(base.model, facts, base.record.name)
            if facts.shape != (known := shapes.get(facts.input, facts.shape)):
                message = (
                    f"{facts.dataset} has observations of shape {facts.shape}, but {base.record.name} reads {known}"
                )
                raise SeqrlError(message, OTHER_SIZES_HINT)
        return data

    def prepare_from(self, base: TrainedMultiTask, config: Config, data: MultiTaskData, step_limit: int) -> TrainJob:
        """See :meth:`Family.prepare_from`."""
        _check_weights(config, data)
        return _job(base.model, config, data, *_split(config, data))

    def fine_tuned(self, base: TrainedMultiTask, run: SavedRun, step: int) -> TrainedMultiTask:
        """See :meth:`Family.fine_tuned`."""
        return TrainedMultiTask(base.model, step, run.config, run.record)

    def as_run(
        self, model: MultiDomainTransformer, data: object, config: Config, record: RunRecord
    ) -> TrainedMultiTask:
        """See :meth:`Family.as_run`."""
        return TrainedMultiTask(model, 0, config, record)

    def load(
        self,
        run: SavedRun,
        device: torch.device,
        checkpoint: int | None,
        on_warning: Callable[[str], None] | None,
    ) -> TrainedMultiTask:
        """See :meth:`Family.load`."""
        if not run.record.tasks:
            message = f"{run.folder.record} does not state the tasks that the model was trained on"
            raise SeqrlError(message, "train again with --force")
        step, weights, source = run.weights(checkpoint, on_warning)
        if "embed_time.weight" not in weights:
            raise SeqrlError(f"{source} holds weights of another architecture", "train again with --force")
        model = make_model(run.config, run.record.tasks, len(weights["embed_time.weight"]))
        load_weights(model, weights, source)
        return TrainedMultiTask(model.to(device).eval(), step, run.config, run.record)


def _split(config: Config, data: MultiTaskData) -> tuple[list[TaskData], list[TaskData]]:
    """Each task with the episodes to train on, and with held-out ones where there are any."""
    generator = held_out_generator(config)
    trained, held_out = [], []
    for task in data.tasks:
        used = _best_episodes(task, config.tasks.top_share)
        parts = split_episodes(len(used), config.train.validation_share, generator)
        trained.append(task.select(used[parts[0]]))
        if len(parts[1]):
            held_out.append(task.select(used[parts[1]]))
    return trained, held_out


def _job(
    model: MultiDomainTransformer,
    config: Config,
    data: MultiTaskData,
    trained: list[TaskData],
    held_out: list[TaskData],
) -> TrainJob:
    """The training of a model on some episodes of each task."""
    return TrainJob(
        model,
        TaskMixture(trained),
        TaskMixture(held_out) if held_out else None,
        train_settings(config),
        TaskTrainer,
        data,
        tasks=tuple(task.facts for task in data.tasks),
    )


def _time_embeddings(config: Config, data: MultiTaskData, step_limit: int) -> int:
    """Number of time embeddings; with one, all steps look alike."""
    assert isinstance(config.model, MultiDomainSection)
    if not config.model.time_embedding:
        return 1
    longest = max(int(task.lengths.max()) for task in data.tasks)
    return min(_MAX_TIME_EMBEDDINGS, max(step_limit, longest))


def make_model(
    config: Config, tasks: tuple[TaskRecord, ...], max_timestep: int, generator: torch.Generator | None = None
) -> MultiDomainTransformer:
    """A model for some tasks, with fresh weights.

    Args:
        config: the run's configuration.
        tasks: the tasks that the model must read and act in.
        max_timestep: number of time embeddings.
        generator: source of the weights; the global one when None.

    Raises:
        SeqrlError: the model settings are invalid, or tasks of one input differ in their observations.
    """
    section = config.model
    assert isinstance(section, MultiDomainSection)
    shapes: dict[str, tuple[int, ...]] = {}
    bodies: dict[str, set[str]] = defaultdict(set)
    for task in tasks:
        shape = shapes.setdefault(task.input, task.shape)
        bodies[task.input].add(task.body)
        if shape != task.shape:
            message = f"{task.dataset} has observations of shape {task.shape}, but others of its domain have {shape}"
            raise SeqrlError(message, "train on datasets whose observations are alike, or on one of them")
    make = partial(
        MultiDomainTransformer,
        inputs={
            name: Input(shape, tuple(sorted(bodies[name])), _return_range(tasks, name))
            for name, shape in shapes.items()
        },
        predicts=[part for part in objective_weights(config) if part != "actions"],
        choices=max((task.choices or 0 for task in tasks), default=0),
        max_action_dim=max(task.action_dim for task in tasks),
        max_timestep=max_timestep,
        generator=generator,
        **section.arguments(),
    )
    return build_if_it_fits(make)


def fit_encoders(model: MultiDomainTransformer, tasks: list[TaskData]) -> None:
    """Set the statistics with which vectors are standardized: those of each body's training data."""
    for encoder in [one for one in model.encoders.values() if isinstance(one, VectorEncoder)]:
        for body in encoder.bodies:
            mean, deviation = mean_and_deviation([task for task in tasks if task.facts.body == body])
            encoder.fit(body, mean, deviation)


def train_settings(config: Config) -> TaskTrainSettings:
    """How a model for many tasks learns."""
    train, tasks = config.train, config.tasks
    assert train.updates is not None, "the schema demands a number of updates"
    return TaskTrainSettings(
        updates=train.updates,
        seed=config.seed,
        schedule=RateSchedule(tasks.curve, tasks.warmup_updates, train.updates, tasks.final_rate),
        rules=SamplingRules(
            tasks.mixing,
            tasks.weights,
            tasks.sampling,
            early_starts=tasks.early_starts,
            image_batch=tasks.image_batch,
        ),
        batch_size=train.batch_size,
        learning_rate=train.learning_rate,
        weights=objective_weights(config),
        optimizer=tasks.optimizer,
        matrix_rate=train.matrix_rate,
        betas=(train.beta1, train.beta2),
        weight_decay=train.weight_decay,
        grad_clip=train.grad_clip,
        accumulate=tasks.accumulate,
        label_smoothing=tasks.label_smoothing,
        mean_weight=tasks.mean_weight,
        augmentation=tasks.augmentation,
        patience=tasks.patience,
        plateau_every=tasks.plateau_every,
        precision=train.precision,
        log_every=train.log_every,
        checkpoint_every=train.checkpoint_every,
        keep_checkpoints=train.keep_checkpoints,
    )


def objective_weights(config: Config) -> dict[Part, float]:
    """The weights in the loss of what the model learns to predict."""
    train = config.train
    weights: dict[Part, float] = {"actions": 1.0, "states": train.state_weight, "returns": train.return_weight}
    return {part: weight for part, weight in weights.items() if part in train.objective.split("+")}


def _return_range(tasks: tuple[TaskRecord, ...], name: str) -> tuple[float, float]:
    """Lowest and highest return-to-go of an input's tasks, scaled; 0, which is that of a last step, is among them."""
    scaled = [
        limit / task.reward_scale
        for task in tasks
        if task.input == name
        for limit in (task.worst_return, task.best_return)
    ]
    low, high = min(0.0, *scaled), max(0.0, *scaled)
    return low, high if high > low else low + 1.0


def _best_episodes(task: TaskData, share: float) -> np.ndarray:
    """Indices of the best episodes that together have ``share`` of a task's steps, in their order."""
    by_return = np.argsort(-task.returns, kind="stable")
    enough = np.searchsorted(np.cumsum(task.lengths[by_return]), share * task.transitions) + 1
    return np.sort(by_return[:enough])


def _check_weights(config: Config, data: MultiTaskData) -> None:
    """Raise UsageError at a weight of a domain that is not among the data."""
    domains = sorted({task.facts.input for task in data.tasks})
    for name in config.tasks.weights:
        if name not in domains:
            hint = f"this run has {', '.join(domains)}"
            raise UsageError(f"tasks.weights names {name!r}, but no dataset of the run is of that domain", hint)
