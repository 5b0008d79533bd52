"""Tables as data, and every format that prints them."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from seqrl_cli.config.presets import dump_config, resolve_config
from seqrl_cli.config.recipe import recipe_of
from seqrl_cli.config.resources import presets_folder
from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.reports.plot.panels import build_panels
from seqrl_cli.reports.plot.run_curves import PlottedRun
from seqrl_cli.reports.results import read_results
from seqrl_cli.reports.table.build import ResultsTable, build_table
from seqrl_cli.reports.table.comparison import D4RL_DATASETS, dataset_order, dataset_titles
from seqrl_cli.reports.table.latex import to_latex
from seqrl_cli.reports.table.published import PublishedMethod, load_published
from seqrl_cli.reports.table.rows import ReferenceRow, ResultRow
from seqrl_cli.reports.table.side_by_side import compare
from seqrl_cli.reports.table.terminal import print_table
from seqrl_cli.reports.table.text import to_csv, to_markdown, to_rows
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import new_record
from tests.reports.episode_files import write_episode, write_run_record

REFERENCES = [
    ReferenceRow("sim/hopper-medium", "behaviour (dataset)", 1221.4, 0.381, 312),
    ReferenceRow("sim/hopper-medium", "random policy", 17.9, 0.0117, None),
]


@pytest.fixture(scope="module")
def published() -> list[PublishedMethod]:
    return load_published(presets_folder() / "published")


@pytest.fixture
def report(tmp_path: Path) -> ResultsTable:
    for seed, scores in (("42", (0.5, 0.6, 0.7)), ("43", (0.2, 0.3))):
        for episode, score in enumerate(scores):
            folder = tmp_path / f"gpt-s{seed}" / "plans" / "H15-B128-ctx5-s0"
            write_episode(folder, episode, score=score, run=f"gpt-s{seed}", **{"return": 3000 * score})
    write_episode(tmp_path / "retnet" / "a", run="retnet-s1", arch="retnet", dataset="hopper-medium-v2", score=0.4321)
    episodes = read_results(tmp_path).episodes
    return build_table(episodes, references=REFERENCES)


def shown(report: ResultsTable, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    print_table(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_rows_join_runs_and_follow_the_published_order(report):
    assert [(row.dataset, row.method) for row in report.rows] == [
        ("hopper-medium-v2", "retnet H15-B128-ctx5"),
        ("sim/hopper-medium", "gpt H15-B128-ctx5"),
    ]
    joined = report.rows[1]
    assert joined.score.count == 5
    assert joined.score.mean == pytest.approx(46.0)
    assert joined.return_.mean == pytest.approx(1380.0)
    assert (joined.steps, joined.terminated, joined.seconds_per_step) == (500, 1.0, pytest.approx(0.05))


def test_an_interval_does_not_depend_on_the_rows_beside_it(report, tmp_path):
    def row_of_gpt() -> ResultRow:
        rows = build_table(read_results(tmp_path).episodes).rows
        return next(row for row in rows if row.dataset == "sim/hopper-medium" and row.method.startswith("gpt"))

    alone = row_of_gpt()
    for episode in range(3):
        for run in ("bc", "dt"):
            write_episode(tmp_path / run, episode, run=run, arch=run, score=0.1 * episode)
        write_episode(tmp_path / "other", episode, dataset="hopper-medium-v2", score=0.2 * episode)
    assert row_of_gpt() == alone
    write_episode(tmp_path / "wide", run="gpt-s44", recipe="of another model", score=0.9)
    renamed = row_of_gpt()
    assert renamed.method != alone.method and replace(renamed, method=alone.method) == alone


def test_intervals_in_plots_are_those_of_the_table(report, tmp_path):
    row = next(row for row in report.rows if row.dataset == "sim/hopper-medium")
    record = new_record(
        datasets=("sim/hopper-medium",),
        env_id="Hopper-v4",
        arch="gpt",
        name="gpt",
        seed=1,
        status="finished",
        argv=[],
        device="cpu",
        threads=1,
        parameters=1,
        tokens_fingerprint="",
    )
    members = [
        PlottedRun(RunFolder(tmp_path / name), record, read_results(tmp_path / name).episodes, method="gpt")
        for name in ("gpt-s43", "gpt-s42")
    ]
    other = replace(members[0], episodes=read_results(tmp_path / "retnet").episodes, method="another", colour=1)
    for beside in ([], [other]):
        (panel,) = build_panels("score", [*beside, *members])
        dots = next(dots for dots in panel.dots if dots.label.startswith("gpt"))
        assert dots.interval == row.score.mean_interval


def test_orders():
    names = ["sim/hopper-medium", "hopper-medium-v2", "halfcheetah-medium-v2", "ant-medium-expert-v2"]
    assert sorted(names, key=dataset_order) == [names[3], names[2], names[1], names[0]]
    assert sorted(["gpt H15-B8", "gpt H5-B32", "dt"], key=natural_order) == ["dt", "gpt H5-B32", "gpt H15-B8"]


@pytest.mark.parametrize(
    ("dataset", "titles"),
    [
        ("walker2d-medium-replay-v2", ("Medium-Replay", "Walker2d")),
        ("sim/hopper-medium", ("sim/hopper-medium", "Hopper")),
        ("bullet-halfcheetah-medium-v0", ("bullet-halfcheetah-medium-v0", "HalfCheetah")),
        ("my/elephant.hdf5", ("my/elephant.hdf5", "")),
    ],
)
def test_dataset_titles(dataset, titles):
    assert dataset_titles(dataset) == titles


@pytest.mark.parametrize("width", [68, 80, 120])
def test_terminal_cuts_nothing_that_matters(report, width):
    text = shown(report, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    for word in ("H15-B128-ctx5", "46.0 ± 17.5", "1380", "behaviour", "random policy", "38.1", "1221"):
        assert word in text
    assert re.search(r"\[\d+\.\d, \d+\.\d\]", text)
    assert ("s/step" in text.partition("behaviour")[0]) == (width >= 100)


def test_one_episode_shows_no_error_and_no_interval(report):
    (line,) = [line for line in shown(report, 80).splitlines() if "retnet" in line]
    assert "43.2" in line and "±" not in line and "[" not in line


def test_own_results_on_v2_data_say_what_they_were_played_in(report):
    assert "hopper-medium-v2: our results are played in Hopper-v4" in report.notes


def test_csv_and_json_rows_hold_the_same(report):
    rows = to_rows(report)
    json.dumps(rows, allow_nan=False)
    table = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert [row["kind"] for row in table] == ["result", "result", "reference", "reference"]
    assert float(table[1]["mean_score"]) == rows[1]["mean_score"] == pytest.approx(46.0)
    assert table[0]["score_low"] == "" and rows[0]["score_low"] is None
    assert rows[1]["score_low"] < 46.0 < rows[1]["score_high"]


def test_markdown_rows_have_as_many_cells_as_the_header(report, published):
    both = build_table([], references=REFERENCES, published=published)
    for text in (to_markdown(report), to_markdown(both)):
        for block in re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE):
            assert len({line.count("|") for line in block.strip().splitlines()}) == 1
    assert "| sim/hopper-medium | gpt H15-B128-ctx5 | 2 × 2–3 | 46.0 ± 17.5 |" in to_markdown(report)


def test_published_averages_are_the_papers(published):
    averages = dict(compare([], published).averages())
    assert np.round(averages["Average (without Ant)"], 1).tolist() == [47.7, 47.8, 36.9, 77.6, 74.7, 78.9]
    assert [value is None for value in averages["Average (all settings)"]] == [True] * 5 + [False]


def test_published_files_name_their_source_and_only_known_datasets(published):
    for method in published:
        assert re.search(r"github\.com/\S+", method.source) and re.search(r"arXiv \d{4}\.\d{5}", method.paper)
        assert set(method.errors) <= set(method.scores) <= set(D4RL_DATASETS)


def test_published_figures_carry_the_v0_caveat(published):
    report = build_table([], published=published)
    for text in (to_markdown(report), shown(report, 80)):
        assert re.search(r"BC: measured on the v0 datasets", text) and "MBOP: measured on the v0" in text


def test_own_columns_beside_published_ones(report, published, tmp_path):
    episodes = read_results(tmp_path).episodes
    both = build_table(episodes, published=published)
    latex = to_latex(both.comparison)
    assert r"\begin{tabular}{llrrrrrrrr}" in latex
    assert "TT (Ours)" not in latex
    assert r"sim/hopper-medium & Hopper & $-$ & $-$ & $-$ & $-$ & $-$ & $-$ & $46.0$ \scriptsize" in latex
    assert r"& $\mathbf{67.6}$ & $\mathbf{61.1}$ \scriptsize{$\pm 3.6$} & $-$ & $43.2$ \\" in latex
    for width in (80, 120):
        text = shown(both, width)
        assert max(len(line) for line in text.splitlines()) <= width
        assert "…" not in text and "110.0 ± 2.7" in text and "46.0 ± 17.5" in text


def test_latex_without_published_figures_has_only_what_was_measured(report):
    latex = to_latex(report.comparison)
    assert latex.count(r"\midrule") == 2 and "Average" not in latex and "Walker2d" not in latex


def test_latex_escapes_names(tmp_path):
    write_episode(tmp_path, dataset="data/my_hopper_100%.hdf5")
    latex = to_latex(build_table(read_results(tmp_path).episodes).comparison)
    assert r"data/my\_hopper\_100\%.hdf5 & Hopper" in latex


def test_columns_without_room_are_named(report):
    wide, narrow = shown(report, 160), shown(report, 70)
    assert "s/step" in wide and "no room" not in wide
    assert "no room here for" in narrow and "s/step: a wider terminal" in " ".join(narrow.split())


def test_other_data_stands_apart_from_published_figures(report, published):
    mixed = ResultsTable(report.rows, report.references, compare(report.rows, published), True, report.notes)
    for text in (to_markdown(mixed), to_latex(mixed.comparison)):
        heading = text.index("Other data than D4RL's")
        assert text.index("sim/hopper-medium", heading) > heading and "Medium-Expert" in text[:heading]
    assert "Other data" not in to_markdown(report)
    comparison = shown(mixed, 200).partition("Medium-Expert")[2]  # on a terminal it stands in the table above alone
    assert "43.2" in comparison and "sim/hopper-medium" not in comparison and "46.0" not in comparison


def test_published_figures_stand_below_ours_at_any_width(report, published):
    beside = ResultsTable(report.rows, report.references, compare(report.rows, published), True, report.notes)
    for width in (60, 80):
        lines = [line.split() for line in shown(beside, width).splitlines()]
        ours, *_ = [index for index, words in enumerate(lines) if "43.2" in words]
        below = [words[-3:] for words in lines[ours : ours + 20] if words]
        assert ["61.1", "±", "3.6"] in below
        assert max(len(line) for line in shown(beside, width).splitlines()) <= width


def test_our_columns_beside_published_ones_come_all_or_not_at_all(report, published):
    beside = ResultsTable(report.rows, report.references, compare(report.rows, published), True, report.notes)
    for width, there in ((70, False), (90, True)):
        assert ("retnet" in shown(beside, width).rpartition("Medium-Expert")[0].rpartition("BC")[2]) == there


def test_long_names_of_datasets_are_whole(tmp_path):
    name = "minari/mujoco/halfcheetah/medium-replay-of-many"
    write_episode(tmp_path, dataset=name)
    lines = shown(build_table(read_results(tmp_path).episodes), 60).splitlines()
    assert f" {name}" in lines and max(map(len, lines)) <= 60


def test_own_latex_has_a_caption_and_no_empty_cell(tmp_path):
    write_episode(tmp_path, dataset="local/mine")
    own = build_table(read_results(tmp_path).episodes)
    text = to_latex(own.comparison)
    assert r"\caption{Normalised scores" in text and r"local/mine & Hopper-v4 &" in text


def test_long_names_go_on_further_in(tmp_path):
    for episode in range(2):
        folder = tmp_path / "plans/H5-B16-ctx5-kact40-cdfactnone-kobs1-prob-s0"
        write_episode(folder, episode, score=0.2 * episode, **{"return": 1000.0 * episode})
    lines = shown(build_table(read_results(tmp_path).episodes), 70).splitlines()
    (place,) = [index for index, line in enumerate(lines) if line.startswith("   gpt H5-B16")]
    assert "10.0 ± 7.1" in lines[place] and lines[place + 1].startswith("    ") and "kobs1-prob" in lines[place + 1]
    assert max(map(len, lines)) <= 70


def test_references_have_the_decimals_of_the_returns_beside_them(tmp_path):
    for episode in range(2):
        write_episode(tmp_path / "plans/H5-B16-s0", episode, score=None, **{"return": -23.0 - episode})
    behaviour = ReferenceRow("sim/hopper-medium", "behaviour (dataset)", -9.22, None, 30)
    text = shown(build_table(read_results(tmp_path).episodes, references=[behaviour]), 120)
    assert "-23.5 ± 0.4" in text and "-9.2" in text.split()
    (tmp_path / "scored").mkdir()
    write_episode(tmp_path / "scored")
    scored = shown(build_table(read_results(tmp_path / "scored").episodes, references=[behaviour]), 120)
    assert "-9" in scored.split()


@pytest.mark.parametrize(
    ("env_id", "words"),
    [("Hopper-v4", "random,expert"), ("metaworld/hammer-v3", "random,scripted"), ("Pendulum-v1", "random,data")],
)
def test_unscored_data_are_told_of_policies_that_ship(tmp_path, env_id, words):
    write_episode(tmp_path, score=None, env_id=env_id)
    notes = build_table(read_results(tmp_path).episodes).notes
    assert any(f"--reference {words} gives a data file scores" in note for note in notes)


def test_cut_episodes_are_told_from_whole_ones(tmp_path):
    settings = {"horizon": 15, "beam_width": 128, "max_context_transitions": 5}
    plans = {"short": 20, "usual": 1000}  # of which the latter is Hopper's own limit
    for name, limit in plans.items():
        for episode, fell in enumerate((False, True)):
            changes = {"run": name, "arch": name, "settings": settings | {"max_steps": limit}, "step": limit - 1}
            write_episode(tmp_path / name, episode, term=fell, **changes)
    report = build_table(read_results(tmp_path).episodes)
    assert [(row.cut, row.cut_at) for row in report.rows] == [(1, 20), (0, None)]
    assert "short H15-B128-ctx5, 1 of 2 cut after 20 steps |" in to_markdown(report)
    for text in (shown(report, 80), to_markdown(report)):
        assert text.count("1 of 2 cut after 20 steps") == 1 and text.count("plan.max_steps ended these episodes") == 1
    assert [row["cut_episodes"] for row in to_rows(report)] == [1, 0]


def add_run(root: Path, name: str, planned_with: str = "", **settings: object) -> None:
    """A planned run of behaviour cloning; ``planned_with`` is the recipe of its episode, if not that of today."""
    keys = {"model.arch": "bc", **{key.replace("__", "."): value for key, value in settings.items()}}
    config = resolve_config("sim/hopper-medium", size="laptop", preset="base", overrides=keys)
    write_run_record(root / name, arch="bc", seed=config.seed)
    (root / name / "config.yaml").write_text(dump_config(config))
    recipe = planned_with or recipe_of(config)
    write_episode(root / name / "plans" / "mode-s0", run=name, arch="bc", recipe=recipe)


def test_runs_of_one_architecture_name_the_settings_in_which_they_differ(tmp_path):
    add_run(tmp_path, "plain-s1", train__updates=20, seed=1)
    add_run(tmp_path, "plain-s2", train__updates=20, seed=2)  # a seed is no difference
    add_run(tmp_path, "best", policy__top_share=0.1, train__updates=20, train__learning_rate=3e-4)
    add_run(tmp_path, "odd", train__updates=20, planned_with="1-of another time")  # whose settings are not known
    report = build_table(read_results(tmp_path).episodes)
    told = {row.method.split()[0]: row.differs for row in report.rows}
    best = "train.learning_rate=0.0003, policy.top_share=0.1"
    assert told == {"plain": "train.learning_rate=0.001, policy.top_share=1", "best": best, "odd": ""}
    for width in (80, 120):
        lines = shown(report, width).splitlines()
        (place,) = [index for index, line in enumerate(lines) if line.startswith("   best ")]
        assert lines[place + 1].strip() == best and max(map(len, lines)) <= width
    assert f", {best} |" in to_markdown(report).replace("\\", "")
    assert [row["differing_settings"] for row in to_rows(report)] == [text or None for text in told.values()]
    assert "policy.top\\_share=0.1" in to_latex(report.comparison)


def test_many_differing_settings_are_counted(tmp_path):
    add_run(tmp_path, "small", train__updates=20)
    many = {"train__weight_decay": 0.5, "train__batch_size": 8, "train__learning_rate": 0.1, "model__width": 16}
    add_run(tmp_path, "other", **many, train__updates=30, policy__top_share=0.5)
    report = build_table(read_results(tmp_path).episodes, by="run")
    told = {row.method: row.differs for row in report.rows}
    assert told["other"] == ("train.updates=30, train.batch_size=8, train.learning_rate=0.1, model.width=16 and 2 more")
    assert max(map(len, shown(report, 80).splitlines())) <= 80


def test_what_only_one_run_has_is_no_difference(tmp_path):
    add_run(tmp_path, "alone", policy__top_share=0.1)
    write_episode(tmp_path / "gpt-s1" / "plans" / "H15-B128-ctx5-s0", run="gpt-s1")
    assert [row.differs for row in build_table(read_results(tmp_path).episodes).rows] == ["", ""]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a\x1b[2Jb [bold]c", "a\\x1b[2Jb [bold]c"),
        ("a\u202eb\u2066c\u200f", "a\\u202eb\\u2066c\\u200f"),
        ("a\u2028error: b", "a\\u2028error: b"),
    ],
)
def test_names_in_foreign_files_do_not_steer_the_terminal(tmp_path, name, safe):
    write_episode(tmp_path, dataset=name)
    assert f" {safe}\n" in shown(build_table(read_results(tmp_path).episodes), 80)


def foreign_table(folder: Path, name: str) -> ResultsTable:
    """A table in which every name is ``name``."""
    write_episode(folder, dataset=name, arch=name, run=name, env_id=name)
    episodes = read_results(folder).episodes
    return build_table(episodes, references=[ReferenceRow(name, name, 1.0, None)], notes=[name])


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("\\input /etc/passwd ", r"\textbackslash{}input /etc/passwd"),
        ("~^{}$&%#_", r"\textasciitilde{}\textasciicircum{}\{\}\$\&\%\#\_"),
        ('<a>|"', r"\textless{}a\textgreater{}\textbar{}\textquotedbl{}"),
        ("a\n\nb\x1b", r"a b\textbackslash{}x1b"),
    ],
)
def test_names_are_no_commands_in_latex(tmp_path, name, safe):
    text = to_latex(foreign_table(tmp_path, name).comparison)
    assert f"\n{safe} & {safe} & " in text and name not in text


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("<script>&", "&lt;script&gt;&amp;"),
        ("a|b", r"a\|b"),
        ("`x`", r"\`x\`"),
        ("![x](y)", r"!\[x\](y)"),
        ("_a_ my_data *b* ~c~", r"\_a\_ my_data \*b\* \~c\~"),
        ("a\n# b", "a # b"),
        ("a\\", "a\\\\"),
    ],
)
def test_names_are_plain_text_in_markdown(tmp_path, name, safe):
    text = to_markdown(foreign_table(tmp_path, name))
    assert f"| {safe} | {safe} H15" in text and f"| *{safe}* |" in text and f"\n- {safe}\n" in text


@pytest.mark.parametrize("name", ["=1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "a;=1", "＝1"])
def test_names_are_no_formulas_in_spreadsheets(tmp_path, name):
    cells = [row["dataset"] for row in csv.DictReader(io.StringIO(to_csv(foreign_table(tmp_path, name))))]
    assert len(cells) == 2 and all(cell != name and cell[0] not in "=+-@\t\r" for cell in cells)


def test_negative_numbers_stay_numbers_in_spreadsheets(tmp_path):
    write_episode(tmp_path, dataset="-5", **{"return": -1600.5, "score": -0.5})
    (row,) = csv.DictReader(io.StringIO(to_csv(build_table(read_results(tmp_path).episodes))))
    assert (row["dataset"], row["mean_return"], row["mean_score"]) == ("-5", "-1600.5", "-50.0")


def test_without_reference_scores_the_statistics_are_those_of_the_return(tmp_path):
    for episode, return_ in enumerate((0.01, 0.02, 0.03, 0.04)):
        folder = tmp_path / "dt-s42" / "plans" / "RTG0.0484-ctx5-s0"
        write_episode(folder, episode, run="dt-s42", dataset="local/mine", score=None, **{"return": return_})
    table = build_table(read_results(tmp_path).episodes)
    text = shown(table, 150)
    assert "0.0250 ± 0.0056" in text and "[0.01" in text and "are those of the return" in text
    assert "0.0250 ± 0.0056" in to_markdown(table)
    assert r"$0.025^\dagger$" in to_latex(table.comparison)
    assert r"\caption{Returns of episodes, of data without reference scores" in to_latex(table.comparison)
    (row,) = csv.DictReader(io.StringIO(to_csv(table)))
    assert float(row["return_iqm"]) == pytest.approx(0.025) and row["mean_score"] == ""
