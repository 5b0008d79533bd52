"""A run directory from a stranger: pipes, devices, nested texts and huge shapes in the place of its files."""

import json
import os
import shutil
import signal
from pathlib import Path

import h5py
import pytest

from tests.cli.conftest import assert_refused

pytestmark = pytest.mark.slow

DATASET = "sim/hopper-medium"
RUN = f"{DATASET}/gpt-s42"
NESTED = "[" * 3000 + "]" * 3000
LEVELS = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))
BOMB = "\n".join(["a0: &a0 x", *LEVELS, "env_id: *a9"])
ASKING = (("runs",), ("runs", "show", "gpt-s42"), ("table",), ("plot",), ("info", DATASET), ("plan", "--dry-run"))


@pytest.fixture(autouse=True)
def limited():
    """A command that waits for a pipe fails the test, in place of waiting for ever."""
    signal.alarm(120)
    yield
    signal.alarm(0)


@pytest.fixture
def plan(runs) -> Path:
    return next((runs / RUN / "plans").iterdir())


def ask(seqrl, tmp_path) -> dict[str, str]:
    """What each command that only reads says on stderr; none may fail in another way than with a sentence."""
    said = {}
    for words in ASKING:
        output = ("-o", tmp_path / "figure.png") if words == ("plot",) else ()
        result = seqrl(*words, *output)
        assert result.exit_code in (0, 1), (words, result.output)
        assert "internal error" not in result.output and "Traceback" not in result.output, (words, result.output)
        said[words[0]] = result.stderr
    return said


FILES = ("run.json", "config.yaml", "metrics.jsonl", "checkpoints/00000004/state.json", "plans/*/episode-001.json")
FILES_OF_DATASET = ("dataset.h5", "tokens.h5")


def replace_by(path: Path, what: str) -> None:
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "bomb":
        path.write_text(BOMB)
    else:
        path.write_text(NESTED + "\n")


@pytest.mark.parametrize("what", ["pipe", "device", "nested", "bomb"])
def test_commands_that_read_answer_whatever_is_in_a_file(seqrl, runs, tmp_path, what):
    for pattern in (*(f"{RUN}/{name}" for name in FILES), *(f"{DATASET}/{name}" for name in FILES_OF_DATASET)):
        path = next(runs.glob(pattern))
        shutil.copy(path, tmp_path / "whole")
        replace_by(path, what)
        ask(seqrl, tmp_path)
        path.unlink()
        shutil.copy(tmp_path / "whole", path)


@pytest.mark.parametrize("what", ["pipe", "device", "nested"])
def test_one_bad_episode_does_not_hide_the_others(seqrl, plan, tmp_path, what):
    replace_by(plan / "episode-001.json", what)
    result = seqrl("table")
    words = {"pipe": "it is a pipe, not a file", "device": "it is a device, not a file", "nested": "nested too deeply"}
    assert result.exit_code == 0 and words[what] in result.stderr and "gpt" in result.stdout


@pytest.mark.parametrize("suffix", [".npz", ".hdf5", ".pkl", ".data"])
@pytest.mark.parametrize(("target", "kind"), [("/dev/zero", "device"), ("/dev/full", "device"), (None, "pipe")])
def test_datasets_that_are_no_files(fresh, tmp_path, suffix, target, kind):
    path = tmp_path / f"x{suffix}"
    path.symlink_to(target) if target else os.mkfifo(path)
    for command in ("download", "info"):
        result = fresh(command, path)
        assert_refused(result, result.exit_code, f"it is a {kind}, not a file", "")


def test_a_checkpoint_that_is_a_device(fresh, tmp_path):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "state_4.pt").symlink_to("/dev/urandom")
    for name in ("model_config.pkl", "data_config.pkl"):
        os.mkfifo(tmp_path / "foreign" / name)
    result = fresh("import", tmp_path / "foreign")
    assert_refused(result, 1, "not a file", "")


def test_tokens_with_a_shape_of_billions_of_rows(seqrl, runs):
    with h5py.File(runs / DATASET / "tokens.h5", "r+") as file:
        dims, dtype = file["tokens"].shape[1], file["tokens"].dtype
        del file["tokens"]
        file.create_dataset("tokens", (2**33, dims), dtype, chunks=(1024, dims))
    assert_refused(seqrl("plan", "--force", "--episodes", "1"), 1, "tokens.h5 claims", "")


def test_a_link_in_the_place_of_a_log_is_not_written_through(seqrl, runs, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("precious")
    log = runs / RUN / "metrics.jsonl"
    log.unlink()
    log.symlink_to(mine)
    seqrl("train", DATASET, *("--name", "gpt-s42"))
    assert mine.read_text() == "precious"


def test_numbers_of_a_configuration_in_any_spelling(seqrl, runs, tmp_path):
    """As an editor on Windows saves it: with a byte order mark, line ends of its own, and 1e3 for a whole number."""
    text = (runs / RUN / "config.yaml").read_text().replace("updates: 4", "updates: 1e1")
    (tmp_path / "own.yaml").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    result = seqrl("train", DATASET, "--config", tmp_path / "own.yaml", "--dry-run", "--json", "--name", "own")
    assert result.exit_code == 0, result.output
    assert "10 updates" in result.output or json.loads(result.stdout)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("seed: 1\n".encode("utf-16"), "it is text in UTF-16, not in UTF-8; save it again as UTF-8"),
        (b"train:\n\tupdates: 3\n", "line 2: a tab, where YAML wants spaces"),
        (b"dataset: x\ntrain:\n  learning_rate: 3,5\n", "train.learning_rate = '3,5'"),
        (BOMB.encode(), "line 2: aliases are not allowed"),
        (b"train:\n  updates: " + b"9" * 1000, "line 2: a number with too many digits"),
        (b"dataset: x\ntrain:\n  updates: [" + b"1, " * 20_000 + b"1]\n", "train.updates = [1, 1, 1, 1, 1, 1, ...]"),
        (b"seed: 1\n", "own.yaml does not fit this version of seqrl: dataset is missing"),
        (b"seed: 1\nseed: 2\n", "line 2: the key seed occurs twice"),
    ],
)
def test_a_bad_configuration_is_one_sentence(seqrl, tmp_path, content, words):
    (tmp_path / "own.yaml").write_bytes(content)
    result = seqrl("train", DATASET, "--config", tmp_path / "own.yaml", "--dry-run")
    assert_refused(result, result.exit_code, words, "")
    assert len(result.stderr) < 1500


def test_a_log_that_cannot_be_read_hides_no_run(seqrl, runs):
    log = runs / "sim/hopper-medium/gpt-s42/metrics.jsonl"
    log.unlink()
    log.mkdir()
    told = seqrl("runs", "--json")
    assert told.exit_code == 0 and "metrics.jsonl: it is a folder, not a file" in told.stderr
    rows = {row["run"]: row for row in json.loads(told.stdout)["runs"]}
    assert rows["sim/hopper-medium/gpt-s42"]["held_out_loss"] is None
