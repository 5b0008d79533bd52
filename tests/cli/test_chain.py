"""The chain from data to table: what it writes, what it says, and what doing it again means."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning import episode_files
from seqrl_cli.planning.episode_files import PlanFacts
from seqrl_cli.planning.episode_record import EpisodeRecord
from tests.cli.conftest import TINY_PLAN, TINY_TRAIN, succeed

pytestmark = pytest.mark.slow

RUN = "sim/hopper-medium/gpt-s42"


def snapshot(folder):
    """Path → content of every file but locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".lock"))
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_the_run_directory_is_as_designed(made_runs):
    dataset, run = made_runs / "sim/hopper-medium", made_runs / RUN
    plan = run / "plans" / "H2-B4-ctx3-steps6-s0"
    names = ["run.json", "config.yaml", "metrics.jsonl", "checkpoints/last", "checkpoints/00000004/state.json"]
    names += [f"checkpoints/00000004/{part}.safetensors" for part in ("model", "optimizer")]
    assert all((run / name).is_file() for name in names)
    assert (dataset / "dataset.h5").is_file() and (dataset / "tokens.h5").is_file()
    assert sorted(path.name for path in plan.glob("episode-*")) == [
        *("episode-000.h5", "episode-000.json"),
        *("episode-001.h5", "episode-001.json"),
    ]
    assert not list(made_runs.rglob("*.tmp*"))


def test_records_say_what_made_them(made_runs):
    run = made_runs / RUN
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished" and record["datasets"] == ["sim/hopper-medium"]
    assert record["seed"] == 42 and record["parameters"] > 0 and record["argv"]
    assert {"python", "torch", "mujoco", "seqrl"} <= record["versions"].keys()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["width"] == 16 and config["train"]["learning_rate"] == 8e-3
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert lines[-1]["validation_loss"] > 0
    with h5py.File(made_runs / "sim/hopper-medium/dataset.h5") as file:
        assert file.attrs["env_id"] == "Hopper-v4" and file["observations"].shape == (1500, 11)
        assert file.attrs["reference_max"] == 3234.3


def test_plan_json_and_states_agree(made_runs):
    plan = made_runs / RUN / "plans" / "H2-B4-ctx3-steps6-s0"
    record = json.loads((plan / "episode-001.json").read_text())
    expected = {"schema_version": 2, "step": 5, "term": False, "episode": 1, "seed": 0, "checkpoint_step": 4}
    assert {key: record[key] for key in expected} == expected
    assert record["env_id"] == "Hopper-v4" and record["settings"]["beam_width"] == 4
    assert record["score"] == pytest.approx((record["return"] + 20.272305) / (3234.3 + 20.272305))
    with h5py.File(plan / "episode-001.h5") as file:
        assert file["observations"].shape == (7, 11) and file["plan_observations"].shape == (6, 2, 11)
        assert np.allclose(file["rewards"][:].sum(), record["return"], atol=1e-4)
        assert np.allclose(file["qpos"][:-1, 1:], file["observations"][:-1, :5], atol=1e-5)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("download", "sim/hopper-medium"), "already exists"),
        (("discretize", "sim/hopper-medium"), "already discretized"),
        (("train", "sim/hopper-medium", *TINY_TRAIN), "already trained"),
        (("plan", *TINY_PLAN), "already has 2 episodes"),
    ],
)
def test_the_same_command_again_changes_nothing_and_says_so(runs, seqrl, words, line):
    before = snapshot(runs)
    result = seqrl(*words)
    assert result.exit_code == 0
    assert line in result.stderr and "--force" in result.stderr
    assert snapshot(runs) == before


def test_force_redoes_with_the_same_numbers(runs, seqrl):
    before = snapshot(runs)
    record = runs / RUN / "run.json"
    times = record.stat().st_mtime_ns
    assert seqrl("train", "sim/hopper-medium", *TINY_TRAIN, "--force").exit_code == 0
    assert record.stat().st_mtime_ns > times
    assert not (runs / RUN / "plans").exists(), "plans of the old weights must go"
    model = "checkpoints/00000004/model.safetensors"
    assert (runs / RUN / model).read_bytes() == before[(runs / RUN / model).relative_to(runs)]
    assert seqrl("plan", *TINY_PLAN).exit_code == 0
    states = runs / RUN / "plans" / "H2-B4-ctx3-steps6-s0" / "episode-000.h5"
    with h5py.File(states) as file:
        again = file["actions"][:]
    states.write_bytes(before[states.relative_to(runs)])
    with h5py.File(states) as file:
        assert np.array_equal(file["actions"][:], again)


