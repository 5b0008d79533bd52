"""``seqrl tune``: try values, learn from their results what to try next, and stop trials that lag behind."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from seqrl_cli import __version__
from seqrl_cli.config.grid import Point
from seqrl_cli.console import Console, counted, typed_command
from seqrl_cli.errors import CommandInterruptedError, SeqrlError, UsageError
from seqrl_cli.launch.launcher import Launcher
from seqrl_cli.launch.task import Ended, Task
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.sweeps import SweepFolder, SweepMember, SweepRecord, read_sweep, sweep_folder, write_sweep
from seqrl_cli.workflows.sweep.run import make_data, member_task, trial_launcher
from seqrl_cli.workflows.sweep.setup import Resolver, has_data
from seqrl_cli.workflows.tune.setup import TuneRequest, check, measured, so_far, trial_member
from seqrl_cli.workflows.tune.study import Study, Tried

_PRUNE_SECONDS = 2.0
_FIRST_FAILURES = 5
_JOURNAL = "journal.log"


@dataclass(frozen=True)
class TuneReport:
    """Result of ``tune``.

    Attributes:
        study: name of the study.
        metric: what was optimized.
        best: the best trial; None if none is complete.
        run: the best trial's run.
        trials: all trials.
        seconds: time that this command took, in seconds.
    """

    study: str
    metric: str
    best: Tried | None
    run: str | None
    trials: tuple[Tried, ...]
    seconds: float

    def text(self) -> str:
        """The best values, and how many trials ended in which way."""
        states = [trial.state for trial in self.trials]
        names = {"complete": "complete", "pruned": "pruned", "fail": "failed", "running": "running"}
        counts = ", ".join(f"{states.count(state)} {name}" for state, name in names.items() if state in states)
        lines = [f"{self.study}: {counted(len(self.trials), 'trial')}, {counts}"]
        if self.best is not None and self.best.result is not None:
            lines.append(f"best {self.metric} {self.best.result:.4g} in {self.run}:")
            lines.append("  " + " ".join(f"{key}={text}" for key, text in self.best.values.items()))
        return "\n".join(lines)


def run(request: TuneRequest, console: Console) -> TuneReport:
    """Run trials until there are as many as asked for; those that a kill cut go on first.

    Raises:
        UsageError: nothing to search, or values that no trial can have.
        SeqrlError: Optuna is missing, another driver searches, or the first trials all failed.
        CommandInterruptedError: Ctrl-C; running trials have saved.
    """
    start = time.perf_counter()
    check(request)
    folder = sweep_folder(request.store, request.sweep.sweep_name)
    _refuse_other(folder)
    resolver = Resolver(request.sweep, _threads(request, folder))
    make_data(request.sweep, _missing_data(request, resolver), console)
    with locked(folder.path, console):
        study = _study(request, folder)
        search = _Search(request, folder, resolver, study, console)
        search.run()
        return search.report(time.perf_counter() - start)


def dry_run(request: TuneRequest, console: Console) -> None:
    """Print what ``tune`` would do.

    Raises:
        UsageError: as :func:`run`.
    """
    check(request)
    folder = sweep_folder(request.store, request.sweep.sweep_name)
    _refuse_other(folder)
    resolver = Resolver(request.sweep, _threads(request, folder))
    first = trial_member(request, resolver, 0, {})
    facts = {
        "study": request.sweep.sweep_name,
        "folder": str(folder.path),
        "trials": request.trials,
        "metric": f"{request.metric} ({'higher' if request.maximize else 'lower'} is better)",
        "pruner": request.pruner,
        "already exists": folder.record.exists(),
    }
    space = {dimension.key: _dimension_text(asdict(dimension)) for dimension in request.space}
    commands = [typed_command(*words) for words in first.member.steps]
    console.emit({**facts, "space": space, "commands": commands})
    console.show_facts({**facts, **space})
    console.show(f"a trial, before its values: {' && '.join(commands)}")


@dataclass
class _Search:
    """One search while it runs."""

    request: TuneRequest
    folder: SweepFolder
    resolver: Resolver
    study: Study
    console: Console
    running: dict[str, tuple[int, Task, SweepMember]] = field(default_factory=dict)
    pruned: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Ask, run and tell, until there are enough trials."""
        jobs = self.request.sweep.jobs
        waiting = [trial.number for trial in self.study.trials() if trial.state == "running"]
        launcher = trial_launcher(self.request.sweep, self.folder, self.console)
        poll = None if self.request.pruner == "none" else _PRUNE_SECONDS
        try:
            with launcher, self.console.progress(f"tune {self.folder.path.name}, trials") as update:
                while True:
                    ended = sum(trial.state != "running" for trial in self.study.trials())
                    update(ended, self.request.trials, self._best_text())
                    while len(self.running) < jobs and (number := self._next(waiting)) is not None:
                        self._start(launcher, number)
                    if not self.running:
                        return
                    for each in launcher.wait(poll):
                        self._end(each)
                    self._prune(launcher)
        except KeyboardInterrupt as error:
            message = "interrupted; the trials that ran have saved"
            raise CommandInterruptedError(message, "the same command takes them up again") from error

    def report(self, seconds: float) -> TuneReport:
        """What came of it."""
        best = self.study.best()
        run = None if best is None else self._member(best.number, best.values).run
        name = self.folder.path.name
        return TuneReport(name, self.request.metric, best, run, tuple(self.study.trials()), seconds)

    def _next(self, waiting: list[int]) -> int | None:
        """The number of the trial to start: one that was cut, else a new one, if there are not enough."""
        if waiting:
            return waiting.pop(0)
        return self.study.ask().number if len(self.study.trials()) < self.request.trials else None

    def _start(self, launcher: Launcher, number: int) -> None:
        tried = self.study.again(number)
        shown = " ".join(f"{key}={text}" for key, text in tried.values.items())
        try:
            member = self._member(number, tried.values)
        except UsageError as error:
            self._fail(number, f"trial {number} cannot be: {error.message} ({shown})")
            return
        record = self._record(member)
        task = member_task(self.request.store.root, self.folder, record, len(record.members) - 1)
        self.console.note(f"trial {number}: {shown}")
        self.running[task.name] = (number, task, member)
        launcher.start(task)

    def _end(self, ended: Ended) -> None:
        number, _, member = self.running.pop(ended.task.name)
        if ended.task.name in self.pruned:
            self.study.tell(number, None, pruned=True)
            self.console.note(f"trial {number}: pruned")
            return
        result = measured(self.request, member) if ended.done else None
        if result is None:
            reason = ended.reason if not ended.done else f"it has no {self.request.metric}"
            self._fail(number, f"trial {number} failed: {reason}")
            return
        self.study.tell(number, result)
        self.console.note(f"trial {number}: {self.request.metric} {result:.4g}")

    def _fail(self, number: int, reason: str) -> None:
        """End a trial without a result; stop if no trial ever has one.

        Raises:
            SeqrlError: the first trials all failed.
        """
        self.study.tell(number, None)
        self.console.warn(reason)
        self.failures.append(reason)
        trials = self.study.trials()
        if len(self.failures) >= _FIRST_FAILURES and all(trial.state in ("fail", "running") for trial in trials):
            raise SeqrlError(
                f"the first {len(self.failures)} trials failed; the last: {reason}", f"their logs: {self.folder.logs}"
            )

    def _prune(self, launcher: Launcher) -> None:
        """Stop the trials that lag behind."""
        if self.request.pruner == "none":
            return
        for name, (number, task, member) in self.running.items():
            if name not in self.pruned and self.study.report(number, so_far(self.request, member)):
                self.pruned.add(name)
                launcher.stop(task)

    def _member(self, number: int, values: Mapping[str, str]) -> SweepMember:
        return trial_member(self.request, self.resolver, number, values).member

    def _record(self, member: SweepMember) -> SweepRecord:
        """Write the study's list of runs with one more, so that tables and ``sweep status`` know it."""
        known = list(read_sweep(self.folder).members) if self.folder.record.exists() else []
        others = [each for each in known if each.run != member.run]
        record = SweepRecord(
            name=self.folder.path.name,
            seqrl=__version__,
            threads=self.resolver.threads,
            axes={},
            members=(*others, member),
        )
        write_sweep(self.folder, record)
        return record

    def _best_text(self) -> str:
        best = self.study.best()
        return "" if best is None or best.result is None else f"best {self.request.metric} {best.result:.4g}"


