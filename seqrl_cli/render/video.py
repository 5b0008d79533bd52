"""An episode as a video: the simulation beside the plan that the model followed at each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seqrl_cli.errors import SeqrlError, unknown
from seqrl_cli.planning.episode_files import EpisodeFile, EpisodeStates, read_states
from seqrl_cli.render.compose import compose, plan_poses
from seqrl_cli.render.encode import check_video_format, write_video
from seqrl_cli.render.mujoco_view import MujocoView, find_backend
from seqrl_cli.render.replay import must_be_replayed, replay
from seqrl_cli.render.software_view import SoftwareView
from seqrl_cli.render.states import Body, check_states, imagined_positions, load_body
from seqrl_cli.render.view import Camera, Pose, View, follow

VIEWS = ("auto", "mujoco", "software")
FRAMES_PER_SECOND = 25
PANEL_SIZE = 300
GIF_FRAMES = 250


@dataclass(frozen=True)
class RenderReport:
    """What was written.

    Attributes:
        path: the video.
        frames: number of different frames.
        fps: frames per second.
        backend: the name of the renderer.
        steps_shown: environment steps that the video covers, from the first.
        steps: environment steps of the episode.
        has_short_plans: whether its plans have one step each, so that there is no future to draw.
    """

    path: Path
    frames: int
    fps: float
    backend: str
    steps_shown: int
    steps: int
    has_short_plans: bool = False


@dataclass(frozen=True)
class _VideoOptions:
    """The arguments of :func:`render_episode`; ``limit`` is the most frames to write."""

    output: Path
    view: str
    size: int
    every: int | None
    limit: int
    speed: float
    reference_scores: tuple[float, float] | None
    progress: Callable[[int, int], None] | None

    def stride(self, dt: float) -> int:
        """Environment steps of ``dt`` seconds from one frame to the next."""
        return self.every or max(1, round(self.speed / (FRAMES_PER_SECOND * dt)))


@dataclass(frozen=True)
class _FrameDrawer:
    """Draws the frames of an episode from its recorded states."""

    episode: EpisodeFile
    states: EpisodeStates
    body: Body
    view: View
    lead: float
    reference_scores: tuple[float, float] | None

    def frame(self, step: int) -> np.ndarray:
        """The frame at an environment step, from 0 to T."""
        states = self.states
        now = states.qpos[step]
        centre = np.array([now[0] + self.lead, now[1] if self.body.hidden == 2 else 0.0])
        panels = [self.view.draw([Pose(now)], centre)]
        titles = ["simulation"]
        notes = [progress_lines(self.episode, states, step, self.reference_scores)]
        if states.plan_observations is not None:
            plan = plan_at(self.body, states.qpos, states.plan_observations, step)
            ahead = max(len(plan) - 1, 0)
            panels.append(self.view.draw(plan_poses(now, plan), centre))
            titles.append(f"imagined: {_seconds(ahead, self.body.dt)} ahead" if ahead else "imagined: no plan")
            facts = self.episode.plan
            notes.append([facts.dataset, f"{facts.run}, episode {self.episode.episode}"])
        else:
            titles = [_of_one_panel(self.episode)]
        return compose(panels, titles, notes)


def _of_one_panel(episode: EpisodeFile) -> str:
    """The title of a video without a plan: whose episode it is."""
    return f"{episode.plan.dataset}/{episode.plan.run}, episode {episode.episode}"


def render_episode(
    episode: EpisodeFile,
    output: Path,
    *,
    view: str = "auto",
    size: int = PANEL_SIZE,
    every: int | None = None,
    max_frames: int | None = None,
    speed: float = 1.0,
    reference_scores: tuple[float, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RenderReport:
    """Draw one recorded episode.

    Args:
        episode: the episode's JSON file; the HDF5 file is read here.
        output: a ``.gif`` or ``.mp4`` file.
        view: ``"mujoco"``, ``"software"``, or ``"auto"`` for the first of them that works on this machine.
        size: a panel's side in pixels.
        every: environment steps from one frame to the next; by default as many as give 25 frames per second.
        max_frames: the most frames to write, from the beginning; by default 250 in a GIF and all in an MP4.
        speed: speed of the playback: 1 plays in real time, 0.5 at half the speed.
        reference_scores: returns that score 0 and 1, to show the score so far.
        progress: called with (frames done, frames in total).

    Raises:
        UsageError: an unknown view or extension.
        SeqrlError: a file is missing, damaged or foreign, or the requested view does not work on this machine.
    """
    suffix = check_video_format(output)
    states = read_states(episode)
    limit = max_frames or (GIF_FRAMES if suffix == ".gif" else len(states.rewards) + 1)
    options = _VideoOptions(output, view, size, every, limit, speed, reference_scores, progress)
    render = _render_replay if must_be_replayed(episode, states) else _render_states
    return render(episode, states, options)


def _render_states(episode: EpisodeFile, states: EpisodeStates, options: _VideoOptions) -> RenderReport:
    """A video drawn from the recorded states, beside the plans."""
    steps = len(states.rewards)
    body = load_body(episode.plan.env_id)
    plans = states.plan_observations
    hides_plan = plans is not None and not body.readable
    looks_ahead = plans is not None and plans.shape[1] > 1
    if hides_plan or not looks_ahead:
        states = replace(states, plan_observations=None)
    check_states(body, states.qpos, states.plan_observations, str(episode.states_path))
    every = options.stride(body.dt)
    chosen = _chosen_steps(steps, every, options.limit)
    fps = options.speed / (every * body.dt)
    lead = _lead(body, states)
    view = open_view(options.view, body, follow(body, states.qpos, lead), options.size)
    try:
        drawer = _FrameDrawer(episode, states, body, view, lead, options.reference_scores)
        draw = _with_progress(lambda index: drawer.frame(chosen[index]), len(chosen), options.progress)
        write_video(draw, len(chosen), options.output, fps)
    finally:
        view.close()
    backend = f"{view.name}, without the plan" if hides_plan else view.name
    has_short_plans = plans is not None and not looks_ahead
    return RenderReport(options.output, len(chosen), fps, backend, chosen[-1], steps, has_short_plans)


def _render_replay(episode: EpisodeFile, states: EpisodeStates, options: _VideoOptions) -> RenderReport:
    """A video of the environment's own pictures, which cannot show plans."""
    total = len(states.rewards)

    def choose(dt: float) -> list[int]:
        return _chosen_steps(total, options.stride(dt), options.limit)

    replayed = replay(episode, states, choose, options.size, options.progress)
    steps, title = sorted(replayed.pictures), _of_one_panel(episode)

    def frame(index: int) -> np.ndarray:
        notes = progress_lines(episode, states, steps[index], options.reference_scores)
        return compose([replayed.pictures[steps[index]]], [title], [notes])

    stride = steps[1] - steps[0] if len(steps) > 1 else 1
    fps = options.speed / (stride * replayed.dt)
    write_video(frame, len(steps), options.output, fps)
    backend = "the environment itself, without the plan"
    return RenderReport(options.output, len(steps), fps, backend, steps[-1], total)


