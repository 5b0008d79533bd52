"""``finetune-online`` as a user meets it: tiny models, Hopper with episodes of a few steps."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml

from seqrl_cli.config.presets import load_config
from seqrl_cli.config.recipe import recipe_of
from seqrl_cli.envs.vector.in_process import InProcessBackend
from seqrl_cli.online.collector import EpisodeCollector
from seqrl_cli.runs.lock import locked
from seqrl_cli.tracking.metrics import read_online_lines
from seqrl_cli.workflows.finetune_online import players as finetune_players
from tests.cli.conftest import TINY_ODT, TINY_TUNE, invoke, succeed
from tests.cli.weights import same_weights, weights
from tests.processes import start, wait_for

pytestmark = pytest.mark.slow

PLAN = ("--episodes", "2", "plan.max_steps=12")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Made once: a dataset, and on it a pretrained odt, the same fine-tuned, and a gpt."""
    runs = tmp_path_factory.mktemp("odt") / "runs"
    succeed(runs, "train", "sim/hopper-medium", "data.transitions=1500", *TINY_ODT)
    succeed(runs, "finetune-online", *TINY_TUNE)
    return runs


@pytest.fixture
def runs(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs"))


def tuned(runs: Path, name: str = "odt-s42-online") -> Path:
    return runs / "sim/hopper-medium" / name


def test_a_fine_tuned_run_stands_beside_its_parent(made):
    run = tuned(made)
    record = json.loads((run / "run.json").read_text())
    assert (record["parent"], record["arch"], record["status"]) == ("odt-s42", "odt", "finished")
    lines = read_online_lines(run / "metrics.jsonl")
    assert [line.iteration for line in lines] == list(range(7))
    assert [line.iteration for line in lines if line.get("evaluation_score") is not None] == [0, 3, 6]
    assert lines[-1].step == 4 + 6 * 3 and lines[-1].number("episodes") == 12
    assert not same_weights(run, made / "sim/hopper-medium/odt-s42")


def test_again_it_is_done_and_more_iterations_go_on(runs):
    result = succeed(runs, "finetune-online")  # the latest run is the fine-tuned one by now
    assert "already has 6 iterations" in result.stderr
    succeed(runs, "finetune-online", "odt-s42", "--iterations", 8, "--threads", 1)
    assert [line.iteration for line in read_online_lines(tuned(runs) / "metrics.jsonl")] == list(range(9))
    succeed(runs, "finetune-online", "odt-s42", *TINY_TUNE[2:], "--iterations", 8, "--name", "at-once")
    assert same_weights(tuned(runs), tuned(runs, "at-once"))


def test_a_damaged_newest_checkpoint_is_named_once_whether_it_is_the_parents_or_its_own(runs):
    words = ("finetune-online", "odt-s42", "--threads", 1)
    damage(runs / "sim/hopper-medium/odt-s42/checkpoints/00000004/optimizer.safetensors")
    told = succeed(runs, "finetune-online", "odt-s42", *TINY_TUNE, "--iterations", 1, "--name", "from-update-2")
    assert told.stderr.count("is damaged") == 1 and "using the newest whole checkpoint, of update 2" in told.stderr
    damage(tuned(runs) / "checkpoints/00000022/model.safetensors")
    told = succeed(runs, *words, "--iterations", 7)
    assert told.stderr.count("is damaged") == 1 and "using the newest whole checkpoint, of update 16" in told.stderr
    assert [line.iteration for line in read_online_lines(tuned(runs) / "metrics.jsonl")] == list(range(8))


def damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def test_a_resumed_run_keeps_lines_with_keys_of_another_version(runs):
    log = tuned(runs) / "metrics.jsonl"
    lines = [json.dumps({**json.loads(line), "task": 1}) + "\n" for line in log.read_text().splitlines()]
    log.write_text("".join(lines))
    succeed(runs, "finetune-online", "odt-s42", "--iterations", 7, "--threads", 1)
    assert log.read_text().splitlines(keepends=True)[:-1] == lines


def test_fewer_iterations_leave_an_interrupted_runs_target(runs):
    """As Ctrl-C leaves it in the fifth iteration of six."""
    record, config, metrics = (tuned(runs) / name for name in ("run.json", "config.yaml", "metrics.jsonl"))
    record.write_text(record.read_text().replace('"finished"', '"interrupted"'))
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:5]))
    shutil.rmtree(tuned(runs) / "checkpoints/00000022")
    before = {path: path.read_bytes() for path in (record, config, metrics)}
    result = succeed(runs, "finetune-online", "odt-s42", "--iterations", 1)
    assert "already has 4 of its 6 iterations; without --iterations it resumes" in result.stderr
    assert {path: path.read_bytes() for path in before} == before
    succeed(runs, "finetune-online", "odt-s42", "--threads", 1)
    assert len(read_online_lines(metrics)) == 7 and '"finished"' in record.read_text()