def _study(request: TuneRequest, folder: SweepFolder) -> Study:
    return Study(
        folder.path / _JOURNAL,
        request.space,
        maximize=request.maximize,
        pruner=request.pruner,
        seed=request.seed,
    )


def _threads(request: TuneRequest, folder: SweepFolder) -> int:
    """CPU threads of each trial: as before, if the study exists."""
    if request.sweep.threads:
        return request.sweep.threads
    if folder.record.exists():
        return read_sweep(folder).threads
    return max(1, request.sweep.cores // request.sweep.jobs)


def _refuse_other(folder: SweepFolder) -> None:
    """Stop if the name is that of a sweep.

    Raises:
        UsageError: it is.
    """
    if folder.record.exists() and not (folder.path / _JOURNAL).exists():
        raise UsageError(f"{folder.path} is a sweep, not a search", "give the search another --name")


def _missing_data(request: TuneRequest, resolver: Resolver) -> list[tuple[str, ...]]:
    grid = request.grid
    texts = {key: own[0] for key, own in grid.train.items()}
    member = resolver.member(
        Point(grid.datasets[0], grid.archs[0] if grid.archs else None, texts, grid.seeds[0], ()), "trial"
    )
    return [] if has_data(member) else [resolver.data_command(member)]


def _dimension_text(values: Mapping[str, object]) -> str:
    if values["kind"] == "choice":
        return ", ".join(values["choices"])  # type: ignore[arg-type]
    return f"{values['low']:g} to {values['high']:g}" + (", logarithmic" if values["log"] else "")
