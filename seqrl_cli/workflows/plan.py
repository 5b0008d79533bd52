"""From a trained model to planned episodes: one JSON and one HDF5 file each, written when the episode ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seqrl_cli.config.recipe import recipe_of
from seqrl_cli.console import Console, counted
from seqrl_cli.envs.vector.backend import EnvironmentFailure
from seqrl_cli.errors import Interrupted, SeqrlError
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import EpisodeRecord
from seqrl_cli.runs.atomic import atomic_path, write_json_atomic, writing
from seqrl_cli.runs.layout import episode_record
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.record import SCHEMA_VERSION, refuse_newer_schema, versions
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.datasets import percent_score
from seqrl_cli.workflows.models import use_threads
from seqrl_cli.workflows.planner import Planner, PlanRequest, make_planner


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
        played = counted(self.episodes, "episode")
        line = f"{played}: return {self.mean_return:,.1f}{error}{score}, {self.mean_steps:,.0f} steps"
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


def plan_episodes(store: RunStore, request: PlanRequest, console: Console, *, force: bool = False) -> PlanReport:
    """Play the episodes that are missing and sum all of them up.

    Raises:
        Interrupted: Ctrl-C; finished episodes are kept.
        SeqrlError: there is no such run, the model cannot hold the plan, or the results cannot be written.
    """
    use_threads(request.threads)
    planner = make_planner(store, request, console.warn)
    folder, wanted = planner.folder, planner.config.episodes
    profile = Profile()
    start = time.perf_counter()
    with locked(folder):
        missing = [i for i in range(wanted) if force or not _is_there(planner, i)]
        if not missing:
            console.note(f"{folder} already has {counted(wanted, 'episode')}; --force plays again")
        else:
            if len(missing) < wanted:
                console.note(f"{wanted - len(missing)} of {wanted} episodes are there already")
            _announce(planner, missing, console)
            _play(planner, missing, profile, console, discard=force)
        return _report(planner, len(missing), time.perf_counter() - start, profile)


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
    return _has_states(path.with_suffix(".h5"), values.get("step"))


def _has_states(path: Path, step: object) -> bool:
    """Whether the states of all steps, the last of index ``step``, can be read."""
    try:
        with h5py.File(path) as file:
            return isinstance(step, int) and len(file["actions"]) == step + 1
    except (OSError, KeyError, RuntimeError):
        return False


def _discard_episodes(folder: Path) -> None:
    """Remove all episodes, so that new and old are never mixed; JSON first, because it vouches for states."""
    with writing(folder):
        for suffix in ("json", "h5"):
            for path in folder.glob(f"episode-*.{suffix}"):
                path.unlink()


def _announce(planner: Planner, missing: list[int], console: Console) -> None:
    settings = planner.mind.describe(min(planner.config.envs, len(missing)))
    count = counted(len(missing), "episode")
    console.note(f"planning {count} of {planner.env_id} with {planner.run.path}: {settings}")


def _play(planner: Planner, episodes: list[int], profile: Profile, console: Console, *, discard: bool) -> None:
    """Play and write episodes; ``discard`` those that are there, once nothing more stands in the way of new ones."""
    slots = min(planner.config.envs, len(episodes))
    vector = planner.make_vector(slots, planner.config.max_steps)
    written: list[int] = []
    try:
        rollout = planner.rollout(vector, profile)
        if discard:
            _discard_episodes(planner.folder)
        with console.progress("planning", "steps") as update:
            tally = _Tally(update, len(episodes), vector.max_episode_steps)

            def on_episode(record: EpisodeRecord) -> None:
                planner.refuse_broken(record)
                _write_episode(planner, record)
                written.append(record.episode)
                tally.finished(record)
                console.note(_line(planner, record))

            rollout.play(episodes, on_episode, tally.stepped)
    except KeyboardInterrupt as error:
        message = f"interrupted; {len(written)} of {len(episodes)} episodes were finished and kept"
        raise Interrupted(message, "the same command plays the missing ones") from error
    except EnvironmentFailure as error:
        kept = f"{len(written)} of {len(episodes)} episodes were finished and kept"
        hint = f"{kept}; once that is mended, the same command plays the missing ones; {error.hint}"
        raise EnvironmentFailure(error.message, hint) from error
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
        "parent": planner.trained.record.parent,
        "recipe": recipe_of(planner.trained.config, fine_tuned=planner.trained.record.parent is not None),
        "settings": {key: value for key, value in planner.settings.items() if key not in ("episodes", "envs")},
        "engine": planner.mind.engine,
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
    planner = make_planner(store, request, console.warn)
    facts = {
        "run": str(planner.run.path),
        "checkpoint": planner.trained.step,
        "environment": planner.env_id,
        "to": str(planner.folder),
        "episodes there": len(list(planner.folder.glob("episode-*.json"))),
        **planner.mind.facts(planner.config.envs),
        **{f"plan.{key}": value for key, value in planner.settings.items()},
    }
    console.emit(facts)
    console.show_facts(facts)