def test_simulated_data_is_the_same_twice(runs, seqrl):
    path = runs / "sim/hopper-medium/dataset.h5"
    before = path.read_bytes()
    assert seqrl("download", "sim/hopper-medium", "data.transitions=1500", "--force").exit_code == 0
    assert path.read_bytes() == before


def test_missing_episodes_are_played_and_the_others_kept(runs, seqrl):
    plan = runs / RUN / "plans" / "H2-B4-ctx3-steps6-s0"
    with h5py.File(plan / "episode-001.h5") as file:
        before = file["actions"][:]
    kept = (plan / "episode-000.json").read_bytes()
    (plan / "episode-001.json").unlink()
    result = seqrl("plan", *TINY_PLAN)
    assert result.exit_code == 0 and "1 of 2 episodes exist already" in result.stderr
    assert (plan / "episode-000.json").read_bytes() == kept
    with h5py.File(plan / "episode-001.h5") as file:
        assert np.array_equal(file["actions"][:], before)


def test_config_yaml_repeats_the_run(runs, seqrl):
    result = seqrl("train", "--config", runs / RUN / "config.yaml", "--name", "again")
    assert result.exit_code == 0, result.output
    assert yaml.safe_load((runs / RUN / "config.yaml").read_text())["data"]["transitions"] == 1500
    one, two = (
        load_file(runs / "sim/hopper-medium" / name / "checkpoints/00000004/model.safetensors")
        for name in ("gpt-s42", "again")
    )
    assert all(np.array_equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(
    "words",
    [
        ("download", "sim/hopper-medium"),
        ("download", "--list"),
        ("discretize", "sim/hopper-medium"),
        ("train", "sim/hopper-medium", *TINY_TRAIN),
        ("plan", *TINY_PLAN),
        ("render", "--every", 2),
        ("table",),
        ("collect", "hopper", "-n", 200),
        ("runs",),
        ("runs", "show"),
        ("presets",),
        ("presets", "show", "hopper-medium-v2"),
        ("info",),
        ("info", "sim/hopper-medium"),
    ],
    ids=lambda words: "-".join(str(word) for word in words[:2]),
)
def test_json_is_exactly_one_object_and_quiet_is_quiet(seqrl, words):
    result = seqrl(*words, "--json", "--quiet")
    assert result.exit_code == 0, result.output
    assert isinstance(json.loads(result.stdout), dict)
    assert result.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ("download", "sim/ant-medium"),
        ("download", "hopper-medium-v2"),
        ("discretize", "sim/walker2d-medium"),
        ("train", "sim/hopper-medium", *TINY_TRAIN, "--name", "other"),
        ("plan", "--horizon", 1, "plan.max_context_transitions=2"),
        ("render",),
        ("table", "-o", "table.md", "-f", "markdown"),
        ("collect", "hopper", "--policy", "expert"),
        ("demo", "sim/walker2d-medium"),
    ],
    ids=lambda words: f"{words[0]}-{words[1] if len(words) > 1 else ''}".replace("/", "-"),
)
def test_dry_run_writes_nothing(runs, seqrl, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = snapshot(tmp_path)
    result = seqrl(*words, "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.stdout
    assert snapshot(tmp_path) == before


def test_dry_run_of_training_states_parameters_time_and_disk(seqrl):
    told = json.loads(seqrl("train", "sim/hopper-medium", *TINY_TRAIN, "--name", "new", "--dry-run", "--json").stdout)
    assert told["parameters"] > 10_000 and told["updates"] == 4
    assert told["estimated_time"].endswith("s") and told["disk_bytes"] > 100_000
    assert told["config"]["model"]["width"] == 16


def test_commands_find_the_latest_run_by_themselves(runs, seqrl):
    succeed(runs, "train", "sim/hopper-medium", *TINY_TRAIN, "--seed", 7)
    planned = json.loads(seqrl("plan", *TINY_PLAN, "--json").stdout)
    assert "gpt-s7" in planned["folder"]
    drawn = json.loads(seqrl("render", "--every", 2, "--json").stdout)
    assert "gpt-s7/videos" in drawn["path"] and drawn["frames"] >= 3
    assert json.loads(seqrl("render", "--json").stdout)["fresh"] is False
    rows = json.loads(seqrl("table", "--json", "--by", "run").stdout)["rows"]
    methods = [row["method"] for row in rows]
    assert any("gpt-s7" in method for method in methods) and any("gpt-s42" in method for method in methods)
    assert "behaviour (dataset)" in methods and "random policy" in methods


def test_force_takes_nothing_away_before_new_episodes_can_be_played(runs, seqrl):
    words = ("plan", *TINY_PLAN, "--beam-width", "256")
    assert seqrl(*words).exit_code == 0
    there = sorted(path.name for path in (runs / RUN).glob("plans/*/episode-*"))
    refused = seqrl(*words, "--max-memory", "0.001", "--force")
    assert refused.exit_code == 1 and "one plan needs" in refused.stderr
    assert there and sorted(path.name for path in (runs / RUN).glob("plans/*/episode-*")) == there


@pytest.mark.parametrize(("stop", "code"), [(SeqrlError("the disk is full"), 1), (KeyboardInterrupt(), 130)])
def test_force_takes_nothing_away_when_the_new_episodes_cannot_all_be_written(runs, seqrl, monkeypatch, stop, code):
    folder = runs / RUN / "plans" / "H2-B4-ctx3-steps6-s0"
    before = {path.name: path.read_bytes() for path in folder.glob("*episode-*")}
    write_episode = episode_files.write_episode

    def fails(folder: Path, facts: PlanFacts, record: EpisodeRecord, score: float | None, **how: bool) -> Path:
        if record.episode == 1:
            raise stop
        return write_episode(folder, facts, record, score, **how)

    monkeypatch.setattr("seqrl_cli.workflows.plan.run.write_episode", fails)
    stopped = seqrl("plan", *TINY_PLAN, "--force")
    assert stopped.exit_code == code
    if code == 130:
        assert "the earlier episodes were kept unchanged" in stopped.stderr
    assert {path.name: path.read_bytes() for path in folder.glob("*episode-*")} == before


def test_force_leaves_new_episodes_and_none_of_before(runs, seqrl):
    folder = runs / RUN / "plans" / "H2-B4-ctx3-steps6-s0"
    assert seqrl("plan", *TINY_PLAN, "--episodes", 3).exit_code == 0
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob("episode-*")}
    assert seqrl("plan", *TINY_PLAN, "--force").exit_code == 0
    new = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name in times}
    assert len(times) == 6 and len(new) == 4 and all(times[name] < new[name] for name in new)


