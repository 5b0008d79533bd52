"""Plans in a user's own environment, which ends its process or hangs; and environments that only a file names."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import h5py
import pytest

from seqrl_cli.envs import trust
from tests.cli.conftest import assert_refused, invoke, succeed
from tests.envs.fragile import FRAGILE, plot_mischief
from tests.processes import children

pytestmark = pytest.mark.slow

PLAN = ("plan", "fragile", "--episodes", 2, "--force")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Made once: a dataset of the fragile environment, a policy, and its episodes without any mischief."""
    runs = tmp_path_factory.mktemp("own") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRAGILE", str(runs.parent))
        succeed(runs, "collect", FRAGILE, "--policy", "random", "-n", 200, "--name", "fragile", "--workers", 1)
        succeed(runs, "train", "fragile", "--arch", "bc", "train.updates=2", "train.batch_size=8")
        succeed(runs, *PLAN)
    return runs


@pytest.fixture
def runs(made, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FRAGILE", str(tmp_path))
    return Path(shutil.copytree(made, tmp_path / "runs"))


def returns(runs: Path) -> list[float]:
    return [json.loads(path.read_text())["return"] for path in sorted(runs.glob("fragile/bc-s42/plans/*/*.json"))]


@pytest.mark.parametrize("what", ["abort", "exit"])
def test_a_plan_survives_the_death_of_its_environment(made, runs, what):
    plot_mischief(what, step=5)
    told = succeed(runs, *PLAN)
    assert told.stderr.count("warning:") == 1 and "in step 5: it is started again" in told.stderr
    assert returns(runs) == returns(made) and not children()


def test_a_plan_ends_an_environment_that_hangs(made, runs):
    plot_mischief("hang", step=5)
    message = f"environment {FRAGILE} gave no answer for 4 seconds in step 5, and was ended"
    assert_refused(invoke(runs, *PLAN, "--env-timeout", 4), 1, message, "--env-timeout waits longer")
    assert returns(runs) == returns(made) and not children()


EVIL = "evil_module:Env-v0"


@pytest.fixture
def evil(runs, tmp_path, monkeypatch) -> Path:
    """A run directory and a file that name a module, which is importable; gives the file that the module makes."""
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with h5py.File(runs / "fragile/dataset.h5", "a") as file:
        file.attrs["env_id"] = EVIL
    shutil.copy(runs / "fragile/dataset.h5", tmp_path / "evil.hdf5")
    yield tmp_path / "ran"
    sys.modules.pop("evil_module", None)


@pytest.mark.parametrize(
    "words",
    [
        ("download", "evil.hdf5"),
        ("discretize", "evil.hdf5"),
        ("train", "evil.hdf5", "--arch", "bc", "train.updates=1"),
        ("train", "evil.hdf5", "--arch", "bc", "--dry-run"),
        ("export", "fragile", "--format", "minari"),
        ("plan", "fragile"),
        ("plan", "fragile", "--dry-run"),
        ("render", "fragile"),
        ("info", "fragile"),
        ("info", "evil.hdf5"),
        ("table",),
        ("collect", "hopper", "--policy", "bc-s42"),
    ],
)
def test_no_command_imports_a_module_that_only_a_file_names(runs, evil, words):
    said = invoke(runs, *words)
    assert not evil.exists() and "evil_module" not in sys.modules
    assert "internal error" not in said.output and (said.exit_code == 0 or said.stderr.count("error:") == 1)


def test_a_name_on_the_command_line_is_honoured_and_remembered(runs, evil):
    assert_refused(invoke(runs, "plan", "fragile"), 1, "named by a file", f"data.env_id={EVIL}")
    assert not evil.exists()
    invoke(runs, "plan", "fragile", f"data.env_id={EVIL}")
    assert evil.exists()
    assert_refused(invoke(runs, "plan", "fragile", "data.env_id=Hopper-v4"), 2, f"of {EVIL}, not of Hopper-v4", "out")
    trust._accepted.discard(EVIL)
