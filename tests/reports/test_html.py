"""The report: whole, self-contained, drawn by a real browser, and deaf to what hostile names ask for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from seqrl_cli.config.extras import is_installed
from seqrl_cli.errors import SeqrlError
from seqrl_cli.reports.html.figures import figures_of
from seqrl_cli.reports.html.page import HtmlTable, Section, figure, media, page, safe_json
from seqrl_cli.reports.html.tables import differences_table
from seqrl_cli.reports.plot.curves import HeatMap, Panel, PointsRow, Series
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.plan.run import run as plan
from seqrl_cli.workflows.plan.setup import PlanRequest
from seqrl_cli.workflows.report import html
from seqrl_cli.workflows.report.html import HtmlRequest
from tests.workflows.tiny import NAME, Heard, make_runs

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
EVIL = "<img src=x onerror=\"document.title='pwned'\"></script><script>document.title='pwned'</script>"
GIF = b"GIF89a\x01\x00\x01\x00\x00\xff\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x00;"


@pytest.fixture
def store(made_once, tmp_path) -> RunStore:
    store = RunStore(Path(shutil.copytree(made_once("workflows", make_runs), tmp_path / "runs")))
    for run in ("dt-s42", "bc-s42"):
        plan(PlanRequest(store, run, {"plan.max_steps": 4, "plan.episodes": 2}, threads=1), Heard())
    videos = store.root / NAME / "dt-s42/videos"
    videos.mkdir()
    (videos / "best.gif").write_bytes(GIF)
    return store


def written(store: RunStore, path: Path, **options) -> str:
    html.run(HtmlRequest(store, output=path, **options), Heard())
    return path.read_text()


def test_a_report_has_results_plots_runs_differences_and_videos(store, tmp_path):
    report = html.run(HtmlRequest(store, output=tmp_path / "a.html"), Heard())
    text = (tmp_path / "a.html").read_text()
    assert (len(report.runs), report.episodes, report.videos) == (5, 4, 1) and report.figures > 0
    for part in ("results", "plots", "runs", "differences", "videos"):
        assert f'<section id="{part}">' in text and f'href="#{part}"' in text
    assert "model.arch" in text and f"{NAME}/dt-s42" in text and "data:image/gif;base64," in text


def test_without_runs_the_hint_is_how_to_train_one(tmp_path):
    with pytest.raises(SeqrlError, match="no run in ") as told:
        html.run(HtmlRequest(RunStore(tmp_path), output=tmp_path / "a.html"), Heard())
    assert told.value.hint.startswith("train one first: seqrl train")


def test_some_runs_make_a_report_of_their_own(store, tmp_path):
    text = written(store, tmp_path / "a.html", runs=["bc-s42"], title="Cloning & co")
    assert "<title>Cloning &amp; co</title>" in text and "dt-s42" not in text
    assert 'id="differences"' not in text and 'id="videos"' not in text


def test_nothing_is_loaded_from_elsewhere(store, tmp_path):
    text = written(store, tmp_path / "a.html")
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "default-src 'none'" in markup
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", markup)


def test_without_plotly_the_plots_are_a_picture(store, tmp_path, monkeypatch):
    monkeypatch.setattr(html, "is_installed", lambda extra: False)
    text = written(store, tmp_path / "a.html")
    assert "data:image/svg+xml;base64," in text and "<script" not in text


def test_a_report_is_replaced_and_any_other_file_only_with_force(store, tmp_path):
    written(store, tmp_path / "a.html")
    assert html.run(HtmlRequest(store, output=tmp_path / "a.html"), Heard()).fresh
    (tmp_path / "a.html").write_text("<html>of somebody else</html>")
    with pytest.raises(SeqrlError, match="a.html exists and is not known to be a report"):
        written(store, tmp_path / "a.html")
    written(store, tmp_path / "a.html", force=True)


def test_too_many_videos_are_left_out_by_name(store, tmp_path, monkeypatch):
    monkeypatch.setattr(html, "MAX_VIDEO_BYTES", 10)
    console = Heard()
    report = html.run(HtmlRequest(store, output=tmp_path / "a.html"), console)
    assert report.videos == 0 and "best.gif is left out" in console.warnings[0]


def hostile_page() -> str:
    """Every part of a page, with a name that would like to be markup."""
    line = Series(EVIL, (0.0, 1.0), (0.0, float("nan")), (0.0, 0.0), (1.0, 1.0))
    panels = [
        Panel(EVIL, EVIL, EVIL, EVIL, series=(line, Series("other", (0.0,), (1.0,)))),
        Panel(EVIL, EVIL, EVIL, EVIL, dots=(PointsRow(EVIL, (1.0, 2.0), 1.5, (1.0, 2.0)),)),
        Panel(EVIL, EVIL, EVIL, EVIL, heat=HeatMap((EVIL, "b"), ("a", EVIL), ((1.0, 2.0), (3.0, 4.0)))),
    ]
    parts = [figure(*content[:2], number, content[2]) for number, content in enumerate(figures_of(panels))]
    parts += [HtmlTable((EVIL, "n"), ((EVIL, "1"),), frozenset((1,))).html(), media(EVIL, "image/gif", GIF)]
    differing = differences_table({EVIL: {"a": {EVIL: 1}}, "b": {"a": {EVIL: EVIL}}})
    assert differing is not None
    library = None
    if is_installed("report"):
        from plotly.offline import get_plotlyjs

        library = get_plotlyjs().replace("</script", "<\\/script")
    return page(EVIL, [EVIL], [Section("all", EVIL, [*parts, differing.html()])], library)


def test_names_are_text_wherever_they_stand():
    text = re.sub(r"<script>.*?</script>", "", hostile_page(), flags=re.DOTALL)
    assert "<img src=x" not in text and "<script>document" not in text
    assert text.count("</script>") == 3  # of the three figures' data
    assert EVIL in unescape(text)


def test_json_in_a_script_stays_json():
    value = {"name": f"{EVIL}<!-- & \u2028", "y": [1.5, None]}
    text = safe_json(value)
    assert json.loads(text) == value and not set("<>&") & set(text)


def test_configurations_that_agree_have_no_table():
    same = {"a": {"x": 1, "y": {"z": [1, 2]}}}
    assert differences_table(same) is None and differences_table({**same, "b": same["a"]}) is None
    table = differences_table({**same, "b": {"x": 1, "y": {"z": [1]}, "new": None}})
    assert table is not None
    assert table.rows == [["y.z", "[1, 2]", "[1]"], ["new", "–", "null"]]


browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
plotly = pytest.mark.skipif(not is_installed("report"), reason="the extra report is not installed")


def seen(path: Path, profile: Path) -> str:
    """The page as a browser has it after its scripts ran."""
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=10000",
        f"--user-data-dir={profile}",
    )
    command = [str(CHROMIUM), *options, "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "Uncaught" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.slow
@browser
@plotly
def test_a_browser_draws_every_figure(store, tmp_path):
    report = html.run(HtmlRequest(store, output=tmp_path / "a.html"), Heard())
    dom = seen(tmp_path / "a.html", tmp_path / "profile")
    assert len(re.findall(r'class="plot-container plotly"', dom)) == report.figures
    assert "dt" in re.findall(r'class="legendtext"[^>]*>([^<]+)<', dom)


@pytest.mark.slow
@browser
@plotly
def test_a_browser_runs_nothing_that_a_name_asks_for(tmp_path):
    path = tmp_path / "evil.html"
    path.write_text(hostile_page())
    dom = seen(path, tmp_path / "profile")
    without_scripts = re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)
    markup = " ".join(re.findall(r"<[^<>]*>", re.sub(r'"[^"]*"', '""', without_scripts)))
    assert "<title>pwned" not in dom and "<title>&lt;img src=x" in dom
    assert 'class="plot-container plotly"' in dom and "onerror" not in markup
