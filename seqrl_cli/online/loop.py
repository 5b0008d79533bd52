"""The loop of online fine-tuning: explore, learn, evaluate; the same bits however often it is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrl_cli.data.policy_windows import Trajectory
from seqrl_cli.envs.vector.backend import EnvironmentFailedError
from seqrl_cli.errors import SeqrlError
from seqrl_cli.online.buffer_files import Segment
from seqrl_cli.online.context import Evaluation, Workplace
from seqrl_cli.online.settings import OnlineSettings
from seqrl_cli.training.checkpoints import (
    Checkpoint,
    newest_checkpoint,
    reading_state,
    saved_states,
    write_checkpoint,
)
from seqrl_cli.training.loop import LogSink, send, started
from seqrl_cli.training.meters import MetricAccumulator
from seqrl_cli.training.rng import own_generators
from seqrl_cli.training.seeds import Stream
from seqrl_cli.training.signals import deferred_interrupt


@dataclass(frozen=True)
class Outcome:
    """How a call of ``finetune`` ended: iterations done before it and in all, and whether it was stopped early."""

    first_iteration: int
    iteration: int
    interrupted: bool


MEASURES = ("loss", "nll", "entropy", "temperature", "learning_rate")  # of updates; logged as means


class _Stopped(Exception):
    """Ctrl-C amid an episode, which is played again from its start."""


@dataclass
class Counters:
    """Counters of the run, all that is saved beside the learner and the buffer.

    Attributes:
        iteration: iterations that are complete.
        updated: updates made in the iteration that is under way; above zero its exploration is in the buffer.
        env_steps, episodes: of exploration.
        exploration_return, exploration_length: of the iteration that is under way.
    """

    iteration: int = 0
    updated: int = 0
    env_steps: int = 0
    episodes: int = 0
    exploration_return: float | None = None
    exploration_length: float | None = None


def finetune(
    place: Workplace,
    settings: OnlineSettings,
    *,
    sinks: Sequence[LogSink] = (),
    on_progress: Callable[[Counters], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Fine-tune until ``settings.iterations``, from the newest checkpoint if there is one.

    On a CPU with the same number of threads a run that was cut anywhere and resumed ends with the same bits as one
    that was not. Ctrl-C finishes the update, saves and returns; amid the first evaluation there is nothing to save
    yet. PyTorch's global generators, which dropout draws from, are given back as they were.

    Args:
        place: learner, environments, buffer and files.
        settings: how to fine-tune.
        sinks: sent the log step of every iteration.
        on_progress: told of every update; the counters are the loop's own, to be read only.
        on_warning: told of damaged checkpoints and of a changed number of threads.
        should_stop: asked between updates and between steps of the environments; true saves and returns.

    Raises:
        EnvironmentFailedError: an environment broke; everything up to the iteration's beginning was saved.
        SeqrlError: all exploration blew up, a loss is not finite, the disk is full, or a file of the buffer is damaged.
    """
    with own_generators(place.learner.device), deferred_interrupt() as interrupted:
        tuner = FineTuner(place, settings, sinks, lambda: interrupted() or (should_stop is not None and should_stop()))
        tuner.begin(on_warning)
        first = tuner.progress.iteration
        with started(sinks, tuner.logged_step):
            done = tuner.run(on_progress)
    return Outcome(first, tuner.progress.iteration, interrupted=not done)


