"""Tasks learned one after the other from the command line: every method, interruptions, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seqrl_cli.continual.methods import METHODS
from seqrl_cli.continual.run_files import StageFolder
from seqrl_cli.tracking.metrics import read_evaluation_lines
from seqrl_cli.tracking.process import tracker_folder
from tests.cli.conftest import Result, assert_refused, invoke, succeed
from tests.processes import ENVIRONMENT, until
from tests.tracking.fakes import notes

pytestmark = pytest.mark.slow

SUITE = "sim/hopper-medium-replay+sim/walker2d-medium-replay"
FOLDER = "sim/hopper-medium-replay+walker2d-medium-replay"
BASE = "sim/hopper-medium+walker2d-medium/mddt-s42"
TINY = (
    *("--updates", "6", "--episodes", "1", "--threads", "1", "continual.max_steps=5", "continual.batch_size=8"),
    *("continual.retention_episodes=1", "continual.checkpoint_every=2", "continual.log_every=2", "continual.rank=2"),
    *("continual.pool=6", "continual.fisher_windows=4", "continual.replay_transitions=50"),
)


@pytest.fixture(scope="session")
def made(made_once) -> Path:
    """Made once: a tiny model of two tasks and the data of two others. Do not write here."""
    return made_once("continual", _make)


def _make(runs: Path) -> None:
    tiny = ("model.width=16", "model.n_layer=1", "train.updates=4", "train.batch_size=8", "train.checkpoint_every=2")
    succeed(runs, "train", "sim/hopper-medium+sim/walker2d-medium", "data.transitions=300", "--arch", "mddt", *tiny)
    succeed(runs, "download", "sim/hopper-medium-replay", "data.transitions=300")
    succeed(runs, "download", "sim/walker2d-medium-replay", "data.transitions=300")


@pytest.fixture
def runs(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs"))


def learn(runs: Path, method: str, *words: str) -> Result:
    return invoke(runs, "continual", BASE, SUITE, "--method", method, *TINY, *words)


def folder(runs: Path, name: str) -> Path:
    return runs / FOLDER / name


def contents(run: Path) -> dict[str, object]:
    """What a run has learned and measured, without times."""
    found: dict[str, object] = {}
    for path in sorted((run / "stages").rglob("*")):
        name = str(path.relative_to(run))
        if path.name == "learned.safetensors":
            found[name] = path.read_bytes()
        elif path.name == "evaluation.json":
            found[name] = {**json.loads(path.read_text()), "seconds": 0}
    return found


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_plays_and_reports(runs, method):
    done = learn(runs, method, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    stages = 2 if method == "joint" else 3
    assert len(report["matrix"]) == report["fresh"] == stages and len(report["matrix"][0]) == 2
    assert (report["inference"] is None) == (not method.startswith("hide"))
    record = json.loads((folder(runs, f"{method}-s42") / "continual.json").read_text())
    assert record["status"] == "finished" and record["threads"] == 1 and record["trainable"] == report["trainable"] > 0
    assert not list(folder(runs, f"{method}-s42").rglob("checkpoints"))
    again = learn(runs, method)
    assert again.exit_code == 0 and "is finished; --force starts over" in again.stderr


@pytest.mark.parametrize("method", ["l2m", "hide-lora"])
def test_tasks_can_be_told(runs, method):
    done = learn(runs, method, "--task-id", "oracle", "--json")
    assert done.exit_code == 0, done.output
    last = json.loads((folder(runs, f"{method}-s42") / "stages/02-walker2d-medium-replay/evaluation.json").read_text())
    used = [set(task["used"]) for task in last["tasks"]]
    allowed = [{"0", "1", "2"}, {"3", "4", "5"}] if method == "l2m" else [{"0"}, {"1"}]
    assert all(own <= may for own, may in zip(used, allowed, strict=True))
    assert all(set(task["used"]) == {"-1"} for task in last["pretraining"])
    assert json.loads(done.stdout)["inference"] is None


KILLER = """
import os, signal, sys
from itertools import count
from seqrl_cli.__main__ import main
moment, number = sys.argv[1], int(sys.argv[2])
def die():
    os.kill(os.getpid(), signal.SIGKILL if moment != "interrupt" else signal.SIGINT)
if moment in ("update", "interrupt"):
    from seqrl_cli.training.task_trainer import TaskTrainer
    update, updates = TaskTrainer.update, count(1)
    def wrapped(self):
        update(self)
        if next(updates) == number:
            die()
    TaskTrainer.update = wrapped
elif moment == "step":
    from seqrl_cli.continual.play import LearnedAgent
    plans, ends = LearnedAgent.plans, count(1)
    def wrapped(self, episode):
        if next(ends) == number:
            die()
        return plans(self, episode)
    LearnedAgent.plans = wrapped
