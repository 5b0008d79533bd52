"""The members of a sweep: their configurations, names and command lines, checked before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqrl_cli import __version__
from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import dataset_config
from seqrl_cli.config.architectures import ARCHITECTURES, DEFAULT
from seqrl_cli.config.grid import Grid, Point, short_words
from seqrl_cli.config.overrides import dotted_keys, overridden, parse_overrides
from seqrl_cli.config.presets import refuse_foreign_keys, validate
from seqrl_cli.config.schema import Config
from seqrl_cli.runs.layout import check_name
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.sweeps import SweepMember, SweepRecord, Words, read_sweep, sweep_folder
from seqrl_cli.workflows.sweep.checks import check_axes, check_dataset, check_same, refuse_equal_names
from seqrl_cli.workflows.sweep.followers import NOBODY, Followers


@dataclass(frozen=True)
class Cluster:
    """Where members run if not on this machine.

    Attributes:
        kind: ``ray``, ``slurm`` or ``pbs``.
        address: address of a Ray cluster; None = the one that this machine belongs to.
        cpus: cores per member.
        gpus: GPUs per member; None = not asked for.
        time: time limit of a job, as the scheduler writes it.
        options: further options of the scheduler, such as ``partition=gpu``.
        submit: submit the script of a job array, rather than only write it.
    """

    kind: str
    address: str | None = None
    cpus: int = 1
    gpus: float | None = None
    time: str | None = None
    options: Sequence[str] = ()
    submit: bool = False


@dataclass(frozen=True)
class SweepRequest:
    """Options of ``seqrl sweep``.

    Attributes:
        store: the run directory.
        grid: what to train, and what to plan with.
        name: the sweep's name, if the user chose one, with which the names of its runs begin too.
        default_name: name of the sweep otherwise.
        jobs: members at a time on this machine.
        threads: CPU threads of each member; None = as the sweep was begun with, else all cores shared by the jobs.
        cores: number of cores of this machine.
        device: ``auto``, ``cpu``, ``cuda`` …
        retries: how often a command that dies is started again.
        cluster: the cluster that members run on; None = on this machine.
        network: words for commands that fetch data, such as ``--offline``.
        followers: what accompanies each member.
        force: replace the list of members of an existing sweep of this name.
    """

    store: RunStore
    grid: Grid
    name: str | None = None
    default_name: str | None = None
    jobs: int = 1
    threads: int | None = None
    cores: int = 1
    device: str = "auto"
    retries: int = 3
    cluster: Cluster | None = None
    network: Sequence[str] = ()
    followers: Followers = NOBODY
    force: bool = False

    @property
    def sweep_name(self) -> str:
        """The sweep's name."""
        return check_name("sweep", self.name or self.default_name or default_name(self.grid))


@dataclass(frozen=True)
class Member:
    """A member with what it trains on.

    Attributes:
        member: the member as in the record.
        dataset: the member's dataset.
        config: the member's resolved configuration.
    """

    member: SweepMember
    dataset: DatasetRef
    config: Config


@dataclass(frozen=True)
class Sweep:
    """A checked sweep.

    Attributes:
        record: the record as it is written.
        members: the members with what they train on.
        missing_data: those of the commands for data whose files are not there.
    """

    record: SweepRecord
    members: tuple[Member, ...]
    missing_data: tuple[Words, ...]


def default_name(grid: Grid) -> str:
    """A name made of the datasets and the axes: ``hopper-medium-arch-lr``, or ``hopper-medium-gpt`` for seeds alone."""
    first = Path(grid.datasets[0]).stem if Path(grid.datasets[0]).exists() else grid.datasets[0].rpartition("/")[2]
    axes = [key for key in grid.axes if key not in ("dataset", "seed")]
    words = short_words(axes)
    kind = [words[key] for key in axes] or [*grid.archs[:1]] or [DEFAULT]
    more = [] if len(grid.datasets) == 1 else [f"and-{len(grid.datasets) - 1}"]
    return "-".join([first.replace("+", "-"), *more, *kind])[:100]