class FineTuner:
    """One fine-tuning run in memory.

    Args:
        place: see ``finetune``.
        settings: see ``finetune``.
        sinks: see ``finetune``; started and closed by the caller.
        stop: asked between updates and between steps of the environments.
    """

    def __init__(
        self, place: Workplace, settings: OnlineSettings, sinks: Sequence[LogSink], stop: Callable[[], bool]
    ) -> None:
        self.place = place
        self.settings = settings
        self.sinks = sinks
        self.progress = Counters()
        self._stop = stop
        self._live: list[Segment] = []
        self._rng = np.random.default_rng([settings.seed, Stream.REPLAY])
        self._metrics = MetricAccumulator(place.learner.settings.learning_rate, "online.learning_rate")
        self._saved: tuple[int, int] | None = None  # iteration and updates of the newest checkpoint

    def begin(self, on_warning: Callable[[str], None] | None = None) -> None:
        """Take up the newest checkpoint, or fill the buffer from the offline trajectories."""
        found = newest_checkpoint(self.place.checkpoints, on_warning)
        if found:
            with reading_state(self.place.checkpoints, found):
                self._restore(found, on_warning)
            self._tidy()
        else:
            self._add(self.place.offline)

    @property
    def logged_step(self) -> int:
        """Updates at the newest log step that stays: the end of the last complete iteration.

        The first log step, before any iteration, is that of the updates of the pretraining; until there is a checkpoint
        it comes again.
        """
        step = self.place.learner.step - self.progress.updated
        return step if self._saved is not None else step - 1

    def run(self, on_progress: Callable[[Counters], None] | None = None) -> bool:
        """Iterate to the end; false when it was stopped before, with all saved from the first evaluation's end on."""
        try:
            if self._saved is None:
                self._log(self._evaluate())
                self._save()
            while self.progress.iteration < self.settings.iterations:
                self._iterate(on_progress)
        except (_Stopped, EnvironmentFailedError) as error:
            if self._saved is not None:  # else the first evaluation is still missing, and begins anew
                self._save()
            if isinstance(error, _Stopped):
                return False
            raise
        return True

    def _iterate(self, on_progress: Callable[[Counters], None] | None) -> None:
        """One iteration, or the rest of one that was stopped amid its updates."""
        if not self.progress.updated:
            self._explore()
        windows = self.place.buffer.windows(self.settings.context)
        while self.progress.updated < self.settings.updates:
            batch = windows.batch(self._rng.integers(len(windows), size=self.settings.batch_size))
            self._metrics.note(self.place.learner.update(batch))
            self.progress.updated += 1
            if on_progress:
                on_progress(self.progress)
            if self._stop():
                raise _Stopped
        self._metrics.read(self.place.learner.step)
        iteration, last = self.progress.iteration + 1, self.progress.iteration + 1 == self.settings.iterations
        evaluation = self._evaluate() if last or iteration % self.settings.evaluate_every == 0 else None
        self.progress.iteration, self.progress.updated = iteration, 0
        self._log(evaluation)
        if last or iteration % self.settings.checkpoint_every == 0:
            self._save()

    def _explore(self) -> None:
        """Play, and add what was played to the buffer on disk and in memory."""
        progress, played = self.progress, self.place.explore(self.progress.iteration + 1, self._check)
        if played:
            self._add(played)
        progress.episodes += len(played)
        if not progress.episodes:
            raise SeqrlError(
                "no exploration episode had finite numbers, so there is nothing new to learn from",
                "the simulation blows up; aim at less with --exploration-return, or explore with less online.noise",
            )
        progress.env_steps += sum(map(len, played))
        progress.exploration_return = _mean([trajectory.total_reward for trajectory in played])
        progress.exploration_length = _mean([len(trajectory) for trajectory in played])

    def _add(self, trajectories: Sequence[Trajectory]) -> None:
        buffer = self.place.buffer
        self._live.append(self.place.segments.append(buffer.added, trajectories))
        buffer.add(trajectories)
        self._live = [segment for segment in self._live if segment.end > buffer.first]

    def _evaluate(self) -> Evaluation:
        iteration = self.progress.iteration + (self.progress.updated > 0)
        return self.place.score(self.place.evaluate(iteration, self._check))

    def _check(self) -> None:
        if self._stop():
            raise _Stopped

    def _log(self, evaluation: Evaluation | None) -> None:
        progress, buffer = self.progress, self.place.buffer
        interval = self._metrics.close()
        values: dict[str, float | None] = {
            "iteration": progress.iteration,
            "env_steps": progress.env_steps,
            "episodes": progress.episodes,
            "exploration_return": progress.exploration_return,
            "exploration_length": progress.exploration_length,
            **{name: interval.means.get(name) for name in MEASURES},
            "buffer": len(buffer),
            "buffer_return": buffer.mean_return,
            "evaluation_return": evaluation.return_ if evaluation else None,
            "evaluation_score": evaluation.score if evaluation else None,
            "evaluation_length": evaluation.length if evaluation else None,
            "elapsed": interval.elapsed,
        }
        send(self.sinks, self.place.learner.step, values)

    def _save(self) -> None:
        """Write a checkpoint, unless the newest is of this very moment; then drop segments that none needs."""
        moment = (self.progress.iteration, self.progress.updated)
        if self._saved == moment:
            return
        self._metrics.read(self.place.learner.step)
        learner = self.place.learner.checkpoint()
        state = {
            "learner": learner.state,
            "progress": vars(self.progress),
            "measures": self._metrics.measures,
            "elapsed": self._metrics.elapsed,
            "windows": self._rng.bit_generator.state,
            "buffer": {"added": self.place.buffer.added, "segments": [vars(segment) for segment in self._live]},
        }
        checkpoint = Checkpoint(learner.step, learner.model, learner.optimizer, state)
        write_checkpoint(self.place.checkpoints, checkpoint, self.settings.keep_checkpoints)
        self._saved = moment
        self._tidy()

    def _tidy(self) -> None:
        """Remove segments that no checkpoint needs, and what a killed process left half-written."""
        self.place.segments.keep_only(_needed(saved_states(self.place.checkpoints)))

    def _restore(self, found: Checkpoint, on_warning: Callable[[str], None] | None) -> None:
        state = found.state
        own = Checkpoint(found.step, found.model, found.optimizer, state["learner"])
        self.place.learner.restore(own, on_warning)
        self.progress = Counters(**state["progress"])
        self._metrics.restore(state["measures"], state["elapsed"])
        self._rng.bit_generator.state = state["windows"]
        self._live = [Segment(**values) for values in state["buffer"]["segments"]]
        buffer = self.place.buffer
        buffer.added = self._live[0].first
        for segment in self._live:
            buffer.add(self.place.segments.read(segment))
        if buffer.added != state["buffer"]["added"]:
            raise ValueError(f"its segments end at {buffer.added}, not at {state['buffer']['added']}")
        self._saved = (self.progress.iteration, self.progress.updated)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _needed(states: Iterable[Mapping[str, Any]]) -> list[Segment]:
    """The segments that any of these checkpoints reads; one whose state is damaged cannot be gone on from."""
    found: list[Segment] = []
    for state in states:
        with suppress(KeyError, TypeError):
            found += [Segment(**values) for values in state["buffer"]["segments"]]
    return found
