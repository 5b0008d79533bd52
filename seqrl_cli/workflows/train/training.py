"""A training that writes its run: started, resumed, or beside the run that it replaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from seqrl_cli.artifacts.train_job import TrainJob, count_parameters, estimate_seconds, parameters_text
from seqrl_cli.config.presets import dump_config
from seqrl_cli.console import Console, Progress, duration
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.data.tokens_file import save_tokens
from seqrl_cli.errors import CommandInterruptedError
from seqrl_cli.files.atomic import write_text_atomic
from seqrl_cli.runs import record as records
from seqrl_cli.runs.heartbeat import beating
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.replace import attached_results, holds_run, replacing
from seqrl_cli.tracking.metrics import TrainingLine, Values
from seqrl_cli.tracking.process import followed
from seqrl_cli.tracking.sinks import CallbackSink, JsonlSink
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.training.loop import FitOutcome, fit
from seqrl_cli.training.world import ALONE, World, world_text
from seqrl_cli.workflows.train.evaluation import evaluations
from seqrl_cli.workflows.train.setup import TrainRequest


@dataclass(frozen=True)
class Training:
    """A training job with the run that it writes.

    Attributes:
        request: the run, its data and its configuration.
        job: model, windows and settings.
        device: the model's device.
        threads: CPU threads.
        console: shows progress.
        base: the model that is fine-tuned; None for one that is trained from scratch.
        bins: the bins of the run's own, for its folder; None if it reads those of its dataset.
        world: the processes that train together, of which this one leads.
    """

    request: TrainRequest
    job: TrainJob
    device: torch.device
    threads: int
    console: Console
    base: records.BaseRecord | None = None
    bins: TokenizedDataset | None = None
    world: World = ALONE

    @property
    def folder(self) -> RunFolder:
        """The run's."""
        return self.request.run

    def run(self) -> records.RunRecord:
        """Train the run, and return its record; the caller holds its lock.

        Raises:
            CommandInterruptedError: Ctrl-C.
            SeqrlError: the run cannot be written.
        """
        self.announce()
        started = self.replace_existing() if self.request.force and holds_run(self.folder) else None
        return self.finish(self.write_start(self.folder), started)

    def announce(self) -> None:
        """Print how large the job is, or where it resumes."""
        if self.console.quiet:
            return
        job, path = self.job, self.folder.path
        steps = [] if self.request.force else saved_steps(self.folder.checkpoints)
        if steps:
            self.console.note(f"{path}: resuming from update {steps[-1]:,} of {job.settings.updates:,}")
            return
        size = f"{parameters_text(job.model)}, {job.settings.updates:,} updates on {self.device}"
        seconds = estimate_seconds(job) / self.world.size
        self.console.note(f"{path}: {size}{world_text(self.world)}, about {duration(seconds)}")

    def replace_existing(self) -> FitOutcome:
        """Train beside the existing run up to the first checkpoint, and only then replace it.

        Returns:
            How far the new run has come; ``interrupted`` is true only if Ctrl-C stopped it rather than the checkpoint.

        Raises:
            CommandInterruptedError: Ctrl-C before the first checkpoint; the existing run is unchanged.
            SeqrlError: the new run failed; likewise.
        """
        path, console = self.folder.path, self.console
        if removed := attached_results(self.folder):
            console.note(f"{path} is replaced at the first checkpoint, and its {removed} are removed with it")
        first = min(self.job.settings.checkpoint_every, self.job.settings.updates)
        made = 0

        def at_first_checkpoint() -> bool:
            nonlocal made
            made += 1  # the loop does not call this after an update that Ctrl-C stops
            return made == first

        try:
            with replacing(self.folder) as new, console.progress(f"training {path.name}", "updates") as update:
                self.write_start(new)
                outcome = self._loop(new, update, at_first_checkpoint)
        except KeyboardInterrupt as error:
            message = f"interrupted before the first checkpoint; {path} was kept"
            raise CommandInterruptedError(message, "the same command starts over") from error
        return replace(outcome, interrupted=made < first or outcome.abandoned)

    def write_start(self, folder: RunFolder) -> records.RunRecord:
        """Write the record and the configuration of a run that starts or resumes."""
        request, job = self.request, self.job
        if self.bins is not None:
            save_tokens(folder.own_tokens, self.bins)
        kept = {"created": records.read_record(folder.record).created} if folder.record.exists() else {}
        record = records.new_record(
            datasets=request.dataset.datasets,
            env_id=job.data.env_id,
            arch=request.config.model.arch,
            name=self.folder.path.name,
            seed=request.config.seed,
            status="running",
            argv=list(request.argv),
            device=str(self.device),
            threads=self.threads,
            parameters=count_parameters(job.model),
            tokens_fingerprint=job.data.fingerprint,
            return_range=job.return_range,
            suite=request.dataset.suite,
            tasks=job.tasks,
            base=self.base,
            ranks=self.world.size,
            **kept,
        )
        record = records.write_record(folder.record, record)
        write_text_atomic(folder.config, dump_config(request.config))
        return record

    def finish(self, record: records.RunRecord, started: FitOutcome | None) -> records.RunRecord:
        """Run the loop, or continue it after ``started``, and record how it ended.

        Raises:
            CommandInterruptedError: Ctrl-C.
        """
        request, root = self.request, self.request.dataset.store.root
        with followed(self.folder.path, root, request.track, self.console, push=request.push):
            return self._finish(record, started)

    def _finish(self, record: records.RunRecord, started: FitOutcome | None) -> records.RunRecord:
        status: records.Status = "failed"
        folder, console = self.folder, self.console
        try:
            if started is not None and started.interrupted:
                outcome = started
            else:
                beat = partial(records.write_heartbeat, folder.record, record)
                with beating(beat), console.progress(f"training {folder.path.name}", "updates") as update:
                    outcome = self._loop(folder, update)
            self.world.from_leader(False)  # no loop follows
            status = "interrupted" if outcome.interrupted else "finished"
        except KeyboardInterrupt as error:
            status = "interrupted"
            raise self._stopped() from error
        finally:
            record = records.write_record(folder.record, record.model_copy(update={"status": status}))
        if outcome.interrupted:
            done = f"{outcome.step:,} of {self.job.settings.updates:,}"
            raise CommandInterruptedError(f"interrupted at update {done}; a checkpoint was saved", self._resume_hint())
        return record

    def _resume_hint(self) -> str:
        without = " without --force" if self.request.force else ""
        return f"the same command{without} resumes from there"

    def _stopped(self) -> CommandInterruptedError:
        """The error of a run that was stopped before its loop, or by a second Ctrl-C in it."""
        path, steps = self.folder.path, saved_steps(self.folder.checkpoints)
        if not steps:
            return CommandInterruptedError(
                f"interrupted before the first checkpoint of {path}", "the same command starts over"
            )
        return CommandInterruptedError(
            f"interrupted; {path} has its checkpoint of update {steps[-1]:,}", self._resume_hint()
        )

    def _loop(self, folder: RunFolder, update: Progress, should_stop: Callable[[], bool] | None = None) -> FitOutcome:
        loss = ""

        def on_log(step: int, values: Values) -> None:
            nonlocal loss
            if "loss" in values:  # not an evaluation
                loss = f"loss {TrainingLine(step, values).loss:.3f}"

        request, job = self.request, self.job
        self.world.from_leader(True)  # a loop follows
        store = request.dataset.store
        with evaluations(folder, request.config, job, store, self.console, self.threads) as evaluation:
            return fit(
                job.model,
                job.train,
                job.validation,
                job.settings,
                trainer=job.trainer,
                checkpoints=folder.checkpoints,
                sinks=[JsonlSink(folder.metrics), CallbackSink(on_log)],
                on_progress=lambda done, total: update(done, total, loss),
                on_warning=self.console.warn,
                should_stop=should_stop,
                evaluation=evaluation,
                world=self.world,
            )
