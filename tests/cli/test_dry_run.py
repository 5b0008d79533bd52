"""What --dry-run says before there is anything, held against what the real command then makes."""

import json
import re

import h5py
import pytest

from tests.cli.conftest import TINY_TRAIN, assert_refused, invoke
from tests.data.files import write_file

pytestmark = pytest.mark.slow

SMALL = ("sim/hopper-random", "data.transitions=400")


def told(runs, *words):
    result = invoke(runs, *words, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.slow
def test_download_and_discretize_foresee_their_files(tmp_path):
    before = told(tmp_path / "runs", "download", *SMALL)
    both = told(tmp_path / "runs", "discretize", *SMALL)
    assert before["transitions"] == "400 (expected)" and not list(tmp_path.rglob("*"))
    assert invoke(tmp_path / "runs", "discretize", *SMALL).exit_code == 0
    dataset, tokens = (tmp_path / "runs/sim/hopper-random" / name for name in ("dataset.h5", "tokens.h5"))
    assert before["disk_bytes"] == pytest.approx(dataset.stat().st_size, abs=20_000)  # HDF5's own book-keeping
    assert both["disk_bytes"] == pytest.approx(dataset.stat().st_size + tokens.stat().st_size, abs=40_000)
    after = told(tmp_path / "runs", "discretize", *SMALL)
    assert after["tokens_are_there"] and after["disk_bytes"] == 0 and after["transitions"] == "400"


@pytest.mark.slow
def test_training_is_foreseen_without_data(tmp_path):
    before = told(tmp_path, "train", *SMALL, *TINY_TRAIN)
    report = json.loads(invoke(tmp_path, "train", *SMALL, *TINY_TRAIN, "--json").stdout)
    assert before["parameters"] == report["parameters"] and before["updates"] == report["updates"] == 4
    assert before["estimated_time"].endswith(" s") and not before["tokens_are_there"]


@pytest.mark.slow
def test_the_demo_is_foreseen(tmp_path):
    facts = told(tmp_path, "demo", "sim/hopper-medium")
    assert facts["training_seconds"] > 10 and facts["planning_seconds"] > 10 and not list(tmp_path.iterdir())
    assert " to train and at most " in facts["estimated_time"]


def test_paper_size_is_foreseen_for_data_that_would_be_fetched(tmp_path):
    small = ("model.n_layer=1", "model.width=16", "model.sequence_length=2", "train.batch_size=4")
    facts = told(tmp_path, "train", "hopper-medium-v2", *small)
    assert facts["transitions"] == "1,000,000 (expected)"
    assert facts["updates"] == pytest.approx(50 * 1e6 / 4, rel=0.1)  # n_epochs_ref epochs of a million windows
    assert not list(tmp_path.iterdir())


def test_what_nobody_knows_is_called_unknown(tmp_path):
    path = write_file(tmp_path / "mine.hdf5")
    assert told(tmp_path / "runs", "train", path, *TINY_TRAIN)["transitions"] == "40"
    several = told(
        tmp_path / "runs", "train", "sim/metaworld/reach+sim/metaworld/push", "--arch", "mddt", "--updates", "3"
    )
    assert several["parameters"].startswith("unknown") and several["updates"] == 3
    result = invoke(tmp_path / "runs", "download", path, "--dry-run")
    assert result.exit_code == 0 and re.search(r"environment +unknown", result.stdout)
    assert not (tmp_path / "runs").exists()


def test_the_environment_that_will_be_used_is_shown(tmp_path):
    shown = told(tmp_path, "train", *SMALL, *TINY_TRAIN)
    assert shown["config"]["data"]["env_id"] == "Hopper-v4"
    path = write_file(tmp_path / "mine.hdf5")
    with h5py.File(path, "a") as file:
        file.attrs["env_id"] = "Hopper-v5"
    assert told(tmp_path, "train", path, *TINY_TRAIN)["config"]["data"]["env_id"] == "Hopper-v5"
    assert told(tmp_path, "download", path)["environment"] == "Hopper-v5"


def test_a_run_of_data_without_an_environment_says_so(tmp_path):
    runs, path = tmp_path / "runs", write_file(tmp_path / "mine.hdf5")
    assert invoke(runs, "train", path, "--arch", "bc", "model.width=8", "--updates", "2").exit_code == 0
    assert "none: its dataset names none" in invoke(runs, "runs", "show", "bc-s42").stdout
    hint = "only download adds it to the dataset: seqrl download local/mine data.env_id=Foo-v4"
    assert_refused(invoke(runs, "plan", "bc-s42", "data.env_id=Foo-v4"), 1, "does not state which environment", hint)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("model.n_head=3",), 2, "model.width = 16 is not divisible by model.n_head = 3"),
        (("--arch", "retnet", "model.n_head=16"), 2, "16 heads 1 dimensions"),
        (("data.env_id=Walker2d-v4",), 2, "is data of Hopper-v4, not of Walker2d-v4"),
        (("data.bins=50",), 1, "made with bins 100, not 50"),
        (("data.transitions=7",), 1, "exists with transitions 1500, not 7"),
        (("train.batch_size=9",), 1, "train.batch_size 8 (asked: 9)"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else None,
)
def test_what_the_run_refuses_the_dry_run_refuses(seqrl, words, code, message):
    command = ("train", "sim/hopper-medium", *TINY_TRAIN, *words)
    for refused in (seqrl(*command), seqrl(*command, "--dry-run")):
        assert_refused(refused, code, message, "")


def test_a_bad_file_is_refused_without_a_trace(tmp_path):
    path = write_file(tmp_path / "mine.hdf5", actions=None)
    for command in ("download", "discretize", "train"):
        assert_refused(invoke(tmp_path / "runs", command, path, "--dry-run"), 1, "actions", "float arrays")
    assert not (tmp_path / "runs").exists()


def test_a_plan_that_the_model_cannot_hold_is_told_before_training(seqrl):
    words = ("train", "sim/hopper-medium", *TINY_TRAIN, "plan.max_context_transitions=9", "--name", "x")
    for result in (seqrl(*words, "--dry-run"), seqrl(*words)):
        assert result.exit_code == 0 and "needs 9 transitions, but the model's context holds 4" in result.stderr


@pytest.mark.slow
def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "runs").write_text("in the way")
    for words in (("download", *SMALL), ("discretize", *SMALL), ("train", *SMALL, *TINY_TRAIN), ("collect", "hopper")):
        result = invoke(tmp_path / "runs", *words, "--dry-run")
        assert_refused(result, 1, "a file is where a folder should be", "--runs-dir")
