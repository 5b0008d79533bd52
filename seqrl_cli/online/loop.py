"""The fine-tuning loop: explore, learn, evaluate. An interrupted and resumed run ends with the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrl_cli.data.policy_windows import Trajectory
from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.json_fields import count_field, number_field
from seqrl_cli.online.buffer_files import BufferFile
from seqrl_cli.online.context import EvaluationSummary, FinetuneContext, OnlineSettings
from seqrl_cli.tracking.sinks import Sink, send, started
from seqrl_cli.training.checkpoints import (
    Checkpoint,
    checkpoint_to_resume,
    reading_state,
    saved_states,
    tidy,
    write_checkpoint,
)
from seqrl_cli.training.meters import MetricAccumulator
from seqrl_cli.training.rng import SeedStream, preserve_rng_state
from seqrl_cli.training.signals import deferred_interrupt


@dataclass(frozen=True)
class FinetuneOutcome:
    """How a call of ``finetune`` ended.

    Attributes:
        first_iteration: iterations completed before this call.
        iteration: iterations completed in all.
        interrupted: whether it stopped before the last iteration.
    """

    first_iteration: int
    iteration: int
    interrupted: bool


UPDATE_METRICS = ("loss", "nll", "entropy", "temperature", "learning_rate")  # logged as means over the updates


class _StoppedError(Exception):
    """A stop was requested; an episode that it interrupts is played again from its start."""


@dataclass
class FinetuneProgress:
    """The run's progress, which checkpoints hold beside the learner and the buffer.

    Attributes:
        iteration: completed iterations.
        updated: updates made in the current iteration; above zero, its exploration is already in the buffer.
        env_steps, episodes: steps and episodes of exploration.
        exploration_return, exploration_length: means over the current iteration's episodes.
    """

    iteration: int = 0
    updated: int = 0
    env_steps: int = 0
    episodes: int = 0
    exploration_return: float | None = None
    exploration_length: float | None = None


def finetune(
    context: FinetuneContext,
    settings: OnlineSettings,
    *,
    sinks: Sequence[Sink] = (),
    on_progress: Callable[[FinetuneProgress], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> FinetuneOutcome:
    """Fine-tune until ``settings.iterations``, from the newest checkpoint if there is one.

    On a CPU with the same number of threads, an interrupted and resumed run ends with the same bits as an
    uninterrupted one. Ctrl-C finishes the update, saves and returns; during the first evaluation there is nothing to
    save yet. The states of PyTorch's global generators, from which dropout draws, are restored at the end.

    Args:
        context: learner, environments, buffer and files.
        settings: settings of the fine-tuning.
        sinks: receive one log step per iteration.
        on_progress: called after each update with the loop's own counters; read them only.
        on_warning: called for damaged checkpoints and a changed number of threads.
        should_stop: called between updates and between steps of the environments; true saves and returns.

    Raises:
        EnvironmentFailedError: an environment failed; everything up to the start of the iteration was saved.
        SeqrlError: every exploration diverged, a loss is not finite, the disk is full, or a buffer file is damaged.
    """
    with preserve_rng_state(context.learner.device), deferred_interrupt() as interrupted:
        tuner = FineTuner(
            context, settings, sinks, lambda: interrupted() or (should_stop is not None and should_stop())
        )
        tuner.begin(on_warning)
        first = tuner.progress.iteration
        with started(sinks, tuner.logged_step):
            done = tuner.run(on_progress)
    return FinetuneOutcome(first, tuner.progress.iteration, interrupted=not done)


class FineTuner:
    """One fine-tuning run in memory.

    Args:
        context: see ``finetune``.
        settings: see ``finetune``.
        sinks: see ``finetune``; started and closed by the caller.
        stop: called between updates and between steps of the environments.
    """

    def __init__(
        self, context: FinetuneContext, settings: OnlineSettings, sinks: Sequence[Sink], stop: Callable[[], bool]
    ) -> None:
        self.context = context
        self.settings = settings
        self.sinks = sinks
        self.progress = FinetuneProgress()
        self._stop = stop
        self._buffer_files: list[BufferFile] = []
        self._rng = np.random.default_rng([settings.seed, SeedStream.REPLAY])
        self._metrics = MetricAccumulator(context.learner.settings.learning_rate, "online.learning_rate")
        self._saved: tuple[int, int] | None = None  # (iteration, updated) of the newest checkpoint

    def begin(self, on_warning: Callable[[str], None] | None = None) -> None:
        """Resume from the newest checkpoint, or fill the buffer from the offline trajectories."""
        found = checkpoint_to_resume(self.context.checkpoints, on_warning)
        if found:
            with reading_state(self.context.checkpoints, found):
                self._restore(found, on_warning)
            tidy(self.context.checkpoints, found.step, self.settings.keep_checkpoints)
            self._tidy()
        else:
            self._add(self.context.offline)

    @property
    def logged_step(self) -> int:
        """Updates at the last log step to keep, the end of the last completed iteration.

        The first log step precedes all iterations and has the pretraining's updates as its step. Until there is a
        checkpoint it is logged again.
        """
        step = self.context.learner.step - self.progress.updated
        return step if self._saved is not None else step - 1

    def run(self, on_progress: Callable[[FinetuneProgress], None] | None = None) -> bool:
        """Iterate to the end; false if stopped before. Saves at a stop, once the first evaluation is done."""
        try:
            if self._saved is None:
                self._log(self._evaluate())
                self._save()
            while self.progress.iteration < self.settings.iterations:
                self._iterate(on_progress)
        except (_StoppedError, EnvironmentFailedError) as error:
            if self._saved is not None:  # else the first evaluation starts over
                self._save()
            if isinstance(error, _StoppedError):
                return False
            raise
        return True

    def _iterate(self, on_progress: Callable[[FinetuneProgress], None] | None) -> None:
        """One iteration, or the rest of one that was stopped between its updates."""
        if not self.progress.updated:
            self._explore()
        windows = self.context.buffer.windows(self.settings.context)
        while self.progress.updated < self.settings.updates:
            batch = windows.batch(self._rng.integers(len(windows), size=self.settings.batch_size))
            self._metrics.note(self.context.learner.update(batch))
            self.progress.updated += 1
            if on_progress:
                on_progress(self.progress)
            if self._stop():
                raise _StoppedError
        self._metrics.read(self.context.learner.step)
        iteration = self.progress.iteration + 1
        last = iteration == self.settings.iterations
        evaluation = self._evaluate() if last or iteration % self.settings.evaluate_every == 0 else None
        self.progress.iteration = iteration
        self.progress.updated = 0
        self._log(evaluation)
        if last or iteration % self.settings.checkpoint_every == 0:
            self._save()

    def _explore(self) -> None:
        """Play exploration episodes and add them to the buffer, on disk and in memory."""
        progress = self.progress
        played = self.context.explore(progress.iteration + 1, self._check_stop)
        if played:
            self._add(played)
        progress.episodes += len(played)
        if not progress.episodes:
            raise SeqrlError(
                "every exploration episode contains numbers that are not finite, so there is nothing to learn from",
                "the simulation diverges; lower --exploration-return or online.noise",
            )
        progress.env_steps += sum(map(len, played))
        progress.exploration_return = _mean([trajectory.total_reward for trajectory in played])
        progress.exploration_length = _mean([len(trajectory) for trajectory in played])

    def _add(self, trajectories: Sequence[Trajectory]) -> None:
        buffer = self.context.buffer
        self._buffer_files.append(self.context.buffer_files.append(buffer.added, trajectories))
        buffer.add(trajectories)
        self._buffer_files = [file for file in self._buffer_files if file.end > buffer.first]

    def _evaluate(self) -> EvaluationSummary:
        iteration = self.progress.iteration
        if self.progress.updated > 0:
            iteration += 1
        return self.context.score(self.context.evaluate(iteration, self._check_stop))

    def _check_stop(self) -> None:
        if self._stop():
            raise _StoppedError

    def _log(self, evaluation: EvaluationSummary | None) -> None:
        progress = self.progress
        buffer = self.context.buffer
        interval = self._metrics.close()
        values: dict[str, float | None] = {
            "iteration": progress.iteration,
            "env_steps": progress.env_steps,
            "episodes": progress.episodes,
            "exploration_return": progress.exploration_return,
            "exploration_length": progress.exploration_length,
            **{name: interval.means.get(name) for name in UPDATE_METRICS},
            "buffer": len(buffer),
            "buffer_return": buffer.mean_return,
            "evaluation_return": evaluation.return_ if evaluation else None,
            "evaluation_score": evaluation.score if evaluation else None,
            "evaluation_length": evaluation.length if evaluation else None,
            "elapsed": interval.elapsed,
        }
        send(self.sinks, self.context.learner.step, values)

    def _save(self) -> None:
        """Write a checkpoint unless the newest is up to date; then remove buffer files that no checkpoint needs."""
        moment = (self.progress.iteration, self.progress.updated)
        if self._saved == moment:
            return
        self._metrics.read(self.context.learner.step)
        learner = self.context.learner.checkpoint()
        state = {
            "learner": learner.state,
            "progress": vars(self.progress),
            "measures": self._metrics.measures,
            "elapsed": self._metrics.elapsed,
            "windows": self._rng.bit_generator.state,
            "buffer": {"added": self.context.buffer.added, "segments": [vars(file) for file in self._buffer_files]},
        }
        checkpoint = Checkpoint(learner.step, learner.model, learner.optimizer, state)
        write_checkpoint(self.context.checkpoints, checkpoint, self.settings.keep_checkpoints)
        self._saved = moment
        self._tidy()

    def _tidy(self) -> None:
        """Remove buffer files that no checkpoint needs."""
        self.context.buffer_files.keep_only(_needed(saved_states(self.context.checkpoints)))

    def _restore(self, found: Checkpoint, on_warning: Callable[[str], None] | None) -> None:
        state = found.state
        own = Checkpoint(found.step, found.model, found.optimizer, state["learner"])
        self.context.learner.restore(own, on_warning)
        self.progress = FinetuneProgress(**state["progress"])
        for name, value in state["progress"].items():
            if not name.startswith("exploration_"):
                count_field(state["progress"], name)
            elif value is not None:
                number_field(state["progress"], name)
        self._metrics.restore(state["measures"], state["elapsed"])
        self._rng.bit_generator.state = state["windows"]
        self._buffer_files = [BufferFile(**values) for values in state["buffer"]["segments"]]
        buffer = self.context.buffer
        buffer.added = self._buffer_files[0].first
        for file in self._buffer_files:
            buffer.add(self.context.buffer_files.read(file))
        if buffer.added != state["buffer"]["added"]:
            raise ValueError(f"its buffer files end at {buffer.added}, not at {state['buffer']['added']}")
        self._saved = (self.progress.iteration, self.progress.updated)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _needed(states: Iterable[Mapping[str, Any]]) -> list[BufferFile]:
    """The buffer files that these checkpoints read; a damaged state is skipped, since no run can resume from it."""
    found: list[BufferFile] = []
    for state in states:
        with suppress(KeyError, TypeError):
            found += [BufferFile(**values) for values in state["buffer"]["segments"]]
    return found