else:
    writes = count(1)
    def notice(event, arguments):
        if event == "os.rename" and moment in str(arguments[1]) and next(writes) == number:
            die()
    sys.addaudithook(notice)
sys.argv = ["seqrl", *sys.argv[3:]]
main()
"""


def run_and_die(runs: Path, moment: str, number: int, method: str, *more: str) -> subprocess.CompletedProcess:
    """The command in a process of its own, which is killed at the ``number``-th such moment."""
    words = ["continual", BASE, SUITE, "--method", method, *TINY, *more, "--runs-dir", str(runs)]
    command = [sys.executable, "-c", KILLER, moment, str(number), *words]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


def test_the_present_task_is_played_while_it_is_learned(runs):
    for method in ("hide-lora", "single"):
        assert learn(runs, method, "--eval-every", "3").exit_code == 0
        for stage in ("01-hopper-medium-replay", "02-walker2d-medium-replay"):
            lines = read_evaluation_lines(folder(runs, f"{method}-s42") / "stages" / stage / "metrics.jsonl")
            assert [line.step for line in lines] == [3, 6]
    plain = Path(shutil.move(folder(runs, "single-s42"), folder(runs, "played")))
    assert learn(runs, "single").exit_code == 0
    for stage in ("01-hopper-medium-replay", "02-walker2d-medium-replay"):  # play changes nothing that is learned
        name = f"stages/{stage}/learned.safetensors"
        assert contents(plain)[name] == contents(folder(runs, "single-s42"))[name]


MOMENTS = [
    ("update", 3, "hide-lora"),  # in the first task, after a checkpoint
    ("update", 9, "replay"),  # in the second task
    ("update", 9, "l2m"),
    ("update", 9, "ewc"),
    ("update", 9, "single"),
    ("step", 7, "hide-lora"),  # in an evaluation
    ("evaluation.json", 2, "replay"),  # the task is learned, its evaluation is about to be written
    ("learned.safetensors", 3, "hide-lora"),  # the last checkpoint is there, what it learned is not
]


@pytest.mark.parametrize(("moment", "number", "method"), MOMENTS)
def test_a_killed_run_ends_with_the_same_bits(runs, tmp_path, moment, number, method):
    whole = Path(shutil.copytree(runs, tmp_path / "whole"))
    assert learn(whole, method).exit_code == 0
    killed = run_and_die(runs, moment, number, method)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = contents(folder(runs, f"{method}-s42"))
    resumed = learn(runs, method)
    assert resumed.exit_code == 0, resumed.output
    expected = contents(folder(whole, f"{method}-s42"))
    assert contents(folder(runs, f"{method}-s42")) == expected
    assert all(expected[name] == value for name, value in before.items())


def test_ctrl_c_saves_and_says_how_to_go_on(runs, tmp_path):
    whole = Path(shutil.copytree(runs, tmp_path / "whole"))
    assert learn(whole, "lora").exit_code == 0
    stopped = run_and_die(runs, "interrupt", 9, "lora")
    assert stopped.returncode == 130, stopped.stderr
    assert "interrupted at update 3 of 02-walker2d-medium-replay" in stopped.stderr
    assert "the same command resumes" in stopped.stderr
    assert json.loads((folder(runs, "lora-s42") / "continual.json").read_text())["status"] == "interrupted"
    assert learn(runs, "lora").exit_code == 0
    assert contents(folder(runs, "lora-s42")) == contents(folder(whole, "lora-s42"))


def test_a_failure_is_recorded(runs, monkeypatch):
    def fail(*arguments: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr("seqrl_cli.continual.stage.write_evaluation", fail)
        assert learn(runs, "head").exit_code == 1
    assert json.loads((folder(runs, "head-s42") / "continual.json").read_text())["status"] == "failed"
    assert learn(runs, "head").exit_code == 0


def test_bad_requests_are_refused_before_anything_is_written(runs):
    assert_refused(learn(runs, "hide-lore"), 2, "unknown method 'hide-lore'", "did you mean 'hide-lora'?")
    assert_refused(learn(runs, "lora", "continual.rnak=3"), 2, "continual.rnak", "did you mean 'continual.rank'?")
    assert_refused(learn(runs, "lora", "continual.rank=0"), 2, "continual.rank", "")
    assert_refused(learn(runs, "lora", "train.updates=3"), 2, "train.updates", "continual.")
    assert_refused(
        learn(runs, "l2m", "continual.pool=1"), 1, "a pool of 1 adapters is too small: l2m needs 2", "continual.pool=6"
    )
    assert_refused(learn(runs, "l2p", "continual.pool=3"), 1, "a pool of 3 adapters", "continual.pool=")
    assert not folder(runs, "lora-s42").exists() and not folder(runs, "l2m-s42").exists()


def test_suites_that_do_not_fit_the_model_are_refused(runs):
    succeed(runs, "collect", "CartPole-v1", "--policy", "random", "-n", "200")
    game = invoke(runs, "continual", BASE, "collected/cartpole-v1-random", *TINY)
    assert_refused(game, 1, "collected/cartpole-v1-random", "")
    succeed(runs, "download", "sim/halfcheetah-medium", "data.transitions=1000")
    assert_refused(invoke(runs, "continual", BASE, "sim/halfcheetah-medium", *TINY), 1, "sim/halfcheetah-medium", "")


def test_a_run_of_another_kind_is_refused(runs):
    tiny = ("model.width=16", "model.n_layer=1", "train.updates=1", "train.batch_size=8")
    succeed(runs, "train", "sim/hopper-medium", "--arch", "bc", *tiny)
    assert_refused(invoke(runs, "continual", "bc-s42", SUITE, *TINY), 1, "only an mddt can learn on", "--arch mddt")


def test_a_run_that_was_changed_by_hand_is_refused(runs):
    assert learn(runs, "lora").exit_code == 0
    run = folder(runs, "lora-s42")
    first = StageFolder(run / "stages/01-hopper-medium-replay")
    content = first.learned.read_bytes()
    first.learned.write_bytes(content[:-5] + b"12345")
    (run / "stages/02-walker2d-medium-replay/evaluation.json").unlink()
    assert_refused(learn(runs, "lora"), 1, "learned.safetensors is damaged", "remove the stage's folder")
    shutil.rmtree(first.path)
    assert_refused(learn(runs, "lora"), 1, "01-hopper-medium-replay is missing", "--force")
    other = learn(runs, "lora", "--updates", "7")
    assert_refused(other, 1, "was begun with continual.updates=6, not 7", "--name")
    assert learn(runs, "lora", "--force").exit_code == 0


def test_force_keeps_the_old_run_until_the_new_one_has_begun(runs):
    assert learn(runs, "head").exit_code == 0
    run = folder(runs, "head-s42")
    before = contents(run)
    for moment, number in (("learned.safetensors", 1), ("evaluation.json", 1)):
        killed = run_and_die(runs, moment, number, "head", "--force", "continual.updates=7")
        assert killed.returncode == -signal.SIGKILL and contents(run) == before
    assert learn(runs, "head").stderr.count("is finished")  # it is still the old one, whole
    done = learn(runs, "head", "--force", "--updates", "7", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["fresh"] == 3
    assert "is replaced as soon as the new run has played" in " ".join(done.stderr.split())
    assert json.loads((run / "continual.json").read_text())["settings"]["updates"] == 7
    assert not [path.name for path in run.parent.iterdir() if path.name.startswith(".head")]


NOTES = "tests.tracking.fakes:Notes"


def told(runs: Path, name: str) -> list[list]:
    """What the tracker that writes down what it is told has heard of a run."""
    own = tracker_folder(folder(runs, name) / "trackers", NOTES)
    return notes(own) if (own / "notes.jsonl").exists() else []


def test_trackers_follow_all_stages_and_change_no_bit(runs):
    assert learn(runs, "lora", "--eval-every", "3").exit_code == 0
    other = ("--eval-every", "3", "--name", "followed", "--track", f"{NOTES},tests.tracking.fakes:Raising")
    done = learn(runs, "lora", *other)
    assert done.exit_code == 0, done.output
    assert contents(folder(runs, "followed")) == contents(folder(runs, "lora-s42"))
    assert "Raising failed: " in done.stderr and "nobody answers" in done.stderr
    heard = told(runs, "followed")
    (_, _, name, config), *_, (_, status) = heard
    assert name == f"{FOLDER}/followed" and config["continual.method"] == "lora" and status == "finished"
    steps = [(note[1], int(note[2]["stage"])) for note in heard if note[0] == "log" and "loss" in note[2]]
    assert steps == [(2, 1), (4, 1), (6, 1), (8, 2), (10, 2), (12, 2)]
    assert [note[1] for note in heard if note[0] == "log" and "evaluation_return" in note[2]] == [3, 6, 9, 12]
    played = {note[1]: note[2] for note in heard if note[0] == "log" and "average" in note[2]}
    evaluation = json.loads((folder(runs, "followed") / "stages/01-hopper-medium-replay/evaluation.json").read_text())
    returns = {f"return/{task['dataset'].partition('/')[2]}": task["mean_return"] for task in evaluation["tasks"]}
    assert list(played) == [0, 6, 12] and returns.items() <= played[6].items()
    (scores,) = [note[1] for note in heard if note[0] == "scores"]
    assert scores["continual/average"] == pytest.approx(played[12]["average"]) and "continual/forgetting" in scores


def test_a_continual_run_is_sent_afterwards_and_once(runs):
    assert learn(runs, "joint").exit_code == 0
    for sent in (8, 0):
        done = succeed(runs, "runs", "track", "joint-s42", "--to", NOTES, "--json")
        assert json.loads(done.stdout)["sent"] == {NOTES: sent}
    assert [note[1] for note in told(runs, "joint-s42") if note[0] == "log"] == [0, 2, 4, 6, 8, 10, 12, 12]
    assert json.loads(
        succeed(runs, "runs", "track", FOLDER + "/joint-s42", "--to", NOTES, "--dry-run", "--json").stdout
    )
    assert learn(runs, "joint", "--force").exit_code == 0
    again = succeed(runs, "runs", "track", "joint-s42", "--to", NOTES, "--json")
    assert json.loads(again.stdout)["sent"] == {NOTES: 8}  # another run, and its trackers' folders were replaced, too


def test_a_run_that_resumes_sends_no_step_twice(runs):
    killed = run_and_die(runs, "update", 9, "lora", "--track", NOTES)
    assert killed.returncode == -signal.SIGKILL
    until(lambda: "end" in [note[0] for note in told(runs, "lora-s42")])  # its tracker ends with it
    assert learn(runs, "lora", "--track", NOTES).exit_code == 0
    steps = [note[1] for note in told(runs, "lora-s42") if note[0] == "log"]
    assert steps == [0, 2, 4, 6, 6, 8, 10, 12, 12]


def test_a_base_that_was_trained_further_is_refused(runs):
    assert learn(runs, "head").exit_code == 0
    tiny = ("model.width=16", "model.n_layer=1", "train.updates=6", "train.batch_size=8", "train.checkpoint_every=2")
    succeed(runs, "train", "sim/hopper-medium+sim/walker2d-medium", "data.transitions=300", "--arch", "mddt", *tiny)
    assert_refused(learn(runs, "head"), 1, "as it was before", "--name")


def test_a_dry_run_writes_nothing(runs):
    shown = json.loads(learn(runs, "hide-lora", "--dry-run", "--json").stdout)
    assert shown["stages_done"] == 0 and "model" in shown["memory_without_the_data"]
    assert not folder(runs, "hide-lora-s42").exists()
    missing = invoke(runs, "continual", BASE, "sim/hopper-expert+sim/walker2d-expert", "--dry-run", "--json")
    assert json.loads(missing.stdout)["made_first"] == "sim/hopper-expert, sim/walker2d-expert"
    absent = invoke(runs, "continual", "absent", "sim/hopper-expert+sim/walker2d-expert", "--dry-run")
    assert_refused(absent, 1, "no run 'absent'", "seqrl runs")
    assert not (runs / "sim/hopper-expert").exists()


def test_other_commands_are_not_disturbed(runs):
    before = succeed(runs, "runs", "list", "--json").stdout
    assert learn(runs, "lora").exit_code == 0
    after = json.loads(succeed(runs, "runs", "list", "--json").stdout)
    (own,) = after.pop("continual")
    assert own["method"] == "lora" and own["status"] == "finished" and own["stages"] == "3 of 3"
    assert own["run"] == f"{FOLDER}/lora-s42" and own["base"] == BASE
    unchanged = {key: value for key, value in json.loads(before).items() if key != "continual"}
    assert after == unchanged
    assert BASE in succeed(runs, "runs", "show", "lora-s42").stdout
    for words in (("plan",), ("watch",)):
        refused = invoke(runs, *words, "lora-s42")
        assert_refused(refused, 1, "lora-s42 learned tasks one after the other", f"seqrl table {FOLDER}")
    succeed(runs, "plan", "--episodes", "1", "plan.max_steps=5")  # the latest run is still the trained one
    succeed(runs, "table")


def test_a_run_that_was_killed_after_its_last_stage_is_finished(runs):
    succeed(runs, "continual", BASE, SUITE, "--method", "single", *TINY)
    run = folder(runs, "single-s42")
    record = json.loads((run / "continual.json").read_text())
    (run / "continual.json").write_text(json.dumps({**record, "status": "running"}))
    (run / "stages").joinpath(sorted(os.listdir(run / "stages"))[-1], "checkpoints").mkdir()
    before = contents(run)
    assert learn(runs, "single").exit_code == 0
    assert json.loads((run / "continual.json").read_text())["status"] == "finished"
    assert contents(run) == before and not list(run.rglob("checkpoints"))
