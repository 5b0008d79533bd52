"""``seqrl tune``: trials as runs, taken up again after a kill, and the same choices as without it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import TINY_TRAIN, assert_refused
from tests.cli.sweeps import DATASET, LONG, has_checkpoint, trainings
from tests.processes import start, until

SPACE = ("train.learning_rate=log:1e-4..1e-2", "train.batch_size=4,8")
TINY = tuple(word for word in TINY_TRAIN if not word.startswith("train.batch_size"))


def shown(result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        ((), 2, "no dataset given", "sim/hopper-medium"),
        ((DATASET,), 2, "there is nothing to search", "train.learning_rate=log:"),
        ((DATASET, "train.learning_rate=log:0..1"), 2, "no logarithm", "log:"),
        ((DATASET, "train.learning_rate=2..1"), 2, "is empty", "1..6"),
        ((DATASET, "data.bins=10..20"), 2, "data.bins cannot be searched", "--runs-dir"),
        ((DATASET, "plan.horizon=1..5"), 2, "plan.horizon does not change the validation loss", "--metric score"),
        ((DATASET, *SPACE, "--metric", "loss"), 2, "unknown metric 'loss'", "validation_loss"),
        ((DATASET, *SPACE, "--pruner", "mean"), 2, "unknown pruner 'mean'", "median"),
        (
            (DATASET, *SPACE, "--pruner", "median", "--metric", "score"),
            2,
            "needs a score during training",
            "eval_every",
        ),
        ((DATASET, *SPACE, "--on", "pbs"), 2, "trials cannot run on 'pbs'", "slurm"),
        ((DATASET, *SPACE, "train.batch_size=4"), 2, "given twice", "once"),
    ],
)
def test_what_is_refused(seqrl, runs, words, code, message, hint):
    assert_refused(seqrl("tune", *words), code, message, hint)
    assert not (runs / "sweeps").exists()


def test_a_dry_run_shows_the_space_and_writes_nothing(seqrl, runs):
    said = shown(seqrl("tune", DATASET, *SPACE, *TINY, "--metric", "score", "--dry-run", "--json"))
    assert said["space"] == {"train.learning_rate": "0.0001 to 0.01, logarithmic", "train.batch_size": "4, 8"}
    assert [command.split()[1] for command in said["commands"]] == ["train", "plan"]
    assert not (runs / "sweeps").exists()


@pytest.mark.slow
def test_trials_are_runs_and_more_of_them_go_on(seqrl, runs):
    pytest.importorskip("optuna")
    words = ("tune", DATASET, *SPACE, *TINY, "--name", "found")
    first = shown(seqrl(*words, "--trials", "2", "--json"))
    assert [trial["state"] for trial in first["trials"]] == ["complete"] * 2
    assert first["best"]["result"] == min(trial["result"] for trial in first["trials"])
    assert (runs / first["run"] / "run.json").exists()
    more = shown(seqrl(*words, "--trials", "3", "--jobs", "2", "--json"))
    assert more["trials"][:2] == first["trials"] and len(more["trials"]) == 3
    again = seqrl(*words, "--trials", "3")
    assert again.exit_code == 0 and "trial 3" not in again.stderr and "3 complete" in again.stdout
    states = shown(seqrl("sweep", "status", "found", "--json"))["members"]
    assert [state["run"].rpartition("/")[2] for state in states] == ["found-000", "found-001", "found-002"]


@pytest.mark.slow
def test_a_score_is_planned_for_and_impossible_values_are_no_trials(seqrl):
    pytest.importorskip("optuna")
    tiny = [word for word in TINY if word.partition("=")[0] not in ("model.n_head", "model.width", "train.updates")]
    words = (
        *tiny,
        "train.updates=2",
        "train.batch_size=4",
        "model.width=12",
        "model.n_head=2,5",
        "--name",
        "heads",
        "--search-seed",
        "1",
    )
    plan = ("--metric", "score", "--plan", "episodes=1 max_steps=5")
    said = shown(seqrl("tune", DATASET, *words, *plan, "--trials", "4", "--json"))
    heads = {trial["number"]: (trial["values"]["model.n_head"], trial["state"]) for trial in said["trials"]}
    assert set(heads.values()) <= {("2", "complete"), ("5", "fail")} and len(heads) == 4


@pytest.mark.slow
def test_the_driver_is_killed_and_the_same_line_takes_its_trials_up_again(made_runs, tmp_path):
    pytest.importorskip("optuna")
    words = ("tune", DATASET, SPACE[0], *LONG, "--trials", "2", "--threads", "1", "--name", "cut", "--json")
    runs = Path(shutil.copytree(made_runs, tmp_path / "runs"))
    driver = start(runs, *words)
    until(lambda: has_checkpoint(runs, "cut-000"), 300)
    driver.kill()
    driver.communicate()
    until(lambda: not trainings(runs), 300)
    assert json.loads((runs / DATASET / "cut-000/run.json").read_text())["status"] == "interrupted"
    second = start(runs, *words)
    out, err = second.communicate(timeout=900)
    assert second.returncode == 0, err
    whole = Path(shutil.copytree(made_runs, tmp_path / "whole"))
    uncut = start(whole, *words)
    expected, err = uncut.communicate(timeout=900)
    assert uncut.returncode == 0, err
    assert json.loads(out)["trials"] == json.loads(expected)["trials"]


@pytest.mark.slow
def test_trials_that_lag_behind_are_stopped(seqrl, runs):
    """Rates so small that nothing is learned come after good ones, which the pruner knows by then."""
    pytest.importorskip("optuna")
    from seqrl_cli.config.space import Dimension
    from seqrl_cli.workflows.tune.study import Study

    space = [Dimension("train.learning_rate", "float", 1e-4, 1e-2, log=True)]
    study = Study(runs / "journal.log", space, maximize=False, pruner="median", seed=0, warmup=2)
    for _ in range(2):
        number = study.ask().number
        assert not study.report(number, [(1, 1.0), (2, 0.5)])
        study.tell(number, 0.5)
    lagging = study.ask().number
    assert not study.report(lagging, [])
    assert study.report(lagging, [(1, 2.0)])
    study.tell(lagging, None, pruned=True)
    reopened = Study(runs / "journal.log", space, maximize=False, pruner="median", seed=0)
    assert [trial.state for trial in reopened.trials()] == ["complete", "complete", "pruned"]


def test_without_optuna_the_error_says_how_to_install_it(seqrl, monkeypatch):
    monkeypatch.setattr("seqrl_cli.config.extras.is_installed", lambda extra: False)
    refused = seqrl("tune", DATASET, *SPACE, *TINY)
    assert_refused(refused, 1, "seqrl tune needs the package optuna", "pip install")
