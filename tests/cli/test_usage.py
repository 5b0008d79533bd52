"""Command lines that cannot be parsed: errors as sentences, exit code 2, and one object with --json."""

import json

import pytest

from tests.cli.conftest import invoke
from tests.cli.test_errors import assert_refused

WRONG = [
    (("train", "--sede", "1"), "no such option: --sede; did you mean "),
    (("train", "--seed", "x"), "invalid value for '--seed', 'x': input should be a valid integer"),
    (("plan", "--horizon=0"), "invalid value for '--horizon', '0': input should be greater than or equal to 1"),
    (("plan", "--horizon"), "option '--horizon' requires an argument"),
    (("collect",), "missing argument 'ENV'"),
    (("trian",), "no such command 'trian'; did you mean 'train'?"),
    (("info", "one", "two"), "unexpected extra argument(s) (two)"),
]


@pytest.mark.parametrize(
    ("words", "message"), WRONG, ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_typer_s_own_errors_are_told_like_ours(tmp_path, words, message):
    result = invoke(tmp_path, *words)
    assert_refused(result, 2, message, "--help` lists")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "message"), WRONG, ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_they_are_one_json_object_too(tmp_path, words, message):
    told = json.loads(invoke(tmp_path, words[0], "--json", *words[1:]).stdout)
    assert told["exit_code"] == 2 and message in told["error"] and told["hint"]


def test_nothing_at_all_shows_the_help(tmp_path):
    result = invoke(tmp_path)
    assert result.exit_code == 0 and "demo" in result.stdout
