"""Every command on every page: dry-run as it stands, and run as it stands at a size that takes seconds."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import h5py
import pytest
from typer.main import get_command

from seqrl_cli.cli import options
from seqrl_cli.cli.app import app
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.store import RunStore
from tests.docs.commands import parse, small
from tests.docs.conftest import succeed
from tests.docs.pages import ROOT, Command, all_blocks, commands_of

pytestmark = pytest.mark.slow

NEED_A_RUN = ("plan", "finetune-online", "render")
BLOCKS = [block for block in all_blocks() if not block.language]
COMMANDS = {block: commands_of(block) for block in BLOCKS}


def unique(program: str) -> list[Command]:
    """Commands of a program, one of those that differ in numbers only."""
    found = {re.sub(r"\d+", "0", str(command)): command for commands in COMMANDS.values() for command in commands}
    return [command for command in found.values() if command.program == program]


def dry_run(folder: Path, command: Command) -> None:
    """Run a command with --dry-run; without the run that it needs, or without such an option, parse it."""
    params = parse(command.words)
    if "dry_run" not in params or (command.words[0] in NEED_A_RUN and not has_run(folder, params)):
        return
    extra = () if "--dry-run" in command.words else ("--dry-run",)
    if command.words[0] == "train" and "--seeds" not in command.words:
        # The time that is left is measured, which takes minutes at the papers' batch size; and the tiny run that is
        # there has other settings.
        extra += ("--force", "train.batch_size=1")
    succeed(folder / "runs", *command.words, *extra, mirrors=command.mirrors)


def has_run(folder: Path, params: dict[str, Any]) -> bool:
    """Whether the run that a command line means is there."""
    runs, _ = options.split_subjects(params["arguments"])
    try:
        RunStore(folder / params["runs_dir"]).find(runs[0] if runs else None, print)
    except SeqrlError:
        return False
    return True


def test_the_readme_has_every_command_of_the_chain():
    readme = [command for block in BLOCKS if block.page == "README.md" for command in COMMANDS[block]]
    verbs = {command.words[0] for command in readme if command.program == "seqrl"}
    chain = {"demo", "download", "discretize", "train", "plan", "finetune-online", "render", "table", "plot"}
    assert verbs >= chain | {"collect", "runs", "info"}


NOT_ONLY_PARSED = {command for block in BLOCKS if block.mark != "parsed" for command in COMMANDS[block]}


@pytest.mark.parametrize("command", unique("seqrl"), ids=str)
def test_command_is_accepted_as_it_stands(unchanged, command):
    if command in NOT_ONLY_PARSED:
        dry_run(unchanged, command)
    else:
        parse(command.words)


RUN = {block.text: block for block in reversed(BLOCKS) if not block.mark}


@pytest.mark.parametrize("block", [*RUN.values()][::-1], ids=str)
def test_block_runs_as_it_stands(workplace, block):
    for command in COMMANDS[block]:
        if command.program != "seqrl":
            continue
        fetched = command.words[0] in ("train", "download") and any(word.endswith("-v2") for word in command.words)
        extra = ("--dry-run",) if fetched else small(command.words)
        result = succeed(workplace / "runs", *command.words, *extra, mirrors=command.mirrors)
        assert result.stdout or "-o" in command.words, command


def test_a_width_that_the_heads_do_not_divide_would_be_found(unchanged):
    wrong = Command("seqrl", ("train", "sim/hopper-medium", "--name", "wide", "model.width=128"), "")
    with pytest.raises(AssertionError, match="not divisible"):
        dry_run(unchanged, wrong)


@pytest.mark.parametrize("words", [("train", "sim/hopper-medium", "model.widht=96"), ("plan", "--beams", "4")])
def test_an_unknown_key_or_option_would_be_found(words):
    with pytest.raises(Exception, match=r"widht|--beams"):
        parse(words)


@pytest.mark.parametrize("command", unique("pip"), ids=str)
def test_pip_finds_what_it_is_told(command):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.search(r"\[(.*)\]", command.words[-1])
    assert command.words[:3] == ("install", "-c", "constraints.txt") and (ROOT / "constraints.txt").exists()
    assert set(named[1].split(",") if named else ()) <= set(extras)


class Parsed(Exception):
    """Stands in the place of a benchmark that would now begin."""


@pytest.mark.parametrize("command", [c for c in unique("python") if "tests.benchmarks" in str(c)], ids=str)
def test_benchmark_takes_these_options(command, monkeypatch):
    original = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> None:
        original(parser, arguments)
        raise Parsed

    module = importlib.import_module(command.words[1])
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [command.words[1], *command.words[2:]])
    takes = module.main.__code__.co_argcount
    with pytest.raises(Parsed):
        module.main(*([sys.argv[1:]] if takes else []))


@pytest.mark.parametrize("command", unique("docker"), ids=str)
def test_docker_runs_a_command_of_ours(command):
    if command.words[0] == "run":
        parse(command.words[command.words.index("seqrl") + 1 :])


def rows(title: str) -> set[str]:
    """The keys in the first column of the tables below a title of docs/run-directory.md."""
    page = (ROOT / "docs" / "run-directory.md").read_text()
    section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_key_of_the_run_directory_is_documented(unchanged):
    store = RunStore(unchanged / "runs")
    folder = store.find("gpt-s42", print).path
    assert json.loads((folder / "run.json").read_text()).keys() == rows("run.json")
    assert keys_of_lines(folder, store.find("odt-s42", print).path, store.find("tuned", print).path) == rows(
        "metrics.jsonl"
    )
    (episode, *_) = sorted(folder.glob("plans/*/episode-*.json"))
    with h5py.File(episode.with_suffix(".h5")) as states:
        assert json.loads(episode.read_text()).keys() | states.keys() == rows("Plans")
    (state, *_) = sorted(folder.glob("checkpoints/*/state.json"))
    assert json.loads(state.read_text()).keys() == rows("Checkpoints")
    with h5py.File(unchanged / "runs/sim/hopper-medium/tokens.h5") as tokens:
        assert tokens.keys() | tokens.attrs.keys() | {"observation_slice"} == rows("tokens.h5")
    for path in unchanged.glob("runs/**/dataset.h5"):
        with h5py.File(path) as dataset:
            assert set(dataset.attrs) <= rows("dataset.h5"), path


def keys_of_lines(*folders: Path) -> set[str]:
    lines = [line for folder in folders for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {key for line in lines for key in json.loads(line)}


def test_every_command_and_shared_variable_has_a_row():
    page = (ROOT / "docs" / "cli.md").read_text()
    for name in get_command(app).commands:
        assert f"\n| `{name}` |" in page, name
    for variable in ("SEQRL_RUNS", "SEQRL_MIRRORS", "SEQRL_OFFLINE", "SEQRL_DEBUG"):
        assert f"\n| `{variable}` |" in page, variable


def test_every_configuration_key_on_the_pages_exists():
    known = {f"{name}.{key}" for name, field in Config.model_fields.items() for key in keys_of(field.annotation)}
    sections = "|".join(sorted({key.partition(".")[0] for key in known}))
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md"):
        used = set(re.findall(rf"`({sections})\.(?!safetensors)(\w+)[=`]", page.read_text()))
        assert {".".join(pair) for pair in used} <= known, page


def keys_of(section: object) -> list[str]:
    return list(getattr(section, "model_fields", ()))
