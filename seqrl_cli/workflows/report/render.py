"""``seqrl render``: a video of a planned episode."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.artifacts.locate import find_stored
from seqrl_cli.console import Console, counted
from seqrl_cli.envs.scores import references_of_data
from seqrl_cli.envs.simulator import useless_backend
from seqrl_cli.errors import SeqrlError, UsageError, unknown, when_interrupted
from seqrl_cli.planning.episode_files import (
    EpisodeFile,
    episode_numbers,
    episode_path,
    episode_paths,
    plan_folders,
    planned_at,
    read_episode,
)
from seqrl_cli.render.encode import check_video_format
from seqrl_cli.render.grid import TILE_SIZE, render_grid
from seqrl_cli.render.video import PANEL_SIZE, VIEWS, render_episode
from seqrl_cli.reports.provenance import run_folder_of
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import read_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.task_choice import chosen_tasks, require_tasks


@dataclass(frozen=True)
class RenderRequest:
    """Options of ``seqrl render``.

    Attributes:
        store: the run directory.
        run: a run, a plan folder, or an episode's file; None = the latest plan of the latest run that has one.
        episode: number of the episode; None = the one with the highest return.
        output: a ``.gif`` or ``.mp4`` file; None = a GIF in the run's videos.
        view: one of ``VIEWS``.
        size: pixels of a panel's side.
        every: draw every n-th step; None = 25 frames per second of real time.
        force: replace an existing video.
        tasks: patterns of the tasks to draw, joined by commas, for runs of many tasks; None = the latest episodes.
        grid: draw the tasks side by side in one video.
    """

    store: RunStore
    run: str | None = None
    episode: int | None = None
    output: Path | None = None
    view: str = "auto"
    size: int | None = None
    every: int | None = None
    force: bool = False
    tasks: str | None = None
    grid: bool = False

    @property
    def has_default_look(self) -> bool:
        """Whether all options of the picture have their defaults, so that an existing file can be kept."""
        return (self.output, self.view, self.size, self.every) == (None, "auto", None, None)


@dataclass(frozen=True)
class VideoReport:
    """Result of ``render``."""

    path: str
    fresh: bool
    episode: str
    frames: int | None
    view: str | None

    def text(self) -> str:
        """One line for a person."""
        return self.path


@dataclass(frozen=True)
class VideosReport(VideoReport):
    """Result of ``render`` for several tasks; the path is that of their folder, the frames are those of all.

    Attributes:
        videos: one report per task.
    """

    videos: tuple[VideoReport, ...] = ()

    def text(self) -> str:
        """One line per video."""
        return "\n".join(video.text() for video in self.videos)


def run(request: RenderRequest, console: Console) -> VideoReport:
    """Draw an episode, one per task, or a grid of tasks.

    Raises:
        UsageError: an unknown view, an output that is neither GIF nor MP4, or tasks that the run does not have.
        SeqrlError: there is nothing to draw, or a file is damaged.
    """
    _check(request)
    if not request.grid and request.tasks is None:
        return _draw(request, _find_episode(request, console.warn), console)
    chosen = episodes_of_tasks(request, console)
    if request.grid:
        return _draw_grid(request, chosen, console)
    if len(chosen) > 1 and request.output is not None:
        message = f"{request.output} is one file, but {counted(len(chosen), 'task')} match {request.tasks!r}"
        raise UsageError(message, "--grid draws them in one video")
    videos = [_draw(request, path, console) for path in chosen]
    return videos[0] if len(videos) == 1 else _joined(videos)


def _check(request: RenderRequest) -> None:
    """Raise UsageError at an unknown view, or an output that is neither GIF nor MP4."""
    if request.view not in VIEWS:
        raise unknown("view", request.view, VIEWS)
    if request.output is not None:
        check_video_format(request.output)


def _joined(videos: Sequence[VideoReport]) -> VideosReport:
    """One report of the videos of several tasks, which lie in one folder."""
    return VideosReport(
        path=str(Path(videos[0].path).parent),
        fresh=any(video.fresh for video in videos),
        episode=", ".join(video.episode for video in videos),
        frames=sum(video.frames or 0 for video in videos) or None,
        view=next((video.view for video in videos if video.view), None),
        videos=tuple(videos),
    )


def _draw(request: RenderRequest, path: Path, console: Console) -> VideoReport:
    """Draw one episode."""
    output = request.output or _default_output(path)
    if request.has_default_look and not request.force and _is_current(output, path):
        console.note(f"{output} already exists; --force draws it again")
        return VideoReport(str(output), False, str(path), None, None)
    episode = read_episode(path)
    if useless_backend is not None:
        console.warn(f"MUJOCO_GL is {useless_backend!r}, which does not work on this machine, so it is ignored")
    stopped = when_interrupted(f"interrupted; {output} was not written", "the same command starts over")
    with stopped, console.progress(f"drawing {path.stem}", "frames") as update:
        video = render_episode(
            episode,
            output,
            view=request.view,
            size=request.size or PANEL_SIZE,
            every=request.every,
            reference_scores=_references(request.store, episode),
            progress=update,
        )
    console.note(f"{video.frames} frames of {path.with_suffix('')}, drawn by {video.backend}")
    if video.has_short_plans:
        console.note("its plans have one step, so no future is drawn; `seqrl plan --horizon 5` makes longer ones")
    if video.steps_shown < video.steps:
        console.note(f"steps 0 to {video.steps_shown} of {video.steps}; --every 2 shows more, an .mp4 shows all")
    return VideoReport(str(output), True, str(path), video.frames, video.backend)


def _draw_grid(request: RenderRequest, paths: Sequence[Path], console: Console) -> VideoReport:
    """Draw episodes side by side."""
    output = request.output or _grid_output(paths)
    if request.has_default_look and not request.force and all(_is_current(output, path) for path in paths):
        console.note(f"{output} already exists; --force draws it again")
        return VideoReport(str(output), False, ", ".join(map(str, paths)), None, None)
    episodes = [read_episode(path) for path in paths]
    stopped = when_interrupted(f"interrupted; {output} was not written", "the same command starts over")
    with stopped, console.progress("drawing", "tasks") as update:
        size = request.size or TILE_SIZE
        frames = render_grid(episodes, output, size=size, view=request.view, progress=update)
    console.note(f"{frames} frames of {counted(len(paths), 'task')}")
    return VideoReport(str(output), True, ", ".join(map(str, paths)), frames, None)


def dry_run(request: RenderRequest, console: Console) -> None:
    """Print what ``render`` would do.

    Raises:
        UsageError: as :func:`run`.
        SeqrlError: there is nothing to draw.
    """
    _check(request)
    if request.grid or request.tasks is not None:
        paths = episodes_of_tasks(request, console)
        outputs = [request.output or _grid_output(paths)] if request.grid else list(map(_default_output, paths))
        many = {"episodes": list(map(str, paths)), "to": list(map(str, outputs)), "view": request.view}
        console.emit(many)
        console.show_facts(many)
        return
    path = _find_episode(request, console.warn)
    output = request.output or _default_output(path)
    facts = {"episode": str(path), "to": str(output), "already exists": output.exists(), "view": request.view}
    console.emit(facts)
    console.show_facts(facts)


def episodes_of_tasks(request: RenderRequest, console: Console) -> list[Path]:
    """The JSON of the episode to draw of each chosen task; without patterns, of each task that was planned.

    Raises:
        UsageError: an episode is named already, the run has no tasks, or a pattern matches none.
        SeqrlError: a chosen task was not planned, or no task was.
    """
    option = "--tasks" if request.tasks is not None else "--grid"
    if request.run is not None and (Path(request.run).suffix in (".json", ".h5") or episode_paths(Path(request.run))):
        raise UsageError(f"{option} chooses episodes of a run, but {request.run} names episodes", "name the run")
    run = request.store.find(request.run, console.warn)
    record = read_record(run.record)
    require_tasks(record.tasks, str(run.path), option)
    planned = plan_folders_by_task(run)
    chosen = chosen_tasks(record.tasks, request.tasks)
    missing = [task.env_id for task in chosen if task.env_id not in planned]
    if missing and (request.tasks is not None or len(missing) == len(chosen)):
        names = request.tasks or "*"
        hint = f"plan first: seqrl plan {request.store.name_of(run.path)} --tasks {names!r}"
        raise SeqrlError(f"{run.path} has no planned episode of {missing[0]}", hint)
    if missing:
        console.note(f"not planned yet, so left out: {', '.join(missing)}")
    return [_episode_of(planned[task.env_id], request.episode) for task in chosen if task.env_id in planned]


def plan_folders_by_task(run: RunFolder) -> dict[str, Path]:
    """The plan folder of each environment that was written last."""
    found: dict[str, Path] = {}
    for folder in plan_folders(run):
        with suppress(SeqrlError):
            found[read_episode(episode_paths(folder)[0]).plan.env_id] = folder
    return found


def _is_current(output: Path, episode: Path) -> bool:
    """Whether a video exists and is not older than its episode."""
    return output.exists() and output.stat().st_mtime >= episode.stat().st_mtime


def _references(store: RunStore, episode: EpisodeFile) -> tuple[float, float] | None:
    """The returns that score 0 and 1 for the episode's model: those of its task, else of its dataset, if it exists."""
    folder = run_folder_of(episode.path)
    with suppress(SeqrlError):
        tasks = read_record(RunFolder(folder).record).tasks if folder else ()
        for task in tasks:
            if task.env_id == episode.plan.env_id:
                return references_of_data(task.env_id, task.mean_return)
    dataset = find_stored(store, episode.plan.dataset)
    return dataset.reference_scores if dataset else None


