"""What ``seqrl train`` was asked for, and what it consists of before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.families import family_of
from seqrl_cli.artifacts.train_job import TrainingData, TrainJob
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning.fit import check_plan
from seqrl_cli.runs.layout import RunFolder, check_name


@dataclass(frozen=True)
class TrainRequest:
    """Options of ``seqrl train``.

    Attributes:
        dataset: what to train on.
        config: the resolved configuration.
        name: name of the run; None = ``<arch>-s<seed>``.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        force: train a run again that exists.
        argv: the command line, for the record.
    """

    dataset: DatasetRef
    config: Config
    name: str | None = None
    device: str = "auto"
    threads: int | None = None
    force: bool = False
    argv: Sequence[str] = ()

    @property
    def run(self) -> RunFolder:
        """The run's folder."""
        name = self.name or f"{self.config.model.arch}-s{self.config.seed}"
        return self.dataset.folder.run(check_name("run", name))


def settled(dataset: DatasetRef, config: Config, data: TrainingData | None = None) -> Config:
    """The configuration with what the dataset and its data decide, so that it repeats the run elsewhere."""
    known: dict[str, Any] = {"env_id": dataset.env_id, **dataset.own_settings}
    config = config.model_copy(update={"data": config.data.model_copy(update=known)})
    return config if data is None else family_of(config.model.arch).settle(config, data, dataset.id)


def warn_early(request: TrainRequest, job: TrainJob, console: Console) -> None:
    """Warn before training of what would come to light after it: no validation, or a plan that is refused."""
    config, dataset = request.config, request.dataset
    if dataset.env_id is None:
        what, hint = f"{dataset.id} does not say which environment it is from", "data.env_id=ID says which one"
        console.warn(f"{what}, so `seqrl plan` has nowhere to play; seqrl download {dataset.id} {hint}")
    if not job.validation:
        console.warn(f"{config.dataset} has one episode, so none is held out: there is no validation loss")
    try:
        check_plan(job.model, config)
    except SeqrlError as error:
        console.warn(f"`seqrl plan` will refuse this configuration: {error.message}")
