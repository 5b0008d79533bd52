"""Fine-tuned runs beside their parents, in the table and as differences over seeds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import ttest_rel

from seqrl_cli.reports.results import read_results
from seqrl_cli.reports.table.build import ResultsTable, build_table
from seqrl_cli.reports.table.latex import to_latex
from seqrl_cli.reports.table.terminal import print_table
from seqrl_cli.reports.table.text import delta_text, interval_text, to_markdown, to_rows
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.tracking.metrics import append_line
from tests.reports.episode_files import write_episode, write_run_record

pytestmark = pytest.mark.slow

OFFLINE = {"odt-s1": (0.30, 0.34), "odt-s2": (0.40, 0.44), "odt-s3": (0.20, 0.30)}
ONLINE = {"odt-s1": (0.50, 0.52), "odt-s2": (0.55, 0.45), "odt-s3": (0.47, 0.41)}


def write(folder: Path, run: str, scores: tuple[float, ...], **changes) -> None:
    plans = folder / run / "plans/RTG3000-ctx5-s0"
    for episode, score in enumerate(scores):
        write_episode(plans, episode, run=run, arch="odt", score=score, **{"return": 3000 * score, **changes})


def write_online(folder: Path, seeds: int = 3) -> None:
    for parent in list(ONLINE)[:seeds]:
        write(folder, f"{parent}-online", ONLINE[parent], recipe="online", parent=parent)


def report_of(folder: Path, by: str = "method") -> ResultsTable:
    return build_table(read_results(folder).episodes, by=by)


@pytest.fixture
def folder(tmp_path) -> Path:
    for run, scores in OFFLINE.items():
        write(tmp_path, run, scores, recipe="offline")
    return tmp_path


def test_offline_row_online_row_and_their_difference_over_seeds(folder):
    write_online(folder)
    report = report_of(folder)
    assert [row.method for row in report.rows] == ["odt RTG3000-ctx5", "odt online RTG3000-ctx5"]
    (delta,) = report.deltas
    assert (delta.method, delta.label) == ("odt online RTG3000-ctx5", "odt online RTG3000-ctx5 − offline")
    assert delta.pairs == 3
    before = [100 * np.mean(scores) for scores in OFFLINE.values()]
    after = [100 * np.mean(scores) for scores in ONLINE.values()]
    assert delta.score == pytest.approx(np.mean(after) - np.mean(before))
    assert delta.score_interval == pytest.approx(ttest_rel(after, before).confidence_interval())
    assert delta.return_ == pytest.approx(30 * delta.score)


def test_one_seed_has_a_difference_but_no_interval(folder):
    write_online(folder, seeds=1)
    (delta,) = report_of(folder).deltas
    assert delta.pairs == 1 and delta.score_interval is None
    assert delta.score == pytest.approx(51 - 32)


def test_without_an_episode_of_the_parent_there_is_no_difference(folder):
    write(folder, "odt-s9-online", (0.5,), recipe="online", parent="odt-s9")
    assert report_of(folder).deltas == ()


def test_fine_tunes_of_one_parent_are_one_seed(folder):
    write_online(folder, seeds=2)
    report = report_of(folder)
    write(folder, "odt-s1-online-again", ONLINE["odt-s1"], recipe="online", parent="odt-s1")
    again = report_of(folder)
    assert again.rows == report.rows and again.deltas == report.deltas and again.rows[1].runs == 2
    assert "sim/hopper-medium: odt-s1-online-again repeats odt-s1-online" in " ".join(again.notes)
    write(folder, "odt-s1-online-other", (0.1, 0.2), recipe="online", parent="odt-s1")
    (delta,), (_, row) = report_of(folder).deltas, report_of(folder).rows
    assert delta.pairs == row.runs == 2 and row.return_.count == 6
    assert delta.score == pytest.approx(np.mean([(19 + 19 - 17) / 3, 8]))


def test_the_seed_of_a_run_tells_its_copy(folder):
    for name in ("odt-s1", "odt-s1b"):
        write(folder, name, OFFLINE["odt-s1"], recipe="offline")
        write_run_record(folder / name, seed=1)
    (row,) = report_of(folder).rows
    assert row.runs == 3 and row.return_.count == 6


def test_run_by_run(folder):
    write_online(folder)
    labels = [delta.label for delta in report_of(folder, by="run").deltas]
    assert labels == [f"odt-s{seed}-online RTG3000-ctx5 − offline" for seed in (1, 2, 3)]


def test_every_format_shows_it(folder):
    write_online(folder)
    report = report_of(folder)
    (row,) = [row for row in to_rows(report) if row["kind"] == "delta"]
    assert row["runs"] == 3 and row["score_low"] < row["mean_score"] < row["score_high"]
    assert "| **odt online RTG3000-ctx5 − offline** | 3 seeds | +15.3 | [-0.4, 31.1] |" in to_markdown(report)
    console = Console(width=80, file=io.StringIO())
    print_table(report, console)
    shown = " ".join(console.file.getvalue().split())
    assert "odt online RTG3000-ctx5 3 × 2 48.3" in shown and "− offline 3 seeds +15.3 [-0.4, 31.1] +460" in shown


def test_a_fine_tuned_row_says_how_far_it_explored(folder):
    write_online(folder)
    for seed, steps in ((1, 900), (2, 1100), (3, 1000)):
        run = folder / f"odt-s{seed}-online"
        write_run_record(run, seed=seed, parent=f"odt-s{seed}")
        for iteration, (step, explored) in enumerate(((4000, 0), (5000, steps), (6000, 9999))):
            values = {"iteration": iteration, "env_steps": explored, "elapsed": 1.5}
            append_line(RunFolder(run).metrics, step, values)
    report = report_of(folder)
    offline, online = to_rows(report)[:2]
    assert (online["online_steps"], online["iterations"], online["runs"]) == (1000, 1, 3)
    assert offline["online_steps"] is None and offline["iterations"] is None
    assert "| odt online RTG3000-ctx5, after 1,000 steps |" in to_markdown(report)
    assert "after 1,000 steps" in to_latex(report.comparison)
    console = Console(width=80, file=io.StringIO())
    print_table(report, console)
    assert "    after 1,000 steps" in console.file.getvalue()


def test_no_difference_has_no_sign():
    assert [delta_text(x) for x in (-0.04, 0.04, -0.06)] == ["0.0", "0.0", "-0.1"]
    assert delta_text(-0.3, 0) == "0" and interval_text((-0.01, 0.2)) == "[0.0, 0.2]"
