"""``seqrl render``: a video of a planned episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.artifacts.locate import find_stored
from seqrl_cli.console import Console
from seqrl_cli.envs.simulator import useless_backend
from seqrl_cli.errors import SeqrlError, unknown, when_interrupted
from seqrl_cli.planning.episode_files import (
    EpisodeFile,
    episode_numbers,
    episode_path,
    episode_paths,
    plan_folders,
    read_episode,
)
from seqrl_cli.render.video import VIEWS, render_episode
from seqrl_cli.runs.store import RunStore


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
    """

    store: RunStore
    run: str | None = None
    episode: int | None = None
    output: Path | None = None
    view: str = "auto"
    size: int = 300
    every: int | None = None
    force: bool = False

    @property
    def has_default_look(self) -> bool:
        """Whether all options of the picture have their defaults, so that an existing file can be kept."""
        return (self.output, self.view, self.size, self.every) == (None, "auto", RenderRequest.size, None)


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


def run(request: RenderRequest, console: Console) -> VideoReport:
    """Draw an episode.

    Raises:
        UsageError: an unknown view, or an output that is neither GIF nor MP4.
        SeqrlError: there is nothing to draw, or a file is damaged.
    """
    if request.view not in VIEWS:
        raise unknown("view", request.view, VIEWS)
    path = _find_episode(request, console.warn)
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
            size=request.size,
            every=request.every,
            reference_scores=_references(request.store, episode),
            progress=update,
        )
    console.note(f"{video.frames} frames of {path.with_suffix('')}, drawn by {video.backend}")
    if video.steps_shown < video.steps:
        console.note(f"steps 0 to {video.steps_shown} of {video.steps}; --every 2 shows more, an .mp4 shows all")
    return VideoReport(str(output), True, str(path), video.frames, video.backend)


def dry_run(request: RenderRequest, console: Console) -> None:
    """Print what ``render`` would do.

    Raises:
        SeqrlError: there is nothing to draw.
    """
    path = _find_episode(request, console.warn)
    output = request.output or _default_output(path)
    facts = {"episode": str(path), "to": str(output), "there already": output.exists(), "view": request.view}
    console.emit(facts)
    console.show_facts(facts)


def _is_current(output: Path, episode: Path) -> bool:
    """Whether a video exists and is not older than its episode."""
    return output.exists() and output.stat().st_mtime >= episode.stat().st_mtime


def _references(store: RunStore, episode: EpisodeFile) -> tuple[float, float] | None:
    """Reference scores of the dataset that the episode's model was trained on, if it exists."""
    dataset = find_stored(store, episode.plan.dataset)
    return dataset.reference_scores if dataset else None


def _find_episode(request: RenderRequest, on_warning: Callable[[str], None]) -> Path:
    """The JSON of the episode to draw."""
    named = Path(request.run) if request.run else None
    if named and named.suffix in (".json", ".h5"):
        return named.with_suffix(".json")
    folder = named if named and episode_paths(named) else _latest_plan(request.store, request.run, on_warning)
    if request.episode is not None:
        path = episode_path(folder, request.episode)
        if not path.exists():
            raise SeqrlError(f"{folder} has no episode {request.episode}", _list_episodes(folder))
        return path
    return _best(folder)


def _list_episodes(folder: Path) -> str:
    numbers = ", ".join(map(str, episode_numbers(folder)))
    return f"it has {numbers}" if numbers else "it has none; plan first: seqrl plan"


def _latest_plan(store: RunStore, spec: str | None, on_warning: Callable[[str], None]) -> Path:
    """The latest plan of a run, or of the latest run that has one: the latest run may still be training."""
    run = store.find(spec, on_warning)
    candidates = [run] if spec is not None else [folder for folder, _ in reversed(store.runs())]
    for candidate in candidates:
        if folders := plan_folders(candidate):
            return folders[-1]
    raise SeqrlError(f"{run.path} has no planned episode", "plan some first: seqrl plan")


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
