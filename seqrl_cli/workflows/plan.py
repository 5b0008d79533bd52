"""From a trained model to planned episodes: one JSON and one HDF5 file each, written when the episode ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seqrl_cli.config.overrides import merge, nest
from seqrl_cli.config.presets import validate
from seqrl_cli.config.schema import PlanConfig
from seqrl_cli.console import Console
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.envs.vector import EpisodeVector
from seqrl_cli.errors import Interrupted, SeqrlError, UsageError
from seqrl_cli.models.build import build_decoder, device_of
from seqrl_cli.models.decoder import Decoder
from seqrl_cli.planning.memory import plan_bytes
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import EpisodeRecord, Rollout
from seqrl_cli.planning.settings import PlanSettings
from seqrl_cli.runs.atomic import atomic_path, write_json_atomic
from seqrl_cli.runs.layout import RunFolder, episode_record
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.record import SCHEMA_VERSION, refuse_newer_schema, versions
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.datasets import environment_of, locate, percent_score, reference_scores
from seqrl_cli.workflows.models import TrainedModel, available_memory, choose_device, load_model, use_threads

# How a setting that differs from the default is written in a plan folder's name.
SHORT_NAMES = {
    "n_expand": "expand",
    "k_obs": "kobs",
    "k_act": "kact",
    "cdf_obs": "cdfobs",
    "cdf_act": "cdfact",
    "percentile": "p",
    "prefix_context": "prefix",
    "plan_freq": "freq",
    "discount": "discount",
    "window": "",
    "context": "",
    "max_steps": "steps",
}


@dataclass(frozen=True)
class PlanRequest:
    """What ``seqrl plan`` was asked for.

    Attributes:
        run: a run's path or name, or a dataset; None = the latest run.
        overrides: dotted keys below ``plan.``, over the run's configuration.
        seed: of environments and samples.
        checkpoint: updates of the checkpoint; None = the newest.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        max_memory: bytes that planning may take; None = half of what is free.
    """

    run: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    checkpoint: int | None = None
    device: str = "auto"
    threads: int | None = None
    max_memory: int | None = None


@dataclass(frozen=True)
class PlanReport:
    """What ``plan`` says; scores in percent, None without reference scores."""

    folder: str
    episodes: int
    fresh: int
    mean_return: float
    standard_error: float
    mean_score: float | None
    mean_steps: float
    seconds: float
    profile: dict[str, float]

    def text(self, profile: bool = False) -> str:
        """A few lines for a person."""
        score = f", score {self.mean_score:.1f}" if self.mean_score is not None else ""
        error = f" ± {self.standard_error:,.1f}" if self.episodes > 1 else ""
        line = f"{self.episodes} episodes: return {self.mean_return:,.1f}{error}{score}, {self.mean_steps:,.0f} steps"
        lines = [line, self.folder]
        total = sum(self.profile.values())
        if profile and total:
            lines.append("where the time of a step goes:")
            lines += [f"  {part:<12} {100 * spent / total:5.1f} %" for part, spent in self.profile.items()]
        elif profile:
            lines.append("nothing was played, so there is nothing to profile; --force plays again")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The same for --json."""
        return asdict(self)


@dataclass(frozen=True)
class Planner:
    """A model made ready to plan: everything that does not change from episode to episode."""

    run: RunFolder
    trained: TrainedModel
    decoder: Decoder
    config: PlanConfig
    settings: PlanSettings
    env_id: str
    references: tuple[float, float] | None
    seed: int
    max_memory: int

    @property
    def folder(self) -> Path:
        """Where the episodes go."""
        return self.run.plans / plan_name(self.config, self.seed)

    def rollout(self, vector: EpisodeVector, profile: Profile) -> Rollout:
        """A fresh closed loop over some environments.

        Raises:
            SeqrlError: the environment is not the one that the model knows, or memory is short.
        """
        tokens = self.trained.tokens
        sizes = (vector.observation_dim, vector.action_dim)
        if sizes != (tokens.observation_dim, tokens.action_dim):
            raise SeqrlError(
                f"{self.env_id} has observations and actions of sizes {sizes}, "
                f"{tokens.dataset_id} {(tokens.observation_dim, tokens.action_dim)}",
                "name the right environment: seqrl download FILE data.env_id=… --force",
            )
        return Rollout(
            self.decoder,
            tokens.discretizer,
            vector,
            self.settings,
            seed=self.seed,
            profile=profile,
            max_memory=self.max_memory,
        )


def plan_episodes(store: RunStore, request: PlanRequest, console: Console, *, force: bool = False) -> PlanReport:
    """Play the episodes that are missing and sum all of them up.

    Raises:
        Interrupted: Ctrl-C; finished episodes are kept.
        SeqrlError: there is no such run, the model cannot hold the plan, or the results cannot be written.
    """
    use_threads(request.threads)
    planner = make_planner(store, request)
    folder, wanted = planner.folder, planner.config.episodes
    profile = Profile()
    start = time.perf_counter()
    with locked(folder):
        missing = [i for i in range(wanted) if force or not _is_there(planner, i)]
        if not missing:
            console.note(f"{folder} already has {wanted} episodes; --force plays them again")
        else:
            if len(missing) < wanted and not force:
                console.note(f"{wanted - len(missing)} of {wanted} episodes are there already")
            _announce(planner, missing, console)
            _play(planner, missing, profile, console)
        return _report(planner, len(missing), time.perf_counter() - start, profile)


