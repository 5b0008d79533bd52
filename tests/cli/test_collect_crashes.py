"""Commands with an environment that takes its process with it, hangs or raises, when it plays or when it is made."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from seqrl_cli.envs import probe
from tests.cli.conftest import assert_refused, invoke, succeed
from tests.data.files import write_npz
from tests.data.recordings import Recording
from tests.envs.fragile import FRAGILE, plot_mischief
from tests.processes import ENVIRONMENT, children, start

pytestmark = pytest.mark.slow

COLLECT = ("collect", FRAGILE, "--policy", "random", "-n", 300, "--name", "a")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FRAGILE", str(tmp_path))
    monkeypatch.setitem(ENVIRONMENT, "FRAGILE", str(tmp_path))
    return tmp_path


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def told(runs, *words):
    """Exit code and stderr of a command in a process of its own, which must leave no other process."""
    process = start(runs, *map(str, words))
    errors = process.communicate(timeout=900)[1]
    assert not children() and "Traceback" not in errors
    return process.returncode, errors


def columns(path):
    with h5py.File(path) as file:
        return {name: np.asarray(file[name]) for name in ("observations", "actions", "rewards", "terminals")}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("what", ["abort", "kill"])
def test_a_process_that_dies_changes_nothing(runs, tmp_path, what, workers):
    succeed(tmp_path / "whole", *COLLECT, "--workers", 1)
    plot_mischief(what, step=5, reset=3)
    code, errors = told(runs, *COLLECT, "--workers", workers)
    assert code == 0 and errors.count("warning:") == 1 and "it is started again" in errors
    whole, other = columns(tmp_path / "whole/a/dataset.h5"), columns(runs / "a/dataset.h5")
    assert all(np.array_equal(whole[name], other[name]) for name in whole)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("abort", f"a process that played {FRAGILE} died of signal 6 (SIGABRT), and so did the next one"),
        ("exit", f"a process that played {FRAGILE} ended with exit code 3, and so did the next one"),
        ("raise", "a gear is missing"),
        ("hang", "sent no heartbeat for 2 seconds, and was ended"),
    ],
)
def test_what_cannot_go_on_is_told(runs, what, says, workers):
    plot_mischief(what, step=5, reset=3, once=False)
    patience = ("--env-timeout", 2) if what == "hang" else ()  # it counts the start of the process, too
    code, errors = told(runs, *COLLECT, "--workers", workers, *patience)
    assert code == 1 and errors.count("error:") == 1 and says in errors and not runs.exists()


@pytest.fixture
def dataset(runs, tmp_path):
    """A dataset of the fragile environment, and its file."""
    recording = Recording((20,) * 6, (False,) * 6)
    path = write_npz(
        tmp_path / "b.npz", {**recording.arrays(), "terminals": recording.terminals, "timeouts": recording.last}
    )
    succeed(runs, "download", path, f"data.env_id={FRAGILE}")
    return path


MADE = {
    "collect": COLLECT,
    "collect --dry-run": (*COLLECT, "--dry-run"),
    "download": ("download", "b.npz", f"data.env_id={FRAGILE}", "--force"),
    "export": ("export", "local/b", "--format", "minari"),
    "train": ("train", "local/b", "--arch", "bc", "model.n_layer=1", "model.width=16", "train.updates=2"),
    "info": ("info", "local/b"),
}


@pytest.mark.parametrize("command", MADE)
def test_an_environment_that_cannot_be_made_ends_no_command(runs, dataset, command):
    plot_mischief("abort", step=0, reset=0, once=False)
    words = [dataset if word == "b.npz" else word for word in MADE[command]]
    code, errors = told(runs, *words)
    says = f"the process of environment {FRAGILE} died of signal 6 (SIGABRT) when it was made, and so did the next one"
    if command in ("train", "info"):  # the dataset states what they need
        assert code == 0 and says not in errors
    elif command == "export":  # without the environment's description
        assert code == 0 and says in errors and errors.count("warning:") == 1
    else:
        assert code == 1 and errors.count("error:") == 1 and says in errors


@pytest.mark.parametrize("command", ["collect", "download"])
def test_one_that_hangs_when_it_is_made_is_ended(runs, dataset, monkeypatch, command):
    monkeypatch.setattr(probe, "PROBE_SECONDS", 3)
    monkeypatch.setattr(probe, "has_run_here", lambda env_id: False)
    probe.clear_cache()
    plot_mischief("hang", step=0, reset=0, once=False)
    words = [dataset if word == "b.npz" else word for word in MADE[command]]
    told = invoke(runs, *words)
    says = f"environment {FRAGILE} gave no answer for 3 seconds when it was made, and was ended"
    assert_refused(told, 1, says, "faulthandler")
    assert not children()


def test_drawing_is_refused_in_one_sentence(runs, tmp_path):
    succeed(runs, *COLLECT, "--workers", 1)
    succeed(runs, "train", "a", "--arch", "bc", "model.n_layer=1", "model.width=16", "train.updates=2")
    succeed(runs, "plan", "bc-s42", "--episodes", 1)
    plot_mischief("abort", step=0, reset=0, once=False)
    code, errors = told(runs, "render", "bc-s42", "-o", tmp_path / "a.gif")
    assert code == 1 and errors.count("error:") == 1 and "(SIGABRT) when it was made" in errors