def test_another_name_is_another_child_of_the_same_parent(runs):
    succeed(runs, "finetune-online", "odt-s42-online", *TINY_TUNE, "--iterations", 1, "--name", "again")
    assert json.loads((tuned(runs, "again") / "run.json").read_text())["parent"] == "odt-s42"
    assert len(read_online_lines(tuned(runs, "again") / "metrics.jsonl")) == 2
    assert len(read_online_lines(tuned(runs) / "metrics.jsonl")) == 7


def test_another_seed_is_another_child_of_the_same_parent(runs):
    one, other = tuned(runs), tuned(runs, "odt-s42-online-s7")
    succeed(runs, "finetune-online", "odt-s42", *TINY_TUNE, "--seed", 7)
    record, config = json.loads((other / "run.json").read_text()), load_config(other / "config.yaml")
    assert (record["seed"], record["online_seed"], config.online.seed) == (42, 7, 7)
    assert not same_weights(one, other)
    configs = config, load_config(one / "config.yaml")
    assert len({recipe_of(each, fine_tuned=True) for each in configs}) == 1  # both are odt online, of one pretraining
    before = weights(other)
    succeed(runs, "finetune-online", "odt-s42-online-s7", *TINY_TUNE, "--force")
    assert all(np.array_equal(array, weights(other)[name]) for name, array in before.items())
    for words in (("odt-s42", "--seed", 7), ("odt-s42-online-s7",)):
        assert "odt-s42-online-s7 already has 6" in succeed(runs, "finetune-online", *words).stderr


def test_a_run_goes_on_with_its_seed_only(runs):
    assert "odt-s42-online already has 6" in succeed(runs, "finetune-online", "odt-s42", "--seed", 42).stderr
    config, record = tuned(runs) / "config.yaml", tuned(runs) / "run.json"
    assert "  seed: 42\n" in config.read_text()  # of before fine-tuning had a seed of its own
    config.write_text(config.read_text().replace("online:\n  seed: 42\n", "online:\n"))
    values = json.loads(record.read_text())
    record.write_text(json.dumps({key: value for key, value in values.items() if key != "online_seed"}))
    result = invoke(runs, "finetune-online", "odt-s42-online", "--seed", 7)
    assert result.exit_code == 1 and "has online.seed 42 (asked: 7)" in result.stderr and "--name" in result.stderr
    succeed(runs, "finetune-online", "odt-s42", "--seed", 42, "--iterations", 7, "--threads", 1)
    assert json.loads(record.read_text())["online_seed"] == 42


def test_the_name_of_a_foreign_run_is_refused_even_with_force(runs):
    other = shutil.copytree(tuned(runs, "odt-s42"), tuned(runs, "odt-s43"))
    result = invoke(runs, "finetune-online", "odt-s42", "--name", "odt-s43", "--force")
    assert (
        result.exit_code == 1
        and "was not fine-tuned from" in result.stderr
        and same_weights(other, tuned(runs, "odt-s42"))
    )


