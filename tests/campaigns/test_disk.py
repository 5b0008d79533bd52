import subprocess

import pytest

from tests.campaigns import disk
from tests.campaigns.common import failures

pytestmark = pytest.mark.slow


def test_some_trials(tmp_path) -> None:
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    subprocess.run(["umount", str(tmp_path)], check=True)
    trials = disk.trials(1)
    quick = [number for number, trial in enumerate(trials) if trial.name.startswith(("discretize", "export-d4rl"))]
    assert not failures(trials, quick[:4], 1)