def open_view(view: str, body: Body, camera: Camera, size: int) -> View:
    """Open MuJoCo's renderer or the software one.

    Raises:
        UsageError: an unknown view.
        SeqrlError: ``"mujoco"`` is requested, but OpenGL does not work on this machine.
    """
    if view not in VIEWS:
        raise unknown("view", view, VIEWS)
    backend = None if view == "software" else find_backend()
    if backend:
        return MujocoView(body, camera, size, backend)
    if view == "mujoco":
        hint = "install libegl1 or libosmesa6 with the system's package manager, or use --view software"
        raise SeqrlError("MuJoCo cannot draw on this machine: neither EGL nor OSMesa works", hint)
    return SoftwareView(body, camera, size)


def plan_at(body: Body, qpos: np.ndarray, plans: np.ndarray, step: int) -> np.ndarray:
    """Imagined positions ``(rows, nq)`` from ``step`` on, of the newest plan at that time; empty after its end.

    Args:
        body: the body from :func:`seqrl_cli.render.states.load_body`.
        qpos: true positions ``(T+1, nq)``.
        plans: predicted observations ``(T, horizon, observation_dim)``, NaN where no plan was made.
        step: environment step, 0 to T.
    """
    made = np.flatnonzero(np.isfinite(plans[: step + 1, 0, : body.observed]).all(axis=1))
    if not len(made):
        return np.empty((0, body.model.nq))
    newest = int(made[-1])
    plan = plans[newest]
    plan = plan[np.isfinite(plan).all(axis=1)]  # its end is missing where time was short
    return imagined_positions(body, plan, qpos[newest])[step - newest :]


def _chosen_steps(steps: int, every: int, limit: int) -> list[int]:
    """Every n-th step from the first, and the last one if ``limit`` allows."""
    chosen = list(range(0, steps + 1, every))
    if chosen[-1] != steps:
        chosen.append(steps)
    return chosen[:limit]


def _lead(body: Body, states: EpisodeStates) -> float:
    """How far ahead the camera looks: half the distance that plans cover, so that they stay in the picture."""
    if states.plan_observations is None:
        return 0.0
    distances = []
    steps = len(states.rewards)
    for step in range(0, steps, max(1, steps // 50)):
        plan = plan_at(body, states.qpos, states.plan_observations, step)
        if len(plan):
            distances.append(float(plan[-1, 0] - plan[0, 0]))
    return float(np.median(distances)) / 2 if distances else 0.0


def progress_lines(
    episode: EpisodeFile, states: EpisodeStates, step: int, reference_scores: tuple[float, float] | None
) -> list[str]:
    """Step, return and score so far; without reference scores, the score or return at the end."""
    earned = float(states.rewards[:step].sum())
    if reference_scores:
        low, high = reference_scores
        outcome = f"score {100 * (earned - low) / (high - low):.1f}"
    elif episode.score is not None:
        outcome = f"score at the end {100 * episode.score:.1f}"
    else:
        outcome = f"at the end {round(episode.return_)}"
    return [f"step {step} of {len(states.rewards)}", f"return {round(earned)}   {outcome}"]


def _seconds(steps: int, dt: float) -> str:
    return f"{steps} step{'s' if steps > 1 else ''}, {steps * dt:.2f} s"


def _with_progress(
    draw: Callable[[int], np.ndarray], count: int, progress: Callable[[int, int], None] | None
) -> Callable[[int], np.ndarray]:
    """Report each frame drawn to ``progress``, except frames drawn ahead of their turn for the palette."""
    done = 0

    def drawn(index: int) -> np.ndarray:
        nonlocal done
        picture = draw(index)
        if index == done:
            done += 1
            if progress:
                progress(done, count)
        return picture

    return drawn
