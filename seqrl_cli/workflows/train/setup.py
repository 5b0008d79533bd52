"""The options of ``seqrl train``, its complete configuration, and warnings before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.families import family_of
from seqrl_cli.artifacts.policy_data import PolicyData
from seqrl_cli.artifacts.task_loading import MultiTaskData
from seqrl_cli.artifacts.train_job import TrainingData, TrainJob, require_training_memory
from seqrl_cli.config.owners import has_key
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.planning.plan_check import check_plan
from seqrl_cli.runs.layout import RunFolder, check_name
from seqrl_cli.training.placement import Placement


@dataclass(frozen=True)
class TrainRequest:
    """Options of ``seqrl train``.

    Attributes:
        dataset: what to train on.
        config: the resolved configuration.
        name: name of the run; None = ``<arch>-s<seed>``.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        force: replace an existing run.
        argv: the command line, for the record.
        placement: place of this process among several that train the run; None if it is the only one.
        devices: processes to start on this machine; None = one, or those that torchrun started.
        track: trackers that follow the run.
        push: the URL to push the run to after each checkpoint; None for none.
    """

    dataset: DatasetRef
    config: Config
    name: str | None = None
    device: str = "auto"
    threads: int | None = None
    force: bool = False
    argv: Sequence[str] = ()
    placement: Placement | None = None
    devices: int | None = None
    track: Sequence[str] = ()
    push: str | None = None

    @property
    def processes(self) -> int:
        """Processes that train together, on all machines."""
        return self.placement.size if self.placement else self.devices or 1

    @property
    def starts_processes(self) -> bool:
        """Whether this process only starts those that train."""
        return self.placement is None and self.processes > 1

    @property
    def run(self) -> RunFolder:
        """The run's folder."""
        name = f"{self.config.model.arch}-s{self.config.seed}" if self.name is None else self.name
        return self.dataset.folder.run(check_name("run", name))


def complete_config(dataset: DatasetRef, config: Config, data: TrainingData | None = None) -> Config:
    """The configuration with the values that the dataset determines, so that it reproduces the run elsewhere."""
    known: dict[str, Any] = {"env_id": dataset.env_id, **dataset.own_settings}
    config = config.model_copy(update={"data": config.data.model_copy(update=known)})
    return config if data is None else family_of(config.model.arch).complete(config, data, dataset.id)


def check_before_training(request: TrainRequest, job: TrainJob, console: Console, *, has_data: bool = True) -> None:
    """Stop if memory cannot suffice; warn about what would only show after training: a configuration that cannot plan.

    Args:
        request: what to train.
        job: the job that trains it.
        console: gets the warnings.
        has_data: whether the job has the data themselves, not placeholders of about their size.

    Raises:
        UsageError: the plan is to use runs that training does not know.
        SeqrlError: the training needs more memory than is free.
    """
    config = request.config
    if config.plan.ensemble is not None:
        raise UsageError("plan.ensemble is for trained runs", "leave it out here, and give it to `seqrl plan`")
    require_training_memory(job, config, request.processes)
    dataset = request.dataset
    if not job.tasks and (dataset.env_id or config.data.env_id) is None:  # in a dry run, only the latter may name it
        environments = {part.env_id for part in dataset.members} - {None}
        why, how = "does not name its environment", f"to name one: seqrl download {dataset.id} data.env_id=ID"
        if len(environments) > 1:
            why, how = f"joins data of {len(environments)} environments", "--arch mddt learns to play all of them"
        console.warn(f"{dataset.id} {why}, so `seqrl plan` cannot play it; {how}")
    if has_data and not job.validation:
        console.warn(f"{config.dataset} has one episode, so none is held out: there is no validation loss")
    if has_data:
        _warn_of_actions(request, job, console)
    try:
        check_plan(job.model, config)
    except SeqrlError as error:
        console.warn(f"`seqrl plan` will refuse this configuration: {error.message}")


def _warn_of_actions(request: TrainRequest, job: TrainJob, console: Console) -> None:
    """Warn of actions that the environment does not take, and whether the model can predict them."""
    dataset = request.dataset
    if isinstance(job.data, MultiTaskData):
        members = zip(dataset.members, job.data.tasks, strict=True)
        found = ((part, part.describe_misfit(task.stored, within_bounds=True)) for part, task in members)
        for part, misfit in found:
            if misfit is not None:
                console.warn(f"{part.id}: {misfit}")
        return
    if dataset.env_id is None or not dataset.exists:
        return
    config = request.config
    bounded = isinstance(job.data, PolicyData) and (
        not has_key(config.model.arch, "policy.stochastic_tanh") or config.policy.stochastic_tanh
    )
    episodes = job.data.episodes if isinstance(job.data, PolicyData) else dataset.load_episodes()
    misfit = dataset.describe_misfit(episodes, within_bounds=bounded)
    if misfit is not None:
        console.warn(f"{dataset.id}: {misfit}")
