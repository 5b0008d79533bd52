"""Texts in files: YAML tags, paths that climb, escape sequences, and what tables make of others' words."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from tests.campaigns.common import Trial
from tests.campaigns.security.scene import GPT, ONLINE, copy_runs, difference, fired, problems, run, tree
from tests.campaigns.specimens import DATASET, TUNE_FURTHER, Specimens
from tests.cli.conftest import TINY_PLAN
from tests.data.files import raw_arrays, write_npz, write_pickle, write_raw

TAGS = [
    "!!python/object/apply:os.system ['touch canary']",
    "!!python/object/new:os.system ['touch canary']",
    "!!python/object/apply:subprocess.check_output [['touch', 'canary']]",
    "!!python/object/apply:builtins.eval [\"open('canary', 'w')\"]",
    "!!python/object/new:tuple [!!python/object/apply:os.system ['touch canary']]",
    "!!python/module:evil",
    "!!python/name:evil.x",
    "!!python/object:evil.X {}",
]
OUTSIDE = [
    "../outside",
    "../../../../outside",
    "/tmp/seqrl-outside",
    "../../outside/x",
    "..",
    ".",
    ".hidden",
    "a/../../outside",
    "~/outside",
]
ODD = ["", "a\nb", "\x1b[31mred", "\u202eevil", "-rf", "x" * 300, "con:", "a\\b", "dataset.h5", "*"]
_READING = [["plan", GPT, *TINY_PLAN, "--seed", "5"], ["runs", "show", GPT], ["plot", GPT], ["runs"]]
_PARENT = ["finetune-online", ONLINE, *TUNE_FURTHER]
ESCAPES = ["\x1b]0;title\x07", "\x1b[2J\x1b[31mred", "\u202etxt.exe\u2066", "a\rb", "\x9b31m"]


def trials(specimens: Specimens) -> Iterator[Trial]:
    for tag in TAGS:
        for place in ("--config", "config.yaml", "checkpoint"):
            yield Trial(f"{tag} in {place}", partial(_tag, specimens, tag, place))
    for name in [*OUTSIDE, *ODD]:
        yield Trial(f"a run's name {name!r:.40}", partial(_run_name, specimens, name))
    for number, name in enumerate([*OUTSIDE, *ODD[:4], *(word * 3000 for word in ("x", "x/", "\0", "\ud800"))]):
        for key in ("name", "dataset", "parent", "a plan's dataset"):
            second = _PARENT if key == "parent" else _READING[number % len(_READING)]
            yield Trial(f"{key} {name[:40]!r} in JSON", partial(_recorded, specimens, key, name, second))
    for name in OUTSIDE[:4]:
        yield Trial(f"preset {name!r} in config.yaml", partial(_preset, specimens, name))
    for escape in ESCAPES:
        for place in _PLACES:
            yield Trial(f"{escape!r} in {place}", partial(_escape, specimens, escape, place))
    for text in (*_LATEX, *_CELLS, *_MARKDOWN):
        yield Trial(f"{text!r} in tables", partial(_table, specimens, text))


def _tag(specimens: Specimens, tag: str, place: str, folder: Path) -> str:
    copy_runs(specimens, folder)
    (folder / "evil.py").write_text("open('canary', 'w').close()\nx = 1\nclass X: pass\n")
    if place == "checkpoint":
        shutil.copytree(specimens.checkpoints[2], folder / "faster")
        path, words = folder / "faster" / "config.yaml", ["import", "./faster"]
    else:
        path = folder / "runs" / GPT / "config.yaml"
        words = (
            ["train", DATASET, "--config", str(path), "--dry-run"]
            if place == "--config"
            else ["plan", GPT, "--dry-run"]
        )
    path.write_text(f"{path.read_text()}\nextra: {tag}\n")
    outcome = run(words, folder)
    return problems(outcome, fired(folder / "canary"), "" if outcome.code else "it was accepted")


def _run_name(specimens: Specimens, name: str, folder: Path) -> str:
    """Nothing is written outside of the run directory, and odd names are errors."""
    place = _deep_inside(specimens, folder)
    shutil.rmtree("/tmp/seqrl-outside", ignore_errors=True)
    shutil.copytree(specimens.checkpoints[2], place / "faster")
    before = tree(folder, without="a/b/runs")
    outcome = run(["import", "faster", "--dataset", DATASET, f"--name={name}", "--runs-dir", "runs"], place)
    outside = difference(before, tree(folder, without="a/b/runs"))
    return problems(outcome, outside, fired(Path("/tmp/seqrl-outside")), "" if outcome.code else "it was accepted")


def _recorded(specimens: Specimens, key: str, name: str, second: list[str], folder: Path) -> str:
    """Names in a run's record, and the dataset in a plan's JSON."""
    place = _deep_inside(specimens, folder)
    pattern = "gpt-s42/plans/*/*.json" if key == "a plan's dataset" else "*/run.json"
    facts = {"name": name, "parent": name, "dataset": name, "datasets": [name]}
    changed = {"name": ["name"], "parent": ["parent"], "dataset": ["dataset", "datasets"]}.get(key, ["dataset"])
    for path in (place / "runs" / DATASET).glob(pattern):
        path.write_text(json.dumps(json.loads(path.read_text()) | {one: facts[one] for one in changed}))
    before = tree(folder, without="a/b/runs")
    for words in (["table"], second):
        outcome = run([*words, "--runs-dir", "runs"], place)
        outside = difference(before, tree(folder, without="a/b/runs"))
        if problem := problems(outcome, outside):
            return f"`{' '.join(words)}`: {problem}"
    return ""


def _deep_inside(specimens: Specimens, folder: Path) -> Path:
    """A folder with a run directory, deep enough that names which climb can be seen."""
    place = folder / "a" / "b"
    place.mkdir(parents=True)
    copy_runs(specimens, place)
    return place


def _preset(specimens: Specimens, name: str, folder: Path) -> str:
    """A preset's name does not lead to another file."""
    copy_runs(specimens, folder)
    (folder / "outside.yaml").write_text("train: {updates: 77777}\n")
    outcome = run(["train", DATASET, "--preset", f"{name}.yaml", "--dry-run"], folder)
    second = run(["train", DATASET, "--preset", f"{folder}/outside", "--dry-run"], folder)
    leaked = "another file was read" if "77777" in outcome.stdout + second.stdout else ""
    return problems(outcome, leaked) or problems(second)


