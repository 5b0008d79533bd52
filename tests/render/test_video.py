"""Episodes to videos, from recorded files to the last frame."""

from __future__ import annotations

from dataclasses import replace

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.planning.episode_files import read_episode, read_states
from seqrl_cli.render.compose import GAP, GHOSTS, compose, plan_poses
from seqrl_cli.render.mujoco_view import find_backend
from seqrl_cli.render.states import load_body
from seqrl_cli.render.video import plan_at, progress_lines, render_episode
from tests.render.recorded import write_recorded

pytestmark = pytest.mark.slow

SIZE = 96


@pytest.fixture
def episode(tmp_path):
    return read_episode(write_recorded(tmp_path / "plans", steps=40, horizon=6))


def test_gif_shows_truth_and_plan_to_the_end(episode, tmp_path):
    seen = []
    report = render_episode(
        episode, tmp_path / "out.gif", view="software", size=SIZE, progress=lambda *counts: seen.append(counts)
    )
    gif = Image.open(report.path)
    assert (report.backend, report.steps_shown, report.steps) == ("software", 40, 40)
    assert report.frames == gif.n_frames == 9
    assert report.fps == pytest.approx(25)
    assert gif.width == 2 * SIZE + GAP and SIZE < gif.height < 1.3 * SIZE
    assert seen == [(done, 9) for done in range(1, 10)]
    frames = []
    for index in (0, 6):
        gif.seek(index)
        frames.append(np.asarray(gif.convert("RGB")).astype(int))
    assert np.abs(frames[0] - frames[1]).mean() > 1
    left, right = (frames[1][SIZE // 3 : 2 * SIZE // 3, columns] for columns in (slice(SIZE), slice(SIZE + GAP, None)))
    bluish = [(panel[..., 2] > panel[..., 0] + 40).sum() for panel in (left, right)]
    assert bluish[1] > 50 > bluish[0]


def test_mp4_plays_in_real_time(episode, tmp_path):
    report = render_episode(episode, tmp_path / "out.mp4", view="software", size=SIZE, every=4, speed=0.5)
    with imageio.get_reader(report.path) as reader:
        assert reader.get_meta_data()["fps"] == pytest.approx(0.5 / (4 * 0.008), abs=0.01)
    assert report.frames == 11


def test_every_and_max_frames_bound_the_video_and_the_report_says_so(episode, tmp_path):
    report = render_episode(episode, tmp_path / "out.gif", view="software", size=SIZE, every=3, max_frames=4)
    assert (report.frames, report.steps_shown, report.steps) == (4, 9, 40)


def test_a_model_that_does_not_plan_has_one_panel(tmp_path):
    episode = read_episode(write_recorded(tmp_path / "plans", horizon=0))
    report = render_episode(episode, tmp_path / "out.gif", view="software", size=SIZE, max_frames=2)
    assert Image.open(report.path).width == SIZE and not report.has_short_plans


def test_plans_of_one_step_have_no_future_to_draw(tmp_path):
    episode = read_episode(write_recorded(tmp_path / "plans", horizon=1))
    report = render_episode(episode, tmp_path / "out.gif", view="software", size=SIZE, max_frames=2)
    assert Image.open(report.path).width == SIZE and report.has_short_plans


@pytest.mark.parametrize(
    ("score", "references", "last_line"),
    [(0.25, None, "score at the end 25.0"), (None, None, "at the end 804"), (None, (0.0, 800.0), "score 0.4")],
)
def test_the_return_stands_where_there_is_no_score(episode, score, references, last_line):
    episode, states = replace(episode, score=score, return_=803.6), read_states(episode)
    states = replace(states, rewards=np.full(40, 3.0))
    assert progress_lines(episode, states, 1, references) == ["step 1 of 40", f"return 3   {last_line}"]


@pytest.mark.slow
def test_auto_says_what_drew(episode, tmp_path):
    report = render_episode(episode, tmp_path / "out.gif", size=SIZE, max_frames=2)
    assert report.backend.startswith("MuJoCo" if find_backend() else "software")


def test_mujoco_is_an_error_where_it_cannot_draw(episode, tmp_path):
    if find_backend():
        pytest.skip("MuJoCo draws on this machine")
    with pytest.raises(SeqrlError, match="neither EGL nor OSMesa"):
        render_episode(episode, tmp_path / "out.gif", view="mujoco", size=SIZE)


def test_the_newest_plan_is_shown_from_where_it_has_come_to():
    body = load_body("Hopper-v4")
    qpos = np.tile(body.model.qpos0, (11, 1))
    plans = np.full((10, 4, 11), np.nan)
    plans[[2, 6]] = 0.0
    plans[2, :, 0] = [10, 11, 12, 13]
    plans[6, :, 0] = [20, 21, 22, 23]
    heights = [plan_at(body, qpos, plans, step)[:, 1].tolist() for step in (1, 2, 4, 6, 9, 10)]
    assert heights == [[], [10, 11, 12, 13], [12, 13], [20, 21, 22, 23], [23], []]


def test_long_plans_are_thinned_to_a_fan_that_ends_with_the_last_pose():
    plan = np.arange(15.0)[:, None] * np.ones(6)
    poses = plan_poses(np.zeros(6), plan)
    assert len(poses) == GHOSTS + 1
    assert poses[0].colour is None and poses[0].alpha == 1
    assert poses[-1].qpos[0] == 14
    assert np.all(np.diff([pose.alpha for pose in poses[1:]]) > 0)
    assert [len(plan_poses(np.zeros(6), plan[:rows])) for rows in (0, 1, 2, 3)] == [1, 1, 2, 3]


def test_a_long_title_is_cut_in_a_narrow_picture():
    narrow, wide = np.zeros((120, 120, 3), np.uint8), np.zeros((400, 400, 3), np.uint8)
    name = "button-press-topdown-v3"
    cut, other = (compose([narrow], [title], [[]])[:20] for title in (name, f"{name[:20]}-and-more"))
    assert cut.min() < 150 and np.array_equal(cut, other)
    whole, other = (compose([wide], [title], [[]])[:30] for title in (name, f"{name[:20]}-and-more"))
    assert not np.array_equal(whole, other)


def test_frames_have_even_sides_titles_above_and_notes_in_the_corner():
    panel = np.zeros((75, 75, 3), dtype=np.uint8)
    frame = compose([panel, panel], ["left", "right"], [["step 1"], []])
    assert frame.shape == (96, 152, 3)
    above, picture = frame[:20], frame[20:95]
    assert above[:, :75].min() < 150 and above[:, 77:].min() < 150  # ink on white
    assert picture[:40, :75].max() == 0 and picture[:, 77:].max() == 0  # a title hides nothing
    assert picture[50:, :40].max() > 150


@pytest.mark.parametrize("keyword", [{"view": "holodeck"}, {"output": "out.avi"}])
def test_unknown_views_and_formats_are_usage_errors(episode, tmp_path, keyword):
    output = tmp_path / str(keyword.pop("output", "out.gif"))
    with pytest.raises(UsageError):
        render_episode(episode, output, size=SIZE, **keyword)
    assert not output.exists()


def test_states_of_another_environment_are_refused(episode, tmp_path):
    episode = replace(episode, plan=replace(episode.plan, env_id="Walker2d-v4"))
    with pytest.raises(SeqrlError, match=r"episode-000\.h5 has 6 positions per state, but its environment has 9"):
        render_episode(episode, tmp_path / "out.gif", view="software", size=SIZE)
