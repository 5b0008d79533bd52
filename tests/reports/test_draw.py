"""Rows of points: nothing is cut at the edges, and ticks do not overlap."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from seqrl_cli.errors import SeqrlError
from seqrl_cli.reports.plot.curves import Panel, PointsRow, Series, mean_of_running_sums
from seqrl_cli.reports.plot.draw import _draw_lines, _draw_points, plot_panels
from seqrl_cli.reports.plot.style import TickLabels
from seqrl_cli.reports.statistics import mean_band, summarize

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("values", [(0.001, 0.00101), (22.3, 22.6), (-5.0, -5.1), (0.0, 0.0)])
def test_one_row_keeps_clear_of_the_edges(values):
    axes = Figure(figsize=(6.6, 4.0)).subplots()
    _draw_points(axes, [PointsRow("gpt H5-B16-ctx5", values, sum(values) / 2)])
    low, high = axes.get_xlim()
    margin = 0.04 * (high - low)
    assert low + margin < min(0.0, *values) and max(0.0, *values) < high - margin
    assert len([tick for tick in axes.get_xticks() if low <= tick <= high]) <= 6


@pytest.mark.parametrize("values", [(0.79410, 0.79415, 0.79421), (150.1, 150.2, 150.4), (1.0, 2.0, 5.0)])
def test_ticks_never_read_alike(values):
    figure = Figure(figsize=(6.6, 4.0))
    axes = figure.subplots()
    line = Series("odt online", (0.0, 1.0, 2.0), values)
    _draw_lines(axes, Panel("online", "Online fine-tuning", "steps", "score", (line,)), name_height=0.07)
    figure.canvas.draw()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(set(labels)) == len(labels)


def test_ticks_read_as_the_numbers_that_they_stand_at():
    assert TickLabels().format_ticks([0.65, 0.6525, 0.655, 0.6575]) == ["0.65", "0.6525", "0.655", "0.6575"]
    assert TickLabels().format_ticks([1000.0, 1000.5, 1001.0]) == ["1,000", "1,000.5", "1,001"]
    assert TickLabels().format_ticks([0.0, 0.02, 0.04]) == ["0", "0.02", "0.04"]


@pytest.mark.parametrize("step", [10.0, 20.0, 3000.0])
def test_a_single_point_is_drawn_with_whole_ticks_beside_it(step):
    figure = Figure(figsize=(6.6, 4.0))
    axes = figure.subplots()
    series = (Series("bc, training", (step,), (3.0,), faint=True), Series("bc", (step,), (2.0,)))
    _draw_lines(axes, Panel("loss", "bc: loss", "updates", "loss", series), name_height=0.07)
    figure.canvas.draw()
    assert [line.get_marker() for line in axes.lines[:2]] == ["o", "o"]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert step in ticks and all(tick == round(tick) for tick in ticks)


def test_bands_of_rewards_are_the_tables_intervals_and_fit_the_axes():
    rewards = [np.full(20, -1.0), np.full(12, -3.0), np.linspace(0.0, -4.0, 25)]
    runs = ["bc-s1", "bc-s1", "bc-s2"]
    mean = mean_of_running_sums(rewards, runs, np.random.default_rng(0))
    assert mean.low is not None and mean.high is not None
    summary = summarize([float(each.sum()) for each in rewards], runs, np.random.default_rng(0))
    assert (mean.low[-1], mean.high[-1]) == pytest.approx(summary.mean_interval)
    sums = [np.pad(np.cumsum(each), (0, 25 - len(each)), mode="edge") for each in rewards]
    assert np.all(np.min(sums, axis=0) <= mean.low[1:]) and np.all(np.max(sums, axis=0) >= mean.high[1:])
    axes = Figure().subplots()
    _draw_lines(axes, Panel("reward", "Reward", "step", "return", (Series("bc", **asdict(mean)),)), 0.07)
    low, high = axes.get_ylim()
    assert low < min(mean.low) and max(mean.high) < high


def test_the_band_of_one_run_is_that_of_its_episodes():
    values = np.random.default_rng(1).normal(size=(6, 3))
    low, high = mean_band(values, ["a"] * 6, np.random.default_rng(0))
    for column in range(3):
        interval = summarize(values[:, column].tolist(), ["a"] * 6, np.random.default_rng(0)).mean_interval
        assert (low[column], high[column]) == pytest.approx(interval, abs=0.05)


def test_nothing_is_drawn_between_names():
    axes = Figure().subplots()
    series = Series("all", (0.0, 1.0), (10.0, 20.0), (9.0, 18.0), (11.0, 22.0), count=2)
    _draw_lines(axes, Panel("score", "Score", "", "score", (series,), x_names=("bc", "dt")), 0.1)
    assert axes.lines[0].get_linestyle() == "None" and axes.lines[0].get_marker() == "o"
    assert [path.vertices[:, 0].tolist() for path in axes.collections[0].get_paths()] == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_names_are_drawn_as_they_are(tmp_path, suffix, recwarn):
    """No dollar begins a formula, and no control character makes the SVG unreadable."""
    name = "local/$\\frac$ <b>&\x1b\n数"
    line = Series(name, (0.0, 1.0, 2.0), (1.0, 2.0, 3.0))
    output = tmp_path / f"plot.{suffix}"
    lines = Panel("online", name, "steps", "score", (line,))
    plot_panels([lines, Panel("score", name, "score", "", dots=(PointsRow(name, (1.0,), 1.0),))], output)
    assert output.stat().st_size > 1000
    if suffix == "svg":
        assert "local/$\\frac$ &lt;b&gt;&amp;\\x1b 数" in {comment.text.strip() for comment in comments(output)}
    assert not recwarn.list


def test_what_the_user_sets_for_matplotlib_changes_nothing(tmp_path):
    panel = Panel("plans", "Plans", "score", "", dots=(PointsRow("gpt", (0.1, 0.2), 0.15),))
    plot_panels([panel], tmp_path / "plain.png")
    with rc_context({"text.usetex": True, "font.family": "No Such Font", "savefig.dpi": 7, "axes.facecolor": "red"}):
        plot_panels([panel], tmp_path / "set.png")
    assert (tmp_path / "set.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def comments(path: Path) -> Iterator[ElementTree.Element]:
    """The comments in an SVG, which repeat its texts with HTML's entities."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    return ElementTree.parse(path, parser).getroot().iter(ElementTree.Comment)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_full_disk_is_told_in_a_sentence(tmp_path, suffix):
    """Here the largest file that may be written is smaller than the figure."""
    path = tmp_path / f"figure.{suffix}"
    path.write_bytes(b"before")
    panel = Panel("plans", "Plans", "score", "", dots=(PointsRow("gpt", (0.1, 0.2), 0.15),))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(SeqrlError, match=f"cannot write {path}: the file would be larger"):
            plot_panels([panel], path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1


def test_names_below_bars_break_at_hyphens(tmp_path):
    figure = tmp_path / "a.svg"
    rows = tuple(PointsRow(f"gpt H1-B16-ctx5-elites{n}-within0.0{n}", (), 50.0 + n, None, n) for n in range(6))
    plot_panels([Panel("average", "Average", "", "score", bars=rows)], figure)
    lines = [line for comment in comments(figure) for line in comment.text.strip().splitlines()]
    assert any("elites" in line for line in lines) and not any(len(line) > 14 for line in lines if "-" in line)
