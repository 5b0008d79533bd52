"""Tables of ours in LaTeX: the best in bold, what the caption says, and the options."""

from __future__ import annotations

import pytest

from seqrl_cli.reports.results import read_results
from seqrl_cli.reports.table.build import build_table
from seqrl_cli.reports.table.comparison import Cell
from seqrl_cli.reports.table.latex import LatexOptions, best_of, to_latex
from tests.reports.episode_files import write_episode, write_run_record


def cell(mean, low=None, high=None, **others):
    return Cell(mean, interval=None if low is None else (low, high), **others)


@pytest.mark.parametrize(
    ("cells", "best"),
    [
        ([cell(50, 40, 60), cell(70, 59, 80), cell(30, 20, 41)], {0, 1}),
        ([cell(50, 40, 55), cell(70, 59, 80), None], {1}),
        ([cell(60.0), cell(62.0)], {1}),
        ([Cell(60.0, error=2.0), cell(66.0, 63, 69)], {0, 1}),
        ([cell(60.0)], set()),
        ([cell(60.0), cell(900.0, is_return=True)], set()),
    ],
)
def test_the_best_and_all_that_overlap_are_bold(cells, best):
    assert best_of(cells) == best


@pytest.fixture
def comparison(tmp_path):
    for arch, level in (("bc", 0.2), ("dt", 0.8)):
        for seed in (1, 2, 3):
            run = tmp_path / f"{arch}-s{seed}"
            write_run_record(run, datasets=("local/mine",), arch=arch, seed=seed)
            for episode in range(4 if (arch, seed) == ("dt", 3) else 2):
                changes = {"dataset": "local/mine", "run": run.name, "arch": arch, "env_id": "My-v0", "settings": {}}
                write_episode(run / "plans" / "ctx5-s0", episode, score=level + 0.01 * seed, **changes)
    scales = {"local/mine": "0 is a return of -5, 100 one of 20, its own references"}
    return build_table(read_results(tmp_path).episodes, own_scales=scales).comparison


def test_cells_have_spreads_over_seeds(comparison):
    text = to_latex(comparison)
    assert r"local/mine & My-v0 & $22.0$ \scriptsize{$\pm 0.6$} & $\mathbf{82.2}$ \scriptsize{$\pm 0.6$} \\" in text
    assert r"over seeds (3 $\times$ 2 seeds $\times$ episodes; dt on local/mine: 3 $\times$ 2--4)" in text
    assert "0 is a return of -5, 100 one of 20, its own references" in text and "D4RL" not in text
    assert r"\textbf{dt}" in text and "Settings: bc: ctx5; dt: ctx5." in text


def test_intervals_and_interquartile_means(comparison):
    interval = to_latex(comparison, LatexOptions("interval"))
    assert r"$22.0$ \scriptsize{$[21.0, 23.0]$}" in interval
    assert "nterquartile" not in interval
    iqm = to_latex(comparison, LatexOptions("iqm"))
    assert "interquartile mean and its 95" in iqm and r"\mathbf{82.5}$ \scriptsize{$[81.0, 83.0]$}" in iqm


def test_label_and_caption(comparison):
    text = to_latex(comparison, LatexOptions(label="table:mine", caption=r"Mine, $n=3$."))
    assert r"\label{table:mine}" in text and r"\caption{Mine, $n=3$.}" in text and "Normalised" not in text
    assert r"\label{table:results}" in to_latex(comparison)
