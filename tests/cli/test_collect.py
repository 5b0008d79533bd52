"""``seqrl collect``: what it refuses, before it says or makes anything."""

import pytest

from tests.cli.conftest import assert_refused, invoke
from tests.envs.counted import UNSUITABLE

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["real", "dry"])
@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (("Swimmer-v4",), 2, "no policy ships for Swimmer-v4", "seqrl collect Swimmer-v4 --policy random"),
        (("Swimmer-v4", "--policy", "expert"), 2, "no expert policy ships for Swimmer-v4", "--policy random"),
        (("hoper",), 2, "no policy ships for hoper", "did you mean 'hopper'?"),
        (("Hoper-v4", "--policy", "random"), 1, "no environment 'Hoper-v4'", "Hopper-v4"),
        (("hopper", "--policy", "gpt-s42"), 1, "no run 'gpt-s42'", "seqrl runs"),
        ((UNSUITABLE, "--policy", "random"), 1, "'CountedTwofold-v0' has actions of kind MultiDiscrete", "Hopper-v4"),
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
