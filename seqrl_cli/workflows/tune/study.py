"""Optuna's study: which values to try next, and a journal of all trials; only the driver reads and writes it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.config.extras import require_extra
from seqrl_cli.config.space import Dimension

EXTRA = "tune"
PRUNERS = ("none", "median", "hyperband")


class _NoLock:
    """The journal's lock: ours on the study's folder already keeps others away, and no kill leaves it behind."""

    def acquire(self) -> bool:
        """Take nothing."""
        return True

    def release(self) -> None:
        """Give nothing back."""


@dataclass(frozen=True)
class Tried:
    """One trial.

    Attributes:
        number: number of the trial, from 0.
        state: ``running``, ``complete``, ``pruned`` or ``fail``.
        values: what was chosen, as typed after ``key=``.
        result: the metric; None if there is none.
    """

    number: int
    state: str
    values: Mapping[str, str]
    result: float | None


class Study:
    """A study in a journal file.

    Args:
        journal: file of the journal; a study that it contains goes on.
        space: what trials may choose.
        maximize: whether a higher metric is better.
        pruner: one of ``PRUNERS``.
        seed: seed of the choices.
        warmup: trials that are never pruned.
    """

    def __init__(
        self, journal: Path, space: Sequence[Dimension], *, maximize: bool, pruner: str, seed: int, warmup: int = 5
    ) -> None:
        self._optuna = optuna = require_extra(EXTRA, "optuna", "seqrl tune")
        storages = require_extra(EXTRA, "optuna.storages", "seqrl tune")
        backends = require_extra(EXTRA, "optuna.storages.journal", "seqrl tune")
        optuna.logging.set_verbosity(logging.ERROR)
        self._space = list(space)
        self._seed = seed
        pruners = {
            "none": optuna.pruners.NopPruner,
            "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=warmup),
            "hyperband": optuna.pruners.HyperbandPruner,
        }
        self._study = optuna.create_study(
            storage=storages.JournalStorage(backends.JournalFileBackend(str(journal), lock_obj=_NoLock())),
            study_name="seqrl",
            direction="maximize" if maximize else "minimize",
            pruner=pruners[pruner](),
            load_if_exists=True,
        )

    def trials(self) -> list[Tried]:
        """All trials in order."""
        return [
            Tried(trial.number, trial.state.name.lower(), _texts(self._space, trial.params), trial.value)
            for trial in self._study.get_trials(deepcopy=False)
        ]

    def ask(self) -> Tried:
        """A new trial with its values."""
        return self.again(self._study.ask().number)

    def again(self, number: int) -> Tried:
        """A trial that was begun, with the values that it has, or gets now if a kill came before it had them."""
        # The choices depend on the trials so far and the number, but not on how often the driver was started.
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)
        trial = self._trial(number)
        params = {dimension.key: _suggest(trial, dimension) for dimension in self._space}
        return Tried(number, "running", _texts(self._space, params), None)

    def report(self, number: int, values: Sequence[tuple[int, float]]) -> bool:
        """Report what a running trial has measured so far, by update; returns whether it should be stopped."""
        trial = self._trial(number)
        known = self._study.get_trials(deepcopy=False)[number].intermediate_values
        for step, value in values:
            if step not in known:
                trial.report(value, step)
        return bool(values) and bool(trial.should_prune())

    def tell(self, number: int, result: float | None, *, pruned: bool = False) -> None:
        """End a trial: with its metric, pruned, or failed."""
        states = self._optuna.trial.TrialState
        if pruned:
            self._study.tell(number, state=states.PRUNED)
        elif result is None:
            self._study.tell(number, state=states.FAIL)
        else:
            self._study.tell(number, result)

    def best(self) -> Tried | None:
        """The best complete trial; None before there is one."""
        complete = [trial for trial in self.trials() if trial.state == "complete"]
        if not complete:
            return None
        return self.trials()[self._study.best_trial.number]

    def _trial(self, number: int) -> Any:
        frozen = self._study.get_trials(deepcopy=False)[number]
        return self._optuna.trial.Trial(self._study, frozen._trial_id)


def _suggest(trial: Any, dimension: Dimension) -> Any:
    if dimension.kind == "choice":
        return trial.suggest_categorical(dimension.key, list(dimension.choices))
    if dimension.kind == "int":
        return trial.suggest_int(dimension.key, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(dimension.key, dimension.low, dimension.high, log=dimension.log)


def _texts(space: Sequence[Dimension], params: Mapping[str, Any]) -> dict[str, str]:
    """Chosen values as they would be typed; numbers in full, so that a run can be repeated."""
    kinds = {dimension.key: dimension.kind for dimension in space}
    return {key: repr(value) if kinds.get(key) != "choice" else str(value) for key, value in params.items()}
