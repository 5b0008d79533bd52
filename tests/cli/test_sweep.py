"""``seqrl sweep`` on this machine: its members, its resumption after any cut, and what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest

from seqrl_cli.cli import sweep as cli
from seqrl_cli.config.sweep_file import sweep_presets
from seqrl_cli.errors import SeqrlError
from seqrl_cli.launch.local import LocalLauncher
from seqrl_cli.launch.ray_cluster import check_resources
from seqrl_cli.launch.task import Task, died, run_task
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.sweeps import is_group, read_sweep, sweep_folder
from seqrl_cli.workflows.plan.timing import PlayTime, measure
from seqrl_cli.workflows.sweep import play_time
from seqrl_cli.workflows.sweep.play_time import PlayEffort
from seqrl_cli.workflows.sweep.states import MemberState
from tests.cli.conftest import TINY_PLAN, TINY_TRAIN, assert_refused, invoke, succeed
from tests.cli.sweeps import DATASET, LONG, has_checkpoint, hashes, make_serial, trainings
from tests.data.files import write_file
from tests.processes import start, until

TINY = [word for word in TINY_TRAIN if not word.startswith("train.updates")]


def shown(result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def plan_of(seqrl, *words: str) -> dict:
    """What a dry run says, as --json."""
    return shown(seqrl("sweep", DATASET, *words, *TINY_TRAIN, "--dry-run", "--json"))


def test_a_dry_run_lists_members_hours_and_disk_and_writes_nothing(seqrl, runs):
    before = sorted(runs.rglob("*"))
    words = ("--arch", "gpt,retnet", "train.learning_rate=1e-3,3e-4", "--seeds", "1-2", "--plan", "episodes=2")
    said = plan_of(seqrl, *words)
    assert [row["run"].rpartition("/")[2] for row in said["rows"]][:3] == [
        "gpt-lr1e-3-s1",
        "gpt-lr1e-3-s2",
        "gpt-lr3e-4-s1",
    ]
    assert len(said["rows"]) == 8 and said["seconds"] > 0 and said["disk_bytes"] > 0
    train, plan = said["commands"][0]
    assert "train.learning_rate=1e-3" in train and "--seed 1" in train and "--threads" in train
    assert plan.startswith(f"seqrl plan {DATASET}/gpt-lr1e-3-s1 plan.episodes=2")
    assert sorted(runs.rglob("*")) == before
    text = seqrl("sweep", DATASET, *words, *TINY_TRAIN, "--dry-run").stdout
    assert "8 members: 8 waiting" in text and "disk" in text and "training" in text
    assert "planning" not in plan_of(seqrl, "--seeds", "1-2")


TINY_POLICY = ("model.width=16", "model.n_layer=1", "train.updates=4", "train.batch_size=8")


@pytest.mark.parametrize(("arch", "tiny"), [("gpt", TINY_TRAIN), ("dt", TINY_POLICY), ("bc", TINY_POLICY)])
def test_a_dry_run_counts_the_hours_of_planning(seqrl, runs, arch, tiny):
    before = sorted(runs.rglob("*"))
    said = shown(seqrl("sweep", DATASET, "--arch", arch, *tiny, "--plan", "episodes=2", "--dry-run", "--json"))
    assert said["planning_seconds"] > 0 and said["planning"].startswith("at most "), said
    assert said["planning"].endswith(" here, if no episode ends before its step limit")
    assert sorted(runs.rglob("*")) == before


def test_a_dry_run_measures_each_kind_of_plan_once(seqrl, monkeypatch):
    """Seeds, rates of learning and filters of tokens change no time; the horizon does."""
    measured = []

    def counting(session, *rest):
        measured.append(session.config.horizon)
        return measure(session, *rest)

    monkeypatch.setattr(play_time, "measure", counting)
    plans = ("--plan", "plan.horizon=1,2 plan.k_act=2,3 plan.episodes=1")
    said = plan_of(seqrl, "--seeds", "1-2", "train.learning_rate=1e-3,3e-4", *plans)
    assert measured == [1, 2] and said["planning_seconds"] > 0
    plan_of(seqrl, "--plan", "plan.k_obs=1,5 plan.episodes=1")  # greedy observations are decoded at once
    assert len(measured) == 4
    plan_of(seqrl, "--plan", "plan.ensemble=other plan.episodes=1")
    assert len(measured) == 5


def test_a_dry_run_says_why_planning_is_not_counted(fresh, tmp_path):
    path = write_file(tmp_path / "mine.hdf5")
    said = shown(fresh("sweep", str(path), *TINY_TRAIN, "--plan", "default", "--dry-run", "--json"))
    assert said["planning"].startswith("not included: ") and "does not state which environment" in said["planning"]
    assert said["planning_seconds"] is None and said["seconds"] > 0
    long = ("--plan", "plan.max_context_transitions=9", "--dry-run", "--json")
    said = shown(fresh("sweep", DATASET, *TINY_TRAIN, *long))
    assert said["planning"].startswith("not included: ") and "9" in said["planning"]


def test_the_most_that_a_member_may_play():
    """Rounds of episodes at once, each to the step limit; of a member that has begun, no more than is left."""
    effort = PlayEffort(((PlayTime(per_step=0.5, limit=100, envs=2), 3), (PlayTime(2.0, 10, 1), 4)))
    assert effort.seconds(MemberState("d/r", "waiting")) == 2 * 50 + 4 * 20
    assert effort.seconds(MemberState("d/r", "planning", episodes=6, wanted=7)) == 50 + 20


def test_axes_of_planning_make_more_plans_of_one_training(seqrl):
    said = plan_of(seqrl, "--plan", "plan.horizon=1,2 plan.episodes=1")
    (steps,) = said["commands"]
    assert [step.split()[1] for step in steps] == ["train", "plan", "plan"]
    assert "plan.horizon=1" in steps[1] and "plan.horizon=2" in steps[2]


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        ((DATASET, "train.learning_rat=1,2"), 2, "unknown key 'train.learning_rat'", "train.learning_rate"),
        ((DATASET, "train.learning_rate="), 2, "has an empty value", "null"),
        ((DATASET, "train.learning_rate=1e-3,zero"), 2, "train.learning_rate", ""),
        ((DATASET, "--seeds", "1-1000"), 2, "these are 1,000 runs", "--yes"),
        ((DATASET, "--seeds", "1-10000", "train.beta1=0.8,0.9"), 2, "these are 20,000 runs", "10,000 at most"),
        ((DATASET, "data.bins=8,16"), 2, "data.bins cannot be an axis", "--runs-dir"),
        ((DATASET, "plan.horizon=1,2"), 2, "changes no trained model", "--plan plan.horizon=1,2"),
        ((DATASET, "--arch", "gpt,"), 2, "has an empty name", "A,B"),
        ((DATASET, "--arch", "gpt,gtp"), 2, "'gtp'", ""),
        ((DATASET, "--arch", "gpt", "--arch", "dt", "policy.warmup_updates=1,2", "--arch", "gpt"), 2, "only", ""),
        ((f"{DATASET},sim/hopper-medium",), 2, "twice", "once"),
        ((DATASET, "--plan", "horizon"), 2, "--plan takes key=value", "plan.horizon"),
        ((DATASET, "--plan", "horizn=1"), 2, "unknown key 'plan.horizn'", "plan.horizon"),
        ((DATASET, "model.attention_dropout=[0.1],0.1"), 2, "model.attention_dropout", ""),
        ((), 2, "name a dataset", "seqrl sweep"),
        (("nothing.yaml",), 2, "there is no file nothing.yaml", "paper-tt"),
        (("paper-ttt",), 2, "unknown dataset or sweep 'paper-ttt'", "paper-tt"),
        (("hopper-medium-v22",), 2, "unknown dataset 'hopper-medium-v22'", "hopper-medium-v2"),
        ((DATASET, "--plan", ""), 2, "--plan is empty", "--plan default"),
        ((DATASET, "--track", ","), 2, "--track names no tracker", "tensorboard"),
        ((DATASET, "--on", "mars"), 2, "unknown place 'mars'", "slurm"),
        ((DATASET, "--address", "here:1"), 2, "--address is not for --on local", "ray"),
        ((DATASET, "--on", "ray", "--time", "1:00:00"), 2, "--time is not for --on ray", "slurm or pbs"),
        ((DATASET, "--index", "1"), 2, "--index belongs to", "sweep run"),
        (("status",), 2, "needs a sweep's name", "seqrl sweep"),
        (("status", "lr"), 1, "no sweep 'lr'", "seqrl sweep"),
        (("run", "lr"), 2, "needs --index", "--index 0"),
    ],
)
def test_what_is_refused(seqrl, runs, words, code, message, hint):
    assert_refused(seqrl("sweep", *words), code, message, hint)
    assert not (runs / "sweeps").exists()


def test_two_members_of_one_name_are_refused(seqrl):
    refused = seqrl("sweep", DATASET, *TINY_TRAIN, "train.weight_decay=0.1,'0.1'", "--dry-run")
    assert_refused(refused, 2, "two members have the name", "write these values differently")
    assert "train.weight_decay = 0.1 and '0.1'" in refused.stderr


def test_very_many_runs_are_asked_about(monkeypatch):
    answers = []
    monkeypatch.setattr(cli.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(cli.typer, "confirm", lambda text, err: answers.append(text) or True)
    cli.confirm_many(cli.MANY, yes=False)
    assert not answers
    cli.confirm_many(cli.MANY + 1, yes=True)
    assert not answers
    cli.confirm_many(cli.MANY + 1, yes=False)
    assert "501 runs" in answers[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(sweep_presets()))
def test_every_sweep_that_ships_is_accepted(fresh, name):
    tiny = ("model.width=48", "train.batch_size=2") if name != "paper-l2m" else ("train.batch_size=2",)
    said = shown(fresh("sweep", name, *tiny, "--dry-run", "--json"))
    assert said["sweep"] == name and len(said["rows"]) == len(said["commands"]) > 1
    assert all(state["status"] == "waiting" for state in said["rows"])


@pytest.mark.slow
def test_the_trajectory_transformers_grid_is_that_of_its_table(fresh):
    said = shown(
        fresh("sweep", "paper-tt", "--seeds", "1", "model.n_layer=1", "train.batch_size=1", "--dry-run", "--json")
    )
    published = json.loads(fresh("table", "--published", "--json").stdout)
    names = {row["dataset"] for row in published["rows"] if row["method"] == "TT"}
    assert {row["run"].partition("/")[0] for row in said["rows"]} == names
    assert all("plan.episodes=3" in steps[1] for steps in said["commands"])


@pytest.mark.slow
def test_a_sweep_of_a_file_runs_is_shown_and_planned_again(seqrl, runs, tmp_path):
    """Also: its record has no state, a finished one does nothing, and tables and plots know its name."""
    file = tmp_path / "grid.yaml"
    file.write_text(
        f"datasets: {DATASET}\narch: [gpt, dt]\nseeds: 1-2\nplan: {{plan.max_steps: 6, plan.episodes: 1}}\n"
        "train: {train.updates: 2, train.batch_size: 4, model.n_layer: 1, model.n_head: 1, model.width: 16,"
        " model.sequence_length: 4, plan.max_context_transitions: 3}\n"
    )
    done = seqrl("sweep", str(file), "--jobs", "2")
    assert done.exit_code == 0 and "4 members: 4 finished" in done.stdout, done.output
    record = read_sweep(sweep_folder(RunStore(runs), "grid"))
    assert set(json.loads((runs / "sweeps/grid/sweep.json").read_text())) == set(type(record).model_fields)
    assert record.axes == {"model.arch": ("gpt", "dt"), "seed": ("1", "2")}
    logs = sorted(path.name for path in (runs / "sweeps/grid/logs").iterdir())
    before = {name: (runs / "sweeps/grid/logs" / name).stat().st_mtime_ns for name in logs}
    again = seqrl("sweep", str(file), "--jobs", "2")
    assert again.exit_code == 0 and "[1/" not in again.stderr
    assert before == {name: (runs / "sweeps/grid/logs" / name).stat().st_mtime_ns for name in logs}
    status = shown(seqrl("sweep", "status", "grid", "--json"))
    assert [(row["status"], row["episodes"], row["model.arch"]) for row in status["members"]] == [
        *[("finished", 1, "gpt")] * 2,
        *[("finished", 1, "dt")] * 2,
    ]
    rows = json.loads(seqrl("table", "grid", "--json").stdout)["rows"]
    assert {row["method"].split()[0] for row in rows if row["episodes"] == 2} == {"gpt", "dt"}
    plotted = json.loads(seqrl("plot", "grid", "-k", "axis", "-o", str(tmp_path / "axis.png"), "--json").stdout)
    (panel,) = plotted["panels"]
    assert panel["x_names"] == ["dt", "gpt"] and len(panel["series"][0]["y"]) == 2
    assert seqrl("sweep", "run", "grid", "--index", "3").exit_code == 0
    assert_refused(seqrl("sweep", "run", "grid", "--index", "4"), 2, "has no member 4", "0 to 3")
    planned = shown(seqrl("plan", "grid", "plan.max_steps=7", "--episodes", "1", "--jobs", "2", "--json"))
    assert len(planned["runs"]) == 4 and all(run["episodes"] == 1 for run in planned["runs"])


@pytest.mark.slow
def test_members_with_a_mistake_are_named_and_not_started_again(seqrl, runs):
    """One of them has the name of a run with other settings, which only its training can see."""
    succeed(runs, "train", DATASET, "--seed", "1", *TINY_TRAIN, "train.weight_decay=0")
    failed = seqrl("sweep", DATASET, "--seeds", "1-2", *TINY_TRAIN, "--jobs", "2")
    assert_refused(failed, 1, "1 member failed: sim/hopper-medium/gpt-s1 (", "logs")
    assert "train.weight_decay" in failed.stderr
    log = runs / "sweeps/hopper-medium-gpt/logs/000-gpt-s1.log"
    assert log.read_text().count("$ seqrl train") == 1
    states = shown(seqrl("sweep", "status", "hopper-medium-gpt", "--json"))["members"]
    assert [(state["status"], state["own"]) for state in states] == [("foreign", False), ("finished", True)]
    assert "2 members: 1 foreign, 1 finished" in seqrl("sweep", "status", "hopper-medium-gpt").stdout


@pytest.mark.slow
def test_a_run_with_the_same_settings_is_taken_over(seqrl, runs):
    """Another command trained it, and the sweep finds nothing to do; a dry run warns of one with other settings."""
    succeed(runs, "train", DATASET, "--seed", "1", "--name", "gpt-s1", *TINY_TRAIN)
    same = seqrl("sweep", DATASET, "--seeds", "1-2", *TINY_TRAIN, "--threads", "1", "--dry-run")
    assert same.exit_code == 0 and "will fail" not in same.stderr, same.output
    for words in (("sweep", DATASET, "--seeds", "1-2"), ("train", DATASET, "--seeds", "1-2")):
        other = seqrl(*words, *TINY_TRAIN, "train.weight_decay=0", "--threads", "1", "--dry-run")
        assert other.exit_code == 0 and other.stderr.count("this member will fail") == 1, other.output
        assert "gpt-s1 has train.weight_decay" in other.stderr
    done = seqrl("sweep", DATASET, "--seeds", "1", *TINY_TRAIN, "--threads", "1")
    assert done.exit_code == 0 and "1 member: 1 finished" in done.stdout, done.output
    assert "to play: seqrl plan hopper-medium-gpt" in done.stdout


@pytest.mark.slow
def test_axes_are_drawn_while_plans_are_few(seqrl, tmp_path):
    words = ("sweep", DATASET, "train.learning_rate=1e-3,3e-4", "--seeds", "1", *TINY_TRAIN, "--name", "rates")
    assert seqrl(*words).exit_code == 0
    drawn = ("plot", "rates", "-k", "axis", "-o", str(tmp_path / "axis.png"), "--json")
    first = shown(seqrl("sweep", "status", "rates", "--json"))["members"][0]["run"]
    for episodes in (0, 1):
        if episodes:
            assert seqrl("plan", first, *TINY_PLAN).exit_code == 0
        (panel,) = shown(seqrl(*drawn))["panels"]
        assert panel["y_label"] == "validation loss" and len(panel["series"][0]["y"]) == 2


@pytest.mark.slow
def test_driver_and_members_are_killed_and_the_same_line_gives_the_same_bits(made_runs, tmp_path):
    runs = Path(shutil.copytree(made_runs, tmp_path / "runs"))
    words = ("sweep", DATASET, "--arch", "gpt", "--seeds", "1-2", *LONG, "--jobs", "2", "--threads", "1")
    names = ["gpt-s1", "gpt-s2"]
    driver = start(runs, *words)
    until(lambda: all(has_checkpoint(runs, name) for name in names), 300)
    trainings(runs)["gpt-s1"].kill()  # a member: it is started again
    log = runs / "sweeps/hopper-medium-gpt/logs/000-gpt-s1.log"
    until(lambda: log.read_text().count("$ seqrl train") == 2, 300)
    until(lambda: "gpt-s1" in trainings(runs), 300)
    driver.kill()  # the driver: its members save, and end
    driver.wait()
    until(lambda: not trainings(runs), 300)
    assert "interrupted at update" in (runs / "sweeps/hopper-medium-gpt/logs/001-gpt-s2.log").read_text()
    second = start(runs, *words)
    out, err = second.communicate(timeout=600)
    assert second.returncode == 0 and "2 members: 2 finished" in out, err
    serial = Path(shutil.copytree(made_runs, tmp_path / "serial"))
    make_serial(serial, range(1, 3), "gpt")
    assert hashes(runs, names) == hashes(serial, names)


@pytest.mark.slow
def test_a_member_whose_process_has_begun_no_run_is_starting_and_never_missing(made_runs, tmp_path):
    runs = Path(shutil.copytree(made_runs, tmp_path / "runs"))
    driver = start(runs, "sweep", DATASET, "--seeds", "1-2", *LONG, "--jobs", "1", "--threads", "1")
    until(lambda: (runs / "sweeps/hopper-medium-gpt/sweep.json").exists(), 300)
    seen = []

    def is_running() -> bool:
        first, second = shown(invoke(runs, "sweep", "status", "hopper-medium-gpt", "--json"))["members"]
        assert second["status"] == "waiting"
        seen.append(first["status"])
        return seen[-1] == "running"

    until(is_running, 300)
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=300)
    assert [word for word, _ in groupby(seen)][-2:] == ["starting", "running"] and "missing" not in seen


def test_a_member_whose_run_is_locked_and_not_written_yet_is_starting(seqrl, runs):
    assert seqrl("sweep", DATASET, *TINY_TRAIN, "--seeds", "1-2", "--on", "slurm").exit_code == 0
    with locked(runs / DATASET / "gpt-s2"):
        said = shown(seqrl("sweep", "status", "hopper-medium-gpt", "--json"))
    assert [state["status"] for state in said["members"]] == ["waiting", "starting"]


@pytest.mark.slow
def test_an_interrupted_sweep_saves_and_says_so(made_runs, tmp_path):
    runs = Path(shutil.copytree(made_runs, tmp_path / "runs"))
    driver = start(runs, "sweep", DATASET, "--seeds", "1-2", *LONG, "--jobs", "1", "--threads", "1")
    until(lambda: has_checkpoint(runs, "gpt-s1"), 300)
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=300)
    assert driver.returncode == 130 and "0 of 2 members were finished" in err
    assert json.loads((runs / DATASET / "gpt-s1/run.json").read_text())["status"] == "interrupted"
    assert not trainings(runs)


@pytest.mark.slow
def test_several_seeds_train_with_one_command(seqrl, runs):
    done = seqrl("train", DATASET, "--seeds", "1..3", *TINY, "train.updates=2", "--jobs", "2", "--name", "mine")
    assert done.exit_code == 0 and "3 members: 3 finished" in done.stdout, done.output
    assert all((runs / DATASET / f"mine-s{seed}/run.json").exists() for seed in (1, 2, 3))
    assert is_group(RunStore(runs), "mine")
    dry = succeed(runs, "plan", "mine", "--episodes", "1", "--dry-run")
    assert dry.stdout.count(f"seqrl plan {DATASET}/mine-s") == 3
    assert_refused(seqrl("plan", "mine", "--on", "ray", "--jobs", "2"), 2, "--jobs is for one run", "--cpus")


@pytest.mark.slow
def test_members_are_pushed_and_followed(seqrl, runs, tmp_path):
    bucket = tmp_path / "bucket"
    plan = ("--plan", "episodes=1 max_steps=3")
    words = ("sweep", DATASET, *TINY_TRAIN, "--seeds", "1", "--name", "kept", *plan)
    done = seqrl(*words, "--push", f"file://{bucket}")
    assert done.exit_code == 0, done.output
    assert "bucket" not in (runs / "sweeps/kept/sweep.json").read_text()  # of a stranger's it would send runs away
    pulled = tmp_path / "elsewhere"
    succeed(pulled, "runs", "pull", f"file://{bucket}")
    assert hashes(pulled, ["kept-s1"]) == hashes(runs, ["kept-s1"]) and len(list(pulled.rglob("episode-000.json"))) == 1
    assert seqrl(*words).exit_code == 0  # followers are no part of what a sweep is


@pytest.mark.slow
def test_a_member_whose_last_push_fails_is_done_and_is_warned_of(seqrl, runs, tmp_path):
    (tmp_path / "file").touch()
    url = (tmp_path / "file" / "below").as_uri()
    words = ("sweep", DATASET, *TINY_TRAIN, "--name", "kept", "--push", url)
    done = seqrl(*words, "--seeds", "1")
    by_hand = f"seqrl runs push {DATASET}/kept-s1 {url} --runs-dir {runs}"
    assert done.exit_code == 0 and "1 finished" in done.stdout, done.output
    assert f"warning: {DATASET}/kept-s1 is done, but `{by_hand}` failed: {url} has no such place" in done.stderr
    seqrl(*words, "--seeds", "1-2", "--on", "slurm")
    done = seqrl("sweep", "run", "kept", "--index", "1", "--push", url)
    assert done.exit_code == 0 and f"warning: {DATASET}/kept-s2 is done, but `seqrl runs push" in done.stderr


def test_wrong_followers_are_refused(seqrl):
    for words in (("sweep", DATASET), ("train", DATASET, "--seeds", "1-2")):
        assert_refused(
            seqrl(*words, *TINY_TRAIN, "--push", "bucket"), 2, "--push is 'bucket', which is not a URL", "s3://"
        )
        assert_refused(seqrl(*words, *TINY_TRAIN, "--track", "excel"), 2, "unknown tracker 'excel'", "tensorboard")


def test_one_seed_or_several(seqrl):
    assert_refused(seqrl("train", DATASET, "--seeds", "1-2", "--seed", "1"), 2, "--seed is for one run", "leave")
    assert_refused(seqrl("train", DATASET, "--seeds", "1-2", "--force"), 2, "--force is for one run", "leave")
    assert_refused(seqrl("train", DATASET, "--seeds", "1-2", "--devices", "2"), 2, "--devices is for one run", "leave")
    assert_refused(seqrl("train", DATASET, "--seeds", "none"), 2, "is not a list of seeds", "1..4")


def test_a_password_in_a_mirror_is_not_recorded(seqrl, runs):
    words = ("--mirrors", "http://me:secret@127.0.0.1:9", "--on", "slurm")
    assert seqrl("sweep", DATASET, *TINY_TRAIN, "--seeds", "1", *words).exit_code == 0
    assert "secret" not in (runs / "sweeps/hopper-medium-gpt/sweep.json").read_text()


def test_a_sweep_of_other_members_needs_another_name(seqrl, runs):
    words = ("sweep", DATASET, *TINY_TRAIN, "--seeds", "1", "--on", "slurm")
    assert seqrl(*words).exit_code == 0
    assert seqrl("sweep", DATASET, *TINY_TRAIN, "--seeds", "1-2", "--on", "slurm").exit_code == 0  # one more
    other = seqrl("sweep", DATASET, *TINY_TRAIN, "train.weight_decay=0", "--seeds", "1", "--on", "slurm")
    assert_refused(other, 1, "there is a sweep hopper-medium-gpt already", "--name")
    assert seqrl(*words, "train.weight_decay=0", "--force").exit_code == 0
    member = shown(seqrl("sweep", "run", "hopper-medium-gpt", "--index", "0", "--dry-run", "--json"))
    assert member["status"] == "waiting" and member["commands"][0].startswith(f"seqrl train {DATASET} --name gpt-s1")
    assert not (runs / DATASET / "gpt-s1").exists()
    status = "seqrl sweep status hopper-medium-gpt"
    assert_refused(seqrl("sweep", "hopper-medium-gpt"), 2, "hopper-medium-gpt is a sweep, not a dataset", status)


def test_exit_codes_that_are_worth_another_try():
    assert [code for code in (0, 1, 2, 130, 137, -9, 143) if died(code)] == [130, 137, -9, 143]


@pytest.mark.slow
def test_deaths_are_tried_again_and_mistakes_are_not(monkeypatch, tmp_path):
    def command(words, root):
        return [sys.executable, "-c", words[0]]

    monkeypatch.setattr("seqrl_cli.launch.task.command", command)
    kill = Task("kill", (("import os; os.kill(os.getpid(), 9)",),), tmp_path, log=tmp_path / "kill.log")
    mistake = Task("no", (("import sys; print('error: so wrong', file=sys.stderr); sys.exit(2)",),), tmp_path,
                   log=tmp_path / "no.log")  # fmt: skip
    ended = run_task(kill, retries=2)
    assert (ended.code, ended.attempts, ended.reason) == (-9, 3, "ended by signal 9")
    ended = run_task(mistake, retries=2)
    assert (ended.code, ended.attempts, ended.reason) == (2, 1, "so wrong")
    once = tmp_path / "once"
    healed = f"import os, pathlib; p = pathlib.Path({str(once)!r}); p.exists() or (p.touch(), os.kill(os.getpid(), 9))"
    assert run_task(Task("heals", ((healed,),), tmp_path, log=tmp_path / "h.log"), retries=1).done
    with LocalLauncher(2, 0) as launcher:
        for task in (kill, mistake):
            launcher.start(task)
        found = [*launcher.wait(), *launcher.wait()]
    assert {each.task.name: each.code for each in found} == {"kill": -9, "no": 2}


def test_a_second_interruption_does_not_wait_for_commands_that_hang(tmp_path, monkeypatch):
    hangs = "import signal, pathlib, time; signal.signal(15, 1); pathlib.Path('up').touch(); time.sleep(99)"
    monkeypatch.setattr("seqrl_cli.launch.task.command", lambda words, *_: [sys.executable, "-c", words[0]])
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), LocalLauncher(1, 3) as launcher:
        launcher.start(Task("hangs", ((hangs,),), tmp_path, log=tmp_path / "log"))
        until((tmp_path / "up").exists)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()  # while the first is being obeyed
    assert time.monotonic() - start < 60


def test_a_sweep_that_another_process_runs_is_refused(seqrl, runs, monkeypatch):
    monkeypatch.setattr("seqrl_cli.workflows.sweep.run.locked", partial(locked, patience=0.0))
    with locked(runs / "sweeps/hopper-medium-gpt"):
        refused = seqrl("sweep", DATASET, *TINY_TRAIN, "--seeds", "1")
        assert_refused(refused, 1, "hopper-medium-gpt is in use by another seqrl", "wait")


def test_a_task_that_cannot_be_run_does_not_hide_another(tmp_path, monkeypatch):
    monkeypatch.setattr("seqrl_cli.launch.task.command", lambda words, *_: [sys.executable, "-c", words[0]])
    (tmp_path / "folder").mkdir()
    with LocalLauncher(1, 0) as launcher:
        launcher.start(Task("lost", (("pass",),), tmp_path, log=tmp_path / "folder"))
        launcher.start(Task("good", (("pass",),), tmp_path, log=tmp_path / "good.log"))
        found = [*launcher.wait(), *launcher.wait()]
    assert {each.task.name: each.done for each in found} == {"lost": False, "good": True}


def test_a_cluster_whose_nodes_are_too_small_is_not_waited_for():
    small = {"Alive": True, "Resources": {"CPU": 2.0}}
    dead = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
    check_resources([small, dead], cpus=2, gpus=0)
    with pytest.raises(SeqrlError, match="no node of the Ray cluster has 2 CPUs and 1 GPUs: they have 2 CPUs, 0 GPUs"):
        check_resources([small, dead], cpus=2, gpus=1)


def test_without_ray_the_error_says_how_to_install_it(seqrl, monkeypatch):
    monkeypatch.setattr("seqrl_cli.config.extras.is_installed", lambda extra: False)
    refused = seqrl("sweep", DATASET, "--seeds", "1-2", *TINY_TRAIN, "--on", "ray")
    assert_refused(refused, 1, "--on ray needs the package ray", "pip install")


def test_a_machine_without_the_run_directory_says_so(tmp_path):
    ended = run_task(Task("far", (("train",),), tmp_path, needs=tmp_path / "sweeps/lr/sweep.json"))
    assert ended.code == 1 and ended.attempts == 0 and "every node must see the same run directory" in ended.reason


@pytest.mark.slow
def test_a_process_ends_when_the_one_that_started_it_does(runs):
    words = ["train", DATASET, "--name", "tied", *LONG, "--threads", "1", "--runs-dir", str(runs)]
    command = [sys.executable, "-m", "seqrl_cli.launch.tied", *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    until(lambda: has_checkpoint(runs, "tied"), 300)
    assert process.stdin is not None and process.stderr is not None
    process.stdin.close()
    assert process.wait(timeout=300) == 130
    assert "a checkpoint was saved" in process.stderr.read()


FOREIGN = [
    ("collect", "evil:Env-v0", "--policy", "random"),
    ("table", "-o", "out.csv"),
    ("runs", "delete", DATASET, "--yes"),
    ("runs", "push", DATASET, "file:///tmp/stolen"),
    ("train", DATASET, "--push", "file:///tmp/stolen"),
    ("train", DATASET, "--runs-dir", "elsewhere"),
    ("train", "--name", "x"),
    ("train", "data.env_id=evil:Env-v0", "--config", "mine.yaml"),
    ("plan", "data.env_id=evil:Env-v0"),
    ("train", DATASET, "--name"),
    ("plan", DATASET, "--force"),
    ("sweep", "run", "sw"),
    ("train",),
    (),
]


@pytest.mark.parametrize("words", FOREIGN, ids=" ".join)
def test_a_third_party_layouts_sweep_runs_nothing_but_trainings_and_plans(seqrl, runs, words):
    write_strange_sweep(runs, words)
    for command in (("run", "sw", "--index", "0"), ("status", "sw")):
        assert_refused(seqrl("sweep", *command), 1, "which no sweep has", "--force")


def test_a_third_party_layouts_sweep_names_no_module(seqrl, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('ran', 'w').close()")
    write_strange_sweep(runs, ("train", DATASET, "--name", "x", "data.env_id='evil:Env-v0'"))
    assert_refused(seqrl("sweep", "run", "sw", "--index", "0"), 1, "would run the code of module 'evil'", "env_id")
    assert not (tmp_path / "ran").exists()


def write_strange_sweep(runs, words) -> None:
    folder = runs / "sweeps/sw"
    folder.mkdir(parents=True)
    member = {"run": f"{DATASET}/x", "values": {}, "steps": [list(words)]}
    record = {"name": "sw", "seqrl": "1", "threads": 1, "axes": {}, "members": [member]}
    (folder / "sweep.json").write_text(json.dumps(record))


def test_a_third_party_layouts_grid_names_no_module_but_the_user_may(seqrl, tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text(f"datasets: {DATASET}\ntrain:\n  data.env_id: evil:Env-v0\n")
    assert_refused(seqrl("sweep", file, "--dry-run"), 1, "would run the code of module 'evil'", "name it yourself")
    assert_refused(seqrl("sweep", file, "data.env_id=evil:Env-v0", "--dry-run"), 2, "not of evil:Env-v0", "leave")


def test_a_name_that_only_a_file_can_have(seqrl, tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text('datasets: ["a\\0b"]\n')
    assert_refused(seqrl("sweep", file, "--dry-run"), 2, "'a\\x00b' cannot be the name of a dataset", "--list")
