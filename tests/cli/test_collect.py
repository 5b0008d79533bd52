"""``seqrl collect``: what it refuses and says, before it makes anything."""

import json

import pytest

from tests.cli.conftest import assert_refused, invoke, succeed
from tests.envs.counted import UNSUITABLE

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["real", "dry"])
@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (("Swimmer-v4",), 2, "no policy ships for Swimmer-v4", "seqrl collect Swimmer-v4 --policy random"),
        (("Swimmer-v4", "--policy", "expert"), 2, "no expert policy ships for Swimmer-v4", "--policy random"),
        (("hoper",), 2, "no policy ships for hoper", "did you mean 'hopper'?"),
        (("CartPole",), 2, "no policy ships for CartPole", "seqrl collect CartPole --policy random"),
        (("NoSuch-v1",), 2, "there is no environment 'NoSuch-v1' here", "ids look like 'Hopper-v4'"),
        (("Swimmer-v9",), 2, "there is no environment 'Swimmer-v9' here", "did you mean 'Swimmer-v4'?"),
        (("Hoper-v4", "--policy", "random"), 1, "no environment 'Hoper-v4'", "Hopper-v4"),
        (("hopper", "--policy", "gpt-s42"), 1, "no run 'gpt-s42'", "seqrl runs"),
        ((UNSUITABLE, "--policy", "random"), 1, "has actions of kind MultiDiscrete", "wrap its actions"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_refusals_come_first_and_leave_nothing(tmp_path, words, code, message, hint, dry):
    result = invoke(tmp_path / "runs", "collect", *words, *dry)
    assert_refused(result, code, message, hint)
    assert result.stderr.startswith("error:") and not list(tmp_path.iterdir())


def test_an_environment_s_own_name_finds_its_shipped_policies(tmp_path):
    result = invoke(tmp_path, "collect", "Hopper-v4", "-n", 60, "--workers", 1)
    assert result.exit_code == 0 and (tmp_path / "collected/hopper-v4-medium/dataset.h5").exists()


def test_a_worker_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("seqrl_cli.workflows.data.collect.collect", lambda *args, **kwargs: 1 / 0)
    assert invoke(tmp_path / "runs", "collect", "hopper", "-n", 60).exit_code == 1
    assert not list(tmp_path.iterdir())


def test_data_that_are_there_are_not_taken_for_others(tmp_path):
    words = ("collect", "hopper", "--policy", "random", "--workers", "1", "--name", "mine")
    succeed(tmp_path, *words, "-n", "60", "--seed", "3")
    assert "already exists" in succeed(tmp_path, *words, "-n", "60", "--seed", "3").stderr
    for others in (("-n", "80", "--seed", "3"), ("-n", "60", "--seed", "4")):
        told = succeed(tmp_path, *words, *others).stderr
        assert "mine has 60 transitions of seed 3, not" in told and "--force makes it again" in told


def test_what_scores_zero_in_procgen_is_no_random_policy(tmp_path):
    told = json.loads(succeed(tmp_path, "info", "procgen/coinrun", "--json").stdout)
    assert told["return_of_a_random_policy"] is None
    assert (told["return_that_scores_0"], told["return_that_scores_100"]) == (5, 10)
    told = json.loads(succeed(tmp_path, "info", "dmc/walker-walk", "--json").stdout)
    assert told["return_of_a_random_policy"] == told["return_that_scores_0"] and told["return_that_scores_100"] > 100


def test_a_task_that_is_misspelt_is_named(tmp_path):
    assert_refused(
        invoke(tmp_path, "info", "metaworld/hamer-v3"), 2, "unknown task", "did you mean 'metaworld/hammer-v3'"
    )