def set_up(request: SweepRequest) -> Sweep:
    """Resolve and check every member.

    Raises:
        UsageError: an unknown dataset, key or value, an axis that cannot be one, or two members of one name.
        SeqrlError: a sweep of this name has other members.
    """
    grid = request.grid
    for dataset in grid.datasets:
        check_dataset(request.store, dataset)
    check_axes(grid)
    known = _existing(request)
    threads = request.threads or (known.threads if known else max(1, request.cores // request.jobs))
    resolver = Resolver(request, threads)
    members = tuple(resolver.member(point) for point in grid.points())
    refuse_equal_names([member.member for member in members])
    data = [(member, resolver.data_command(member)) for member in members]
    record = SweepRecord(
        name=request.sweep_name,
        seqrl=__version__,
        threads=threads,
        axes=grid.axes,
        data=_data_commands([words for _, words in data]),
        members=tuple(member.member for member in members),
    )
    if known and not request.force:
        check_same(known, record)
    missing = {words for member, words in data if not has_data(member)}
    return Sweep(record, members, tuple(words for words in record.data if words in missing))


def config_keys() -> list[str]:
    """Keys that a sweep's training may set."""
    own = ("dataset", "size", "preset", "seed", "model.arch")
    return [key for key in dotted_keys(Config) if key not in own and not key.startswith("finetune.")]


def plan_keys() -> list[str]:
    """Keys that a sweep's planning may set."""
    return [key for key in config_keys() if key.startswith("plan.")]


def with_plan(config: Config, words: Words) -> Config:
    """A member's configuration with the settings of one of its planning commands.

    Raises:
        SeqrlError: a value is wrong.
    """
    overrides = parse_overrides([word for word in words if word.startswith("plan.")], plan_keys())
    return validate(overridden(config.model_dump(), overrides))


@dataclass
class Resolver:
    """Resolves members; those that differ in their seed alone share the work."""

    request: SweepRequest
    threads: int
    _known: dict[Any, tuple[DatasetRef, Config]] = field(default_factory=dict)
    _typed: dict[str, str] = field(default_factory=dict)

    def member(self, point: Point, name: str | None = None) -> Member:
        """A member of the grid; ``name`` is that of its run, made of the axes if it is None.

        Raises:
            UsageError: an unknown dataset, key or value.
        """
        grid = self.request.grid
        dataset, config = self._resolve(point)
        config = config.model_copy(update={"seed": point.seed})
        name = check_name("run", name or point.name(self.request.name, short_words(point.varied)))
        run = (dataset.folder.run(name).path).relative_to(self.request.store.root).as_posix()
        train = ("train", dataset.id, "--name", name, *self._settings(point))
        plans = [self._plan(run, settings) for settings in grid.plan_settings]
        member = SweepMember(run=run, values=point.axis_values(grid.axes), steps=(train, *plans))
        return Member(member, dataset, config)

    def data_command(self, member: Member) -> Words:
        """The command that makes the data which all members of a dataset share."""
        grid = self.request.grid
        typed = self._typed[member.dataset.id]
        words = [f"{key}={texts[0]}" for key, texts in grid.train.items() if key.startswith("data.")]
        if grid.config_file or ARCHITECTURES[member.config.model.arch].kind.reads != "tokens":
            return ("download", typed, *words)
        return ("discretize", typed, *self._sizes(), *words)

    def _resolve(self, point: Point) -> tuple[DatasetRef, Config]:
        key = (point.dataset, point.arch, *point.values.items())
        if key not in self._known:
            grid = self.request.grid
            overrides = parse_overrides([f"{name}={text}" for name, text in point.values.items()], config_keys())
            if point.arch is not None:
                overrides["model.arch"] = point.arch
            located = dataset_config(
                self.request.store,
                point.dataset,
                size=grid.size,
                preset=grid.preset,
                overrides=overrides,
                config_file=Path(grid.config_file) if grid.config_file else None,
            )
            _check_plans(located[1], grid)
            self._known[key] = located
            self._typed.setdefault(located[0].id, point.dataset)
        return self._known[key]

    def _settings(self, point: Point) -> list[str]:
        arch = [] if point.arch is None else ["--arch", point.arch]
        words = [f"{key}={text}" for key, text in point.values.items()]
        return [*arch, "--seed", str(point.seed), *self._sizes(), *words, *self._machine()]

    def _plan(self, run: str, settings: dict[str, str]) -> Words:
        return ("plan", run, *(f"{key}={text}" for key, text in settings.items()), *self._machine())

    def _sizes(self) -> list[str]:
        grid = self.request.grid
        given = {"--size": grid.size, "--preset": grid.preset, "--config": grid.config_file}
        return [word for option, value in given.items() if value for word in (option, value)]

    def _machine(self) -> list[str]:
        device = [] if self.request.device == "auto" else ["--device", self.request.device]
        return [*device, "--threads", str(self.threads)]


def _check_plans(config: Config, grid: Grid) -> None:
    for settings in grid.plan_settings:
        overrides = parse_overrides([f"{key}={text}" for key, text in settings.items()], plan_keys())
        refuse_foreign_keys(config.model.arch, overrides)
        validate(overridden(config.model_dump(), overrides))


def _data_commands(commands: Sequence[Words]) -> tuple[Words, ...]:
    """Each command once; what is discretized needs no download of its own."""
    discretized = {words[1] for words in commands if words[0] == "discretize"}
    return tuple(dict.fromkeys(words for words in commands if words[0] == "discretize" or words[1] not in discretized))


def has_data(member: Member) -> bool:
    """Whether the files that a member reads are there; it checks their content itself."""
    tokens = ARCHITECTURES[member.config.model.arch].kind.reads == "tokens"
    return member.dataset.exists and (not tokens or member.dataset.folder.tokens.exists())


def _existing(request: SweepRequest) -> SweepRecord | None:
    folder = sweep_folder(request.store, request.sweep_name)
    return read_sweep(folder) if folder.record.exists() and not request.force else None