def test_interrupted_before_anything_is_saved_it_says_so(runs, monkeypatch):
    def interrupted(self, *arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return play(self, *arguments)

    play = EpisodeCollector.__call__
    monkeypatch.setattr(EpisodeCollector, "__call__", interrupted)
    result = invoke(runs, "finetune-online", "odt-s42", *TINY_TUNE, "--name", "n")
    assert result.exit_code == 130 and "there was nothing to save yet" in result.stderr
    assert "everything was saved" not in result.stderr and "starts over" in result.stderr


def test_a_record_alone_is_a_run_that_has_not_begun(runs):
    """A full disk or a kill can leave it."""
    run = tuned(runs)
    expected = shutil.copytree(run, runs.with_name("expected"))
    for path in run.iterdir():
        if path.name != "run.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    succeed(runs, "finetune-online", "sim/hopper-medium/odt-s42", *TINY_TUNE)
    assert same_weights(run, expected)


def test_force_begins_anew(runs):
    before = weights(tuned(runs))
    result = succeed(runs, "finetune-online", "odt-s42", *TINY_TUNE, "--force", "--json")
    report = json.loads(result.stdout)
    assert report["fresh"] and report["iterations"] == 6 and report["env_steps"] > 0
    assert all(np.array_equal(array, weights(tuned(runs))[name]) for name, array in before.items())


def test_rate_and_noise_are_its_own(runs):
    words = ("online.learning_rate=5e-4", "online.noise=0.0", "--exploration-return", "900", "--target-return", "900")
    succeed(runs, "finetune-online", "odt-s42", *TINY_TUNE, *words, "--name", "n")
    lines = read_online_lines(tuned(runs, "n") / "metrics.jsonl")
    assert lines[1].number("learning_rate") == pytest.approx(5e-4 * 6 / 300)  # updates 5 to 7 of a warm-up of 300
    config = (tuned(runs, "n") / "config.yaml").read_text()
    assert "target_return: 900.0" in config and "exploration_return: 900.0" in config and "noise: 0.0" in config


def test_other_settings_are_another_run(runs):
    result = invoke(runs, "finetune-online", "odt-s42", "--updates", 9)
    assert result.exit_code == 1 and "online.updates 3 (asked: 9)" in result.stderr and "--name" in result.stderr


def test_plan_table_and_runs_know_it(runs):
    succeed(runs, "plan", "odt-s42", *PLAN)
    succeed(runs, "plan", "odt-s42-online", *PLAN)
    rows = json.loads(succeed(runs, "table", "--json").stdout)["rows"]
    kinds = {row["method"].split(" ")[0:2][-1]: row["kind"] for row in rows}
    (delta,) = [row for row in rows if row["kind"] == "delta"]
    assert delta["runs"] == 1 and delta["method"].startswith("odt online") and kinds
    assert "odt-s42-online" in succeed(runs, "runs", "--json").stdout


def test_dry_run_writes_nothing(runs):
    before = sorted(runs.rglob("*"))
    result = succeed(runs, "finetune-online", "odt-s42", "--name", "other", "--dry-run", "--json")
    facts = json.loads(result.stdout)
    assert facts["already_exists"] is False and facts["online.updates"] > 0
    assert facts["exploration_aims_at"] == pytest.approx(1.1 * facts["evaluations_aim_at"])
    kept = yaml.safe_load((tuned(runs, "odt-s42") / "config.yaml").read_text())["train"]["keep_checkpoints"]
    since = kept * facts["online.checkpoint_every"] * facts["online.envs"]
    trajectories = 2 * facts["online.capacity"] + since  # the offline ones lie in one file, which goes with the last
    assert facts["disk_of_the_buffer"] == f"at most {trajectories * 1000 * (4 * (11 + 3 + 1) + 2) / 1e6:.1f} MB"
    assert sorted(runs.rglob("*")) == before


def test_returns_far_from_the_datas_are_told(runs):
    for words in ((), ("--dry-run",)):
        aims = ("--exploration-return", 1e8, "--target-return", 1e7, "--iterations", 1, "--name", "n")
        said = succeed(runs, "finetune-online", "odt-s42", *TINY_TUNE, *aims, *words).stderr
        assert "the exploration return 100,000,000 is far" in said and "the target return 10,000,000 is far" in said
    assert "is far from" not in succeed(runs, "finetune-online", "odt-s42", *TINY_TUNE, "--name", "m").stderr


def test_a_buffer_smaller_than_a_batch_is_told(runs):
    words = ("finetune-online", "odt-s42", *TINY_TUNE, "--iterations", 1, "--name", "n", "online.capacity=2")
    said = succeed(runs, *words).stderr
    assert "the buffer holds 2 episodes, fewer than train.batch_size = 8" in said
    assert "1 iteration of 2 episodes in Hopper-v4, aiming at" in said


def test_an_unfinished_parent_is_told(runs):
    record = tuned(runs, "odt-s42") / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"interrupted"'))
    shutil.rmtree(tuned(runs, "odt-s42") / "checkpoints/00000004")
    said = succeed(runs, "finetune-online", "odt-s42", "--name", "n", "--dry-run").stderr
    assert "odt-s42 is unfinished: fine-tuning starts from 2 of its 4 updates" in said


def test_a_dry_run_makes_one_environment(runs, monkeypatch):
    made = []
    monkeypatch.setattr(
        finetune_players, "SubprocessBackend", lambda spec, **_: made.append(spec) or InProcessBackend(spec)
    )
    succeed(runs, "finetune-online", "odt-s42", "--name", "n", "--envs", 100_000, "--dry-run", "online.capacity=200000")
    assert [spec.num_envs for spec in made] == [1]


def test_a_dry_run_knows_force_and_the_lock(runs):
    words = ("finetune-online", "odt-s42", "--updates", 9, "--dry-run", "--json")
    assert invoke(runs, *words).exit_code == 1
    facts = json.loads(succeed(runs, *words, "--force").stdout)
    assert facts["already_exists"] is True and facts["iterations"].startswith("0 of ")
    with locked(tuned(runs)):
        result = invoke(runs, *words, "--force")
    assert result.exit_code == 1 and "in use" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("odt-s42", "train.learning_rate=1"), "'train.learning_rate' cannot be changed when fine-tuning"),
        (("odt-s42", "online.update=1"), "unknown key 'online.update'"),
        (("odt-s42", "--exploration-return", "nan", "--name", "n"), "online.exploration_return"),
        (("odt-s42", "--target-return", "1e300", "--name", "n"), "plan.target_return = 1e+300, but beyond ±1e+09"),
        (("odt-s42", "--exploration-return", "1e10", "--name", "n"), "online.exploration_return = 1e+10, but beyond"),
        (
            ("odt-s42", "--envs", 9, "online.capacity=8", "--name", "n"),
            "so some would be dropped before",
        ),
        (("odt-s42", "--name", "odt-s42"), "is the name of the pretrained run itself"),
        (("odt-s42", "--name", "n", "plan.max_context_transitions=9"), "a context of 9 steps was requested"),
        (("absent",), "no run 'absent'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(runs, words, message):
    result = invoke(runs, "finetune-online", *words)
    assert result.exit_code in (1, 2) and message in result.stderr and "hint:" in result.stderr
    assert not tuned(runs, "n").exists()


@pytest.mark.parametrize("arch", ["dt", "bc"])
def test_only_an_odt_explores(runs, arch):
    small = [word for word in TINY_ODT[2:] if "tanh" not in word and (arch == "dt" or "n_head" not in word)]
    if arch == "bc":
        small = [word for word in small if "sequence_length" not in word and "context" not in word]
    succeed(runs, "train", "sim/hopper-medium", "--arch", arch, *small)
    result = invoke(runs, "finetune-online")
    assert result.exit_code == 1 and f"is a {arch}, and only an odt can be fine-tuned" in result.stderr
    assert "finetune-online sim/hopper-medium/odt-s42" in result.stderr


def test_an_environment_of_other_sizes_is_refused(runs):
    record = runs / "sim/hopper-medium/odt-s42/run.json"
    (runs / "sim/hopper-medium/dataset.h5").unlink()
    record.write_text(record.read_text().replace("Hopper-v4", "Walker2d-v4").replace("sim/hopper-medium", "local/gone"))
    result = invoke(runs, "finetune-online", "odt-s42", "--name", "n")
    assert result.exit_code == 1 and "Walker2d-v4 has observations and actions of sizes (17, 6)" in result.stderr
    assert not tuned(runs, "n").exists()


def test_killed_and_interrupted_it_goes_on_to_the_same_end(runs):
    words = ("finetune-online", "odt-s42", *TINY_TUNE, "--name", "cut")
    for signum in (signal.SIGKILL, signal.SIGINT):
        process = start(runs, *words, "online.checkpoint_every=2")
        wait_for(process, tuned(runs, "cut") / ("checkpoints/00000010" if signum == signal.SIGKILL else "run.json"))
        process.send_signal(signum)
        errors = process.communicate()[1]
        if process.returncode == 130:
            assert "everything was saved" in errors and "the same command resumes" in errors
    assert start(runs, *words).wait() == 0
    assert same_weights(tuned(runs), tuned(runs, "cut"))