def test_a_trained_run_collects_a_dataset(runs, seqrl):
    words = ("collect", "hopper", "--policy", RUN, "-n", 25, "--name", "collected/own")
    told = json.loads(seqrl(*words, "--json").stdout)
    assert told["dataset"] == "collected/own" and told["transitions"] == 25
    first = (runs / "collected/own/dataset.h5").read_bytes()
    assert seqrl(*words, "--force").exit_code == 0
    assert (runs / "collected/own/dataset.h5").read_bytes() == first
    assert seqrl("train", "collected/own", *TINY_TRAIN).exit_code == 0
    refused = seqrl("collect", "walker2d", "--policy", RUN, "-n", 25)
    assert refused.exit_code == 1 and "plans in Hopper-v4, not in Walker2d-v4" in refused.stderr


def test_seeds_are_one_method_and_other_models_are_not(runs, seqrl):
    for words in (("--seed", 7), ("--name", "wide", "model.width=32")):
        succeed(runs, "train", "sim/hopper-medium", *TINY_TRAIN, *words)
        succeed(runs, "plan", *TINY_PLAN)
        rows = json.loads(seqrl("table", "--json").stdout)["rows"]
        own = {row["method"]: row["episodes"] for row in rows if row["kind"] == "result"}
        if "--seed" in words:
            assert list(own.values()) == [4]
    assert sorted(own.values()) == [2, 4]
    assert any(method.startswith("wide") for method in own)


def test_train_gets_and_discretizes_what_is_missing(fresh, tmp_path):
    result = fresh("train", "sim/hopper-random", "data.transitions=300", *TINY_TRAIN)
    assert result.exit_code == 0, result.output
    assert "simulating sim/hopper-random" in result.stderr and "discretizing sim/hopper-random" in result.stderr
    assert (tmp_path / "empty/sim/hopper-random/gpt-s42/checkpoints/last").read_text().strip() == "00000004"


def test_a_dataset_s_table_has_all_its_runs(runs, seqrl):
    words = ("train", "sim/hopper-medium", *TINY_TRAIN, "--name", "other")
    assert seqrl(*words).exit_code == 0 and seqrl("plan", *TINY_PLAN).exit_code == 0
    rows = json.loads(seqrl("table", "sim/hopper-medium", "--by", "run", "--json").stdout)["rows"]
    assert {row["method"].split()[0] for row in rows if row["kind"] == "result"} == {"gpt-s42", "other"}
    rows = json.loads(seqrl("table", "other", "--by", "run", "--json").stdout)["rows"]
    assert {row["method"].split()[0] for row in rows if row["kind"] == "result"} == {"other"}