_PLACES = [
    *("an HDF5 column", "an HDF5 attribute", "an npz column", "a pickle's key", "a pickle's name", "a file's name"),
    *("run.json", "a plan's JSON", "config.yaml", "metrics.jsonl", "dataset.h5's attributes", "downloads.json"),
]


def _escape(specimens: Specimens, escape: str, place: str, folder: Path) -> str:
    """Neither controls nor marks that turn the direction of text reach the terminal."""
    copy_runs(specimens, folder)
    runs, commands = folder / "runs", [["runs"], ["runs", "show", GPT], ["table"], ["info", DATASET]]
    if place == "an HDF5 column":
        write_raw(folder / "a.hdf5", {**raw_arrays(20, rewards=None), f"{escape}rewards": np.ones(20)})
        commands = [["info", "./a.hdf5"], ["download", "./a.hdf5"]]
    elif place == "an HDF5 attribute":
        with h5py.File(write_raw(folder / "a.hdf5", raw_arrays(20)), "a") as file:
            for name in ("env_id", "licence", "source", "dataset_id", "policy"):
                file.attrs[name] = escape
        commands = [["info", "./a.hdf5"], ["download", "./a.hdf5"]]
    elif place == "an npz column":
        write_npz(folder / "a.npz", {**raw_arrays(20, rewards=None), f"{escape}rewards": np.ones(20)})
        commands = [["info", "./a.npz"]]
    elif place == "a pickle's key":
        write_pickle(folder / "a.pkl", [{**raw_arrays(20, rewards=None), f"{escape}rewards": np.ones(20)}])
        commands = [["info", "./a.pkl"]]
    elif place == "a pickle's name":
        (folder / "a.pkl").write_bytes(f"c{escape}os\nsystem\n.".encode())
        commands = [["info", "./a.pkl"]]
    elif place == "a file's name":
        (folder / f"{escape}.pkl").write_bytes(b"no pickle")
        commands = [["info", f"./{escape}.pkl"], ["download", f"./{escape}.pkl"], ["plan", escape]]
    elif place == "config.yaml":
        path = runs / GPT / "config.yaml"
        path.write_text(path.read_text() + json.dumps(escape) + ": 1\n")
        commands = [["plan", GPT, "--dry-run"], ["runs", "show", GPT]]
    elif place == "metrics.jsonl":
        path = runs / GPT / "metrics.jsonl"
        path.write_text(path.read_text() + json.dumps({"step": 9, escape: 1}) + "\n")
        commands = [["plot", GPT], ["runs", "show", GPT]]
    elif place == "dataset.h5's attributes":
        with h5py.File(runs / DATASET / "dataset.h5", "a") as file:
            for name in ("env_id", "licence", "source", "dataset_id", "policy", "url"):
                file.attrs[name] = escape
    elif place == "downloads.json":
        (runs / "downloads.json").write_text(json.dumps({escape: escape}))
        commands = [["download", "hopper-medium-v2", "--offline"]]
    else:
        pattern = "gpt-s42/run.json" if place == "run.json" else "gpt-s42/plans/*/*.json"
        for path in (runs / DATASET).glob(pattern):
            values = json.loads(path.read_text())
            changed = {key: escape if isinstance(value, str) else value for key, value in values.items()}
            path.write_text(json.dumps(changed | {"argv": [escape], escape: escape}))
        commands = [*commands, ["plot", GPT], ["plan", GPT, "--dry-run"]]
    for words in commands:
        outcome = run([*words, "--runs-dir", "runs"], folder)
        turned = re.search("[\u202a-\u202e\u2066-\u2069]", outcome.stdout + outcome.stderr)
        problem = problems(outcome, f"{turned.group()!r} is printed" if turned else "")
        if problem:
            return f"`{' '.join(words)}`: {problem}"
    return ""