def _find_episode(request: RenderRequest, on_warning: Callable[[str], None]) -> Path:
    """The JSON of the episode to draw."""
    named = Path(request.run) if request.run else None
    if named and named.suffix in (".json", ".h5"):
        return named.with_suffix(".json")
    folder = named if named and episode_paths(named) else _latest_plan(request.store, request.run, on_warning)
    return _episode_of(folder, request.episode)


def _episode_of(folder: Path, number: int | None) -> Path:
    """The JSON of an episode by number, or of the best one; raises SeqrlError if there is none."""
    if number is None:
        return _best(folder)
    path = episode_path(folder, number)
    if not path.exists():
        raise SeqrlError(f"{folder} has no episode {number}", _list_episodes(folder))
    return path


def _list_episodes(folder: Path) -> str:
    numbers = ", ".join(map(str, episode_numbers(folder)))
    return f"it has {numbers}" if numbers else "it has none; plan first: seqrl plan"


def _latest_plan(store: RunStore, spec: str | None, on_warning: Callable[[str], None]) -> Path:
    """The latest plan of a run, or of all runs."""
    run = store.find(spec, on_warning)
    candidates = [run] if spec is not None else [folder for folder, _ in store.runs()]
    latest = [folders[-1] for candidate in candidates if (folders := plan_folders(candidate))]
    if latest:
        return max(latest, key=planned_at)
    raise SeqrlError(f"{run.path} has no planned episode", f"plan some first: seqrl plan {run.path}")


def _best(folder: Path) -> Path:
    """The JSON of the readable episode with the highest return."""
    readable: list[EpisodeFile] = []
    errors: list[SeqrlError] = []
    for path in episode_paths(folder):
        try:
            readable.append(read_episode(path))
        except SeqrlError as error:
            errors.append(error)
    if not readable:
        raise SeqrlError(f"no episode in {folder} can be read: {errors[0].message}", "plan again: seqrl plan --force")
    return max(readable, key=lambda episode: episode.return_).path


def _default_output(path: Path) -> Path:
    """``videos/<plan>-<episode>.gif`` beside the run's ``plans``."""
    plan = path.parent
    return plan.parent.parent / "videos" / f"{plan.name}-{path.stem}.gif"


def _grid_output(paths: Sequence[Path]) -> Path:
    """``videos/grid-of-4-<hash>.gif`` of the run; the hash tells grids of other episodes apart."""
    shown = "\n".join(f"{path.parent.name}/{path.stem}" for path in paths)
    key = hashlib.sha256(shown.encode()).hexdigest()[:8]
    return paths[0].parent.parent.parent / "videos" / f"grid-of-{len(paths)}-{key}.gif"
