"""Methods over several datasets: against rliable where it is installed, and against plain loops."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from seqrl_cli.errors import SeqrlError
from seqrl_cli.reports import across_datasets as across
from seqrl_cli.reports.plot.across_panels import ACROSS_KINDS, PUBLISHED_COLOUR, build_across_panels
from seqrl_cli.reports.plot.draw import plot_panels
from seqrl_cli.reports.results import read_results
from seqrl_cli.reports.table.aggregate import build_aggregate_table
from seqrl_cli.reports.table.aggregate_formats import (
    aggregate_csv,
    aggregate_latex,
    aggregate_markdown,
    aggregate_records,
    print_aggregate_table,
)
from seqrl_cli.reports.table.published import PublishedMethod
from seqrl_cli.reports.table.tasks import build_task_table
from tests.reports.episode_files import write_episode, write_run_record

RNG = np.random.default_rng(5)
ONE, OTHER = RNG.normal(50, 30, (5, 4)), RNG.normal(45, 20, (5, 4))  # (runs, datasets), as rliable has them
THRESHOLDS = np.linspace(-20, 130, 7)


def scores(matrix):
    return [np.asarray(column) for column in matrix.T]


def test_aggregates_equal_those_of_rliable():
    metrics = pytest.importorskip("rliable.metrics")
    assert across.mean(scores(ONE)) == pytest.approx(metrics.aggregate_mean(ONE))
    assert across.median(scores(ONE)) == pytest.approx(metrics.aggregate_median(ONE))
    assert across.iqm(scores(ONE)) == pytest.approx(metrics.aggregate_iqm(ONE))
    assert across.optimality_gap(scores(ONE)) == pytest.approx(metrics.aggregate_optimality_gap(ONE, gamma=100.0))
    found = across.probability_of_improvement(scores(ONE), scores(OTHER))
    assert found == pytest.approx(metrics.probability_of_improvement(ONE, OTHER))


def test_intervals_equal_those_of_a_plain_loop():
    """The stratified bootstrap of Agarwal et al., section 4.2: the runs of each dataset are drawn by themselves."""
    rng = np.random.default_rng(6)
    drawn = [[one[rng.integers(5, size=5)] for one in scores(ONE)] for _ in range(3000)]
    method = across.MethodScores("a", dict(zip("abcd", scores(ONE), strict=True)), 5)
    for name in ("IQM", "mean", "median", "optimality gap"):
        plain = np.percentile([float(across.STATISTICS[name](each)) for each in drawn], [2.5, 97.5])
        assert across.estimate(method, name).interval == pytest.approx(plain, abs=2.0)
    shown, ends = across.profile(method, THRESHOLDS)
    naive = [np.mean(threshold < ONE) for threshold in THRESHOLDS]
    assert shown == pytest.approx(naive) and (ends[0] <= shown).all() and (shown <= ends[1]).all()


def test_aggregates_equal_plain_formulas():
    """Agarwal et al., arXiv 2108.13264, sections 3 and 4.3, with as many runs per dataset as there are."""
    ragged = [np.array([10.0, 30.0, 140.0]), np.array([50.0, 70.0])]
    assert across.mean(ragged) == pytest.approx((60 + 60) / 2)
    assert across.median(ragged) == pytest.approx(60.0)
    assert across.iqm(ragged) == pytest.approx((30 + 50 + 70) / 3)
    assert across.optimality_gap(ragged) == pytest.approx(100 - (10 + 30 + 100 + 50 + 70) / 5)
    worse = [np.array([20.0, 140.0]), np.array([50.0])]
    pairs = [np.mean([(x > y) + 0.5 * (x == y) for x in a for y in b]) for a, b in zip(ragged, worse, strict=True)]
    assert across.probability_of_improvement(ragged, worse) == pytest.approx(np.mean(pairs))
    assert across.performance_profile(ragged, np.array([0.0, 50.0, 139.0])).tolist() == [1.0, 0.4, 0.2]


def test_resamples_stay_within_their_dataset():
    apart = across.MethodScores("a", {"low": np.array([0.0, 1.0, 2.0]), "high": np.array([100.0, 101.0, 102.0])}, 6)
    low, high = across.estimate(apart, "mean").interval
    assert 50.0 <= low < 51.0 < high <= 52.0
    alone = across.MethodScores("a", {"low": np.array([0.0]), "high": np.array([9.0])}, 2)
    assert across.estimate(alone, "mean") == across.Estimate(4.5, None)


@pytest.fixture
def episodes(tmp_path):
    """Two methods with three seeds on two datasets, dt with other targets on each; bc alone on a third."""
    for dataset, target in (("local/a", 10), ("local/b", 20), ("local/c", 30)):
        for arch, label in (("bc", "mode"), ("dt", f"RTG{target}-ctx5")):
            if (arch, dataset) == ("dt", "local/c"):
                continue
            for seed in (1, 2, 3):
                run = tmp_path / dataset / f"{arch}-s{seed}"
                write_run_record(run, datasets=(dataset,), arch=arch, seed=seed)
                for episode in range(2):
                    changes = {"dataset": dataset, "run": run.name, "arch": arch, "settings": {}, "env_id": "My-v0"}
                    score = 0.1 * seed + (0.3 if arch == "dt" else 0.0) + 0.01 * episode
                    write_episode(run / "plans" / f"{label}-s0", episode, score=score, **changes)
    return read_results(tmp_path).episodes


def test_methods_compare_on_the_datasets_that_they_share(episodes):
    found = across.methods_across(episodes)
    assert found.datasets == ("local/a", "local/b")
    assert [(method.name, method.runs, method.episodes) for method in found.methods] == [
        ("bc", (3, 3), 12),
        ("dt", (3, 3), 12),
    ]
    assert any("local/c" in note for note in found.notes)
    assert found.methods[0].scores["local/a"] == pytest.approx([10.5, 20.5, 30.5])


def test_the_table_has_all_formats(episodes):
    table = build_aggregate_table(episodes)
    records = aggregate_records(table)
    json.dumps(records, allow_nan=False)
    (better,) = [row for row in records if row["kind"] == "improvement"]
    assert (better["method"], better["over"], better["value"]) == ("dt", "bc", 1.0)
    assert len(list(csv.DictReader(io.StringIO(aggregate_csv(table))))) == len(records)
    assert "| dt | 3 | 50.5 [" in aggregate_markdown(table)
    assert r"\label{mine}" in aggregate_latex(table, label="mine") and r"\toprule" in aggregate_latex(table)
    noted = aggregate_latex(replace(table, notes=(*table.notes, "left out: gpt has no results on local/b")))
    assert "Left out: gpt has no results on local/b." in noted and "P(A" not in noted
    assert {(row["runs_min"], row["runs_max"]) for row in records if row["kind"] == "aggregate"} == {(3, 3)}
    for width in (80, 120):
        console = Console(width=width, file=io.StringIO(), force_terminal=False)
        print_aggregate_table(table, console)
        text = console.file.getvalue()
        assert max(map(len, text.splitlines())) <= width and "50.5" in text and "dt > bc" in text


def test_without_scores_there_is_nothing_to_aggregate(tmp_path):
    write_episode(tmp_path, score=None)
    with pytest.raises(SeqrlError, match="no results with normalized scores"):
        build_aggregate_table(read_results(tmp_path).episodes)


def test_every_kind_of_figure_is_drawn(episodes, tmp_path):
    shown = [panel for kind in ACROSS_KINDS for panel in build_across_panels(kind, episodes)]
    assert [panel.kind for panel in shown] == [*["aggregate"] * 4, "improvement", "profile", "average"]
    assert [row.label for row in shown[-1].bars] == ["bc", "dt"]
    plot_panels(shown, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_bars_of_published_averages_stand_beside_ours_on_the_same_settings(tmp_path):
    write_episode(tmp_path, dataset="hopper-medium-v2", score=0.6)
    figures = {"hopper-medium-v2": 50.0, "walker2d-medium-v2": 90.0}
    paper = PublishedMethod("CQL", "CQL", "", "", "", "", 1, True, figures, {"hopper-medium-v2": 2.0})
    (panel,) = build_across_panels("average", read_results(tmp_path).episodes, [paper])
    assert [(row.label, row.mean) for row in panel.bars] == [("CQL", 50.0), ("gpt (ours)", 60.0)]
    assert panel.bars[0].interval == pytest.approx((50 - 1.96 * 2, 50 + 1.96 * 2))


def test_only_published_bars_are_grey(tmp_path):
    for number in range(8):
        write_episode(
            tmp_path / str(number),
            dataset="hopper-medium-v2",
            arch=f"a{number}",
            run=f"a{number}-s1",
            score=number / 10,
        )
    (panel,) = build_across_panels("average", read_results(tmp_path).episodes)
    assert len(panel.bars) == 8 and PUBLISHED_COLOUR not in {row.colour for row in panel.bars}


def test_long_names_of_methods_fit_the_width(tmp_path):
    for number in range(3):
        arch = f"a transformer of a long name {number}"
        write_episode(tmp_path / str(number), dataset="local/a", run=f"gpt-s{number}", arch=arch)
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    print_aggregate_table(build_aggregate_table(read_results(tmp_path).episodes), console)
    table = console.file.getvalue().partition("note:")[0]
    assert "transformer" in table and max(map(len, table.splitlines())) <= 80


def test_episodes_that_were_cut_are_noted(tmp_path):
    settings = {"horizon": 15, "beam_width": 128, "max_context_transitions": 5, "max_steps": 10}
    for number in range(2):
        write_episode(tmp_path / str(number), dataset="local/a", seed=number, settings=settings, step=9, term=False)
    episodes = read_results(tmp_path).episodes
    assert any(
        "2 of 2 episodes were ended early by plan.max_steps" in note for note in build_aggregate_table(episodes).notes
    )
    assert any("2 of 2 episodes were ended early" in note for note in build_task_table(episodes, "task").notes)