def make_planner(store: RunStore, request: PlanRequest) -> Planner:
    """Find the run, load its model and settle the plan's settings.

    Raises:
        UsageError: a key that is not about planning, or a bad value.
        SeqrlError: there is no such run, or the model cannot hold the plan.
    """
    run = store.find(request.run)
    trained = load_model(run, choose_device(request.device), request.checkpoint)
    config = _plan_config(trained, request.overrides)
    settings = plan_settings(config)
    settings.check_fits(trained.model.block_size, trained.model.transition_dim)
    located = locate(store, trained.record.dataset)
    return Planner(
        run=run,
        trained=trained,
        decoder=build_decoder(trained.model, settings.view),
        config=config,
        settings=settings,
        env_id=environment_of(located),
        references=reference_scores(located),
        seed=request.seed,
        max_memory=request.max_memory or available_memory(device_of(trained.model)) // 2,
    )


def _plan_config(trained: TrainedModel, overrides: Mapping[str, Any]) -> PlanConfig:
    foreign = [key for key in overrides if not key.startswith("plan.")]
    if foreign:
        raise UsageError(f"{foreign[0]!r} cannot be changed when planning", "keys that plan takes start with plan.")
    return validate(merge(trained.config.model_dump(), nest(overrides))).plan


def plan_settings(config: PlanConfig) -> PlanSettings:
    """The planner's settings out of the configuration."""
    return PlanSettings(**config.model_dump(exclude={"episodes", "envs", "max_steps"}))


def plan_name(config: PlanConfig, seed: int) -> str:
    """The plan folder's name: ``H15-B128-ctx5-s0``, with every other setting that is not the default in between."""
    parts = [f"H{config.horizon}", f"B{config.beam_width}", f"ctx{config.max_context_transitions}"]
    for key, short in SHORT_NAMES.items():
        value = getattr(config, key)
        if value != PlanConfig.model_fields[key].default:
            text = {None: "none", True: "on", False: "off"}.get(value, value) if not isinstance(value, float) else value
            parts.append(f"{short}{text}")
    return "-".join([*parts, f"s{seed}"])