_LATEX = [r"\input{/etc/passwd}", r"\input /etc/passwd ", r"\write18{touch x}", "a~b^c", "$x$%", r"}\end{tabular}"]
_CELLS = ["=HYPERLINK(1)", "+1+1", "@SUM(1)", "-2+3", "\t=1", "=1\n=2", '","=1']
_MARKDOWN = [
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "a|b|c",
    "<img src=x onerror=y>",
    "`x`",
    "![x](//y)",
]
_OWN_COMMANDS = re.compile(
    r"\\(begin|end|centering|small|toprule|midrule|bottomrule|multicolumn|bf|it|scriptsize|raisebox|pm|hspace|caption"
    r"|label|times|text[a-z]+)"
)


def _table(specimens: Specimens, text: str, folder: Path) -> str:
    """Another's words in a table are words for LaTeX, Markdown and spreadsheets."""
    copy_runs(specimens, folder)
    for path in (folder / "runs" / DATASET).glob("gpt-s42/plans/*/*.json"):
        words = {key: text for key in ("dataset", "env_id", "run", "arch")}
        path.write_text(json.dumps(json.loads(path.read_text()) | words))
    for form in ("latex", "markdown", "csv"):
        outcome = run(["table", "--format", form, "--runs-dir", "runs"], folder)
        problem = problems(outcome, _CHECKS[form](outcome.stdout))
        if problem:
            return f"{form}: {problem}"
    return ""


def _check_latex(text: str) -> str:
    foreign = {word for word in re.findall(r"\\[A-Za-z]+", text) if not _OWN_COMMANDS.fullmatch(word)}
    active = re.search(r"(?<!\\)[~^]", text)
    return f"LaTeX would run {sorted(foreign)}" if foreign else f"{active.group()} is not escaped" if active else ""


def _check_markdown(text: str) -> str:
    found = re.search(r"<(script|img)|(?<!\\)\[x\]\(", text)
    rows = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
    return f"Markdown keeps {found.group()}" if found else "" if len(rows) < 2 else "the rows differ in their columns"


def _check_csv(text: str) -> str:
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    formulas = [
        cell for cell in cells if cell[:1] in tuple("=+@-\t\r") and not re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell)
    ]
    return f"a spreadsheet would compute {formulas[0]!r}" if formulas else ""


_CHECKS = {"latex": _check_latex, "markdown": _check_markdown, "csv": _check_csv}
