import pytest

from tests.campaigns import kill
from tests.campaigns.common import failures

pytestmark = pytest.mark.slow


def test_some_trials() -> None:
    trials = kill.trials(1)
    quick = [number for number, trial in enumerate(trials) if trial.name.startswith(("discretize", "export-d4rl"))]
    assert not failures(trials, quick[:4], 1)