def _is_there(planner: Planner, episode: int) -> bool:
    """Whether a whole record of this episode, made by this checkpoint, is there.

    Raises:
        SeqrlError: a record is there that another checkpoint made, or a newer seqrl.
    """
    path = episode_record(planner.folder, episode)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        refuse_newer_schema(path, values)
        step = values["checkpoint_step"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if step != planner.trained.step:
        message = f"{path} was played with checkpoint {step}, not {planner.trained.step}"
        raise SeqrlError(message, "play again with --force, or plan with the old one: --checkpoint")
    return path.with_suffix(".h5").exists()


def _announce(planner: Planner, missing: list[int], console: Console) -> None:
    settings = planner.settings
    memory = plan_bytes(planner.decoder, settings) * min(planner.config.envs, len(missing)) / 2**20
    console.note(
        f"planning {len(missing)} episodes of {planner.env_id} with {planner.run.path}: "
        f"horizon {settings.horizon}, {settings.beam_width} beams, {planner.config.envs} at once, {memory:,.0f} MiB"
    )


def _play(planner: Planner, episodes: list[int], profile: Profile, console: Console) -> None:
    slots = min(planner.config.envs, len(episodes))
    vector = EpisodeVector(planner.env_id, slots, max_episode_steps=planner.config.max_steps)
    written: list[int] = []
    try:
        with console.progress("planning", "steps") as update:
            tally = _Tally(update, len(episodes), vector.max_episode_steps)

            def on_episode(record: EpisodeRecord) -> None:
                _write_episode(planner, record)
                written.append(record.episode)
                tally.finished(record)
                console.note(_line(planner, record))

            planner.rollout(vector, profile).play(episodes, on_episode, tally.stepped)
    except KeyboardInterrupt as error:
        message = f"interrupted; {len(written)} of {len(episodes)} episodes were finished and kept"
        raise Interrupted(message, "the same command plays the missing ones") from error
    finally:
        vector.close()


@dataclass
class _Tally:
    """Steps played and steps that may be left, for the progress bar: an unfinished episode may last to the limit."""

    update: Callable[..., None]
    episodes: int
    limit: int
    steps: int = 0
    done: int = 0
    steps_of_done: int = 0

    def stepped(self, running: int, finished: int) -> None:
        """One step of every running episode."""
        self.steps += running
        total = self.steps_of_done + (self.episodes - self.done) * self.limit
        self.update(self.steps, total, f"{finished}/{self.episodes} episodes")

    def finished(self, record: EpisodeRecord) -> None:
        """An episode ended; its last step has not been counted yet."""
        self.steps += 1
        self.done += 1
        self.steps_of_done += len(record.actions)


def _line(planner: Planner, record: EpisodeRecord) -> str:
    percent = percent_score(record.total_reward, planner.references)
    score = f", score {percent:.1f}" if percent is not None else ""
    end = "fell" if record.terminated else "to the limit"
    steps = f"{len(record.actions)} steps ({end})"
    return f"episode {record.episode}: return {record.total_reward:,.1f}{score}, {steps}"


def _write_episode(planner: Planner, record: EpisodeRecord) -> None:
    """States first, then the JSON: where the JSON is, the episode is whole."""
    path = episode_record(planner.folder, record.episode)
    with atomic_path(path.with_suffix(".h5")) as temporary, h5py.File(temporary, "w", track_order=True) as file:
        file.attrs.update(env_id=planner.env_id, dataset=planner.trained.record.dataset, schema_version=SCHEMA_VERSION)
        for name, array in asdict(record).items():
            if isinstance(array, np.ndarray):
                file.create_dataset(name, data=array, compression="gzip", track_times=False)
    percent = percent_score(record.total_reward, planner.references)
    content = {
        "schema_version": SCHEMA_VERSION,
        "score": None if percent is None else percent / 100,
        "return": record.total_reward,
        "step": len(record.actions) - 1,
        "term": record.terminated,
        "episode": record.episode,
        "seed": planner.seed,
        "environment_seed": record.seed,
        "dataset": planner.trained.record.dataset,
        "env_id": planner.env_id,
        "run": planner.run.path.name,
        "arch": planner.trained.record.arch,
        "checkpoint_step": planner.trained.step,
        "settings": planner.config.model_dump(exclude={"episodes", "envs"}),
        "seconds_per_step": record.seconds_per_step,
        "versions": versions(),
    }
    write_json_atomic(path, content)


def _report(planner: Planner, fresh: int, seconds: float, profile: Profile) -> PlanReport:
    records = [
        json.loads(episode_record(planner.folder, i).read_text(encoding="utf-8"))
        for i in range(planner.config.episodes)
    ]
    returns = np.array([record["return"] for record in records])
    return PlanReport(
        folder=str(planner.folder),
        episodes=len(records),
        fresh=fresh,
        mean_return=float(returns.mean()),
        standard_error=float(returns.std() / np.sqrt(len(returns))),
        mean_score=percent_score(float(returns.mean()), planner.references),
        mean_steps=float(np.mean([record["step"] + 1 for record in records])),
        seconds=seconds,
        profile=profile.seconds,
    )


def show_plan(store: RunStore, request: PlanRequest, console: Console) -> None:
    """What ``plan`` would do, for --dry-run."""
    use_threads(request.threads)
    planner = make_planner(store, request)
    needed = plan_bytes(planner.decoder, planner.settings) * planner.config.envs
    facts = {
        "run": str(planner.run.path),
        "checkpoint": planner.trained.step,
        "environment": planner.env_id,
        "to": str(planner.folder),
        "episodes there": len(list(planner.folder.glob("episode-*.json"))),
        "memory": f"{needed / 2**20:,.0f} MiB of {planner.max_memory / 2**20:,.0f} MiB allowed",
        **{f"plan.{key}": value for key, value in planner.config.model_dump().items()},
    }
    console.emit(facts)
    console.show_facts(facts)


def collect_with_run(
    store: RunStore, run: str, env_id: str, transitions: int, seed: int, progress: Callable[..., None]
) -> Episodes:
    """Play a run's planner until there are enough transitions; the last episode is cut, as a timeout.

    Raises:
        SeqrlError: there is no such run, or it plans in another environment.
    """
    planner = make_planner(store, PlanRequest(run, seed=seed))
    if planner.env_id != env_id:
        raise SeqrlError(
            f"{planner.run.path} plans in {planner.env_id}, not in {env_id}", f"seqrl collect {planner.env_id}"
        )
    vector = EpisodeVector(env_id, planner.config.envs, max_episode_steps=planner.config.max_steps)
    if transitions < vector.max_episode_steps:
        vector.close()
        vector = EpisodeVector(env_id, 1, max_episode_steps=transitions)
    rollout = planner.rollout(vector, Profile())
    records: list[EpisodeRecord] = []
    rows = 0
    try:
        while rows < transitions:
            first = len(records)
            rollout.play(range(first, first + len(vector)), records.append)
            rows = sum(len(record.actions) for record in records)
            progress(min(rows, transitions), transitions)
    finally:
        vector.close()
    return _as_episodes(sorted(records, key=lambda record: record.episode), transitions)


def _as_episodes(records: list[EpisodeRecord], transitions: int) -> Episodes:
    last = np.concatenate([np.arange(len(r.actions)) == len(r.actions) - 1 for r in records])
    fell = np.concatenate([np.full(len(r.actions), r.terminated) for r in records])
    return Episodes.from_flags(
        np.concatenate([record.observations[:-1] for record in records])[:transitions],
        np.concatenate([record.actions for record in records])[:transitions],
        np.concatenate([record.rewards for record in records])[:transitions],
        (last & fell)[:transitions],
        (last & ~fell)[:transitions],
    )
