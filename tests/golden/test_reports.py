"""The published plans give the published means; the published figures give the published table."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.config.resources import presets_folder
from seqrl_cli.reports.groups import group_episodes
from seqrl_cli.reports.results import read_results
from seqrl_cli.reports.table.build import build_table
from seqrl_cli.reports.table.latex import to_latex
from seqrl_cli.reports.table.published import load_published
from seqrl_cli.reports.table.side_by_side import compare

# dataset, method, episodes, mean and standard deviation of the score, mean return: computed from the logs
# that github.com/eduruiz00/trajectory-retnet publishes.
PUBLISHED_PLANS = [
    ("halfcheetah-medium-v2", "gpt H5-B32", 5, 45.33, 0.54, 5348.2),
    ("halfcheetah-medium-v2", "gpt H10-B32", 5, 45.92, 0.29, 5421.4),
    ("halfcheetah-medium-v2", "gpt H15-B32", 5, 45.44, 0.76, 5361.4),
    ("halfcheetah-medium-v2", "retnet H5-B32", 5, 40.82, 0.46, 4787.9),
    ("halfcheetah-medium-v2", "retnet H10-B32", 7, 28.20, 15.03, 3220.3),
    ("halfcheetah-medium-v2", "retnet H15-B32", 5, 41.01, 0.26, 4811.3),
    ("hopper-medium-v2", "gpt H5-B128", 5, 61.84, 7.95, 1992.3),
    ("hopper-medium-v2", "gpt H10-B128", 5, 53.81, 11.45, 1731.0),
    ("hopper-medium-v2", "gpt H15-B128", 5, 52.10, 12.40, 1675.4),
    ("hopper-medium-v2", "retnet H5-B128", 5, 38.13, 5.23, 1220.9),
    ("hopper-medium-v2", "retnet H10-B128", 6, 52.86, 11.39, 1700.3),
    ("hopper-medium-v2", "retnet H15-B128", 5, 50.39, 9.08, 1619.6),
]


def test_every_published_plan_is_read_whole(golden_file):
    folder = golden_file("published_plans")
    results = read_results(folder)
    assert not results.warnings
    assert len(results.episodes) == len(list(folder.rglob("rollout.json")))


@pytest.mark.parametrize(("dataset", "method", "count", "score", "deviation", "return_"), PUBLISHED_PLANS)
def test_published_plans_have_the_published_means(golden_file, dataset, method, count, score, deviation, return_):
    episodes = read_results(golden_file("published_plans")).episodes
    group = group_episodes(episodes).get((dataset, method), [])
    if len(group) != count:
        pytest.skip(f"another set of plans: {len(group)} of {dataset} {method} instead of {count}")
    (row,) = build_table(group).rows
    assert row.score.mean == pytest.approx(score, abs=0.00501)
    assert row.return_.mean == pytest.approx(return_, abs=0.0501)
    assert row.score.standard_error == pytest.approx(deviation / np.sqrt(count), abs=0.00501)


def test_latex_equals_the_published_block(golden_file):
    block = golden_file("tt_published_table.tex").read_text(encoding="utf-8").splitlines()
    written = to_latex(compare([], load_published(presets_folder() / "published"))).splitlines()
    assert [line.rstrip() for line in written] == [line.rstrip() for line in block]
