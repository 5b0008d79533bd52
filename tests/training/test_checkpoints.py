from __future__ import annotations

import errno
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seqrl_cli.errors import SeqrlError
from seqrl_cli.training.checkpoint_folders import saved_steps, step_folder
from seqrl_cli.training.checkpoints import (
    Checkpoint,
    DamagedCheckpointError,
    checkpoint_to_resume,
    newest_checkpoint,
    newest_model,
    read_checkpoint,
    read_model,
    tidy,
    write_checkpoint,
)


def checkpoint(step: int, size: int = 4) -> Checkpoint:
    tensor = torch.arange(size, dtype=torch.float32) + step
    return Checkpoint(step, {"weight": tensor}, {"weight.exp_avg": tensor * 2}, {"tokens": step * 10})


def test_reads_what_was_written(tmp_path):
    folder = write_checkpoint(tmp_path, checkpoint(5000), keep=2)
    assert folder == tmp_path / "00005000"
    found = read_checkpoint(folder)
    assert (found.step, found.state) == (5000, {"tokens": 50000})
    assert torch.equal(found.model["weight"], checkpoint(5000).model["weight"])
    assert torch.equal(found.optimizer["weight.exp_avg"], checkpoint(5000).optimizer["weight.exp_avg"])
    assert torch.equal(read_model(folder)["weight"], found.model["weight"])
    assert (tmp_path / "last").read_text() == "00005000\n"


def test_keeps_the_newest(tmp_path):
    for step in (1, 2, 3, 3):
        write_checkpoint(tmp_path, checkpoint(step), keep=2)
    assert saved_steps(tmp_path) == [2, 3]


def test_nothing_saved_yet(tmp_path):
    assert newest_checkpoint(tmp_path / "absent") is None


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_damage_is_found(tmp_path, name, damage):
    for step in (1, 2):
        write_checkpoint(tmp_path, checkpoint(step), keep=2)
    file = step_folder(tmp_path, 2) / name
    content = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        file.write_bytes(content[:-2] + b"??")
    warnings: list[str] = []
    found = newest_checkpoint(tmp_path, warnings.append)
    assert found is not None and found.step == 1
    assert name in warnings[0]


def changed(state: dict, keys: tuple[str, ...], value: object) -> dict:
    """The state with another value, or none, at a path of keys."""
    key, rest = keys[0], keys[1:]
    if rest:
        return {**state, key: changed(state[key], rest, value)}
    return {**state, key: value} if value is not None else {name: state[name] for name in state if name != key}


@pytest.mark.parametrize("value", [None, "text", [1], 1.5])
@pytest.mark.parametrize(
    "keys",
    [
        ("schema_version",),
        ("step",),
        ("training",),
        ("files",),
        ("files", "model.safetensors"),
        ("files", "optimizer.safetensors", "sha256"),
    ],
    ids="/".join,
)
def test_a_state_without_a_key_or_with_another_kind_of_value_is_damage(tmp_path, keys, value):
    for step in (1, 2):
        write_checkpoint(tmp_path, checkpoint(step), keep=2)
    state = step_folder(tmp_path, 2) / "state.json"
    state.write_text(json.dumps(changed(json.loads(state.read_text()), keys, value)))
    warnings: list[str] = []
    found = newest_checkpoint(tmp_path, warnings.append)
    assert found is not None and found.step == 1
    assert len(warnings) == 1 and str(step_folder(tmp_path, 2)) in warnings[0]


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_a_state_that_is_no_object_is_damage(tmp_path, content):
    folder = write_checkpoint(tmp_path, checkpoint(1), keep=1)
    (folder / "state.json").write_text(content)
    with pytest.raises(DamagedCheckpointError, match="state.json is not a JSON object"):
        read_model(folder)


def test_all_damaged(tmp_path):
    (write_checkpoint(tmp_path, checkpoint(1), keep=1) / "state.json").write_text("{}")
    for newest in (newest_checkpoint, newest_model):
        with pytest.raises(SeqrlError, match="whole: .*00000001 is damaged: state.json has no valid schema_version"):
            newest(tmp_path)


def test_a_newer_schema_is_not_taken_for_damage(tmp_path):
    state = write_checkpoint(tmp_path, checkpoint(1), keep=1) / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "schema_version": 99}))
    for newest in (newest_checkpoint, newest_model):
        with pytest.raises(SeqrlError, match="newer than"):
            newest(tmp_path)


def test_every_checkpoint_that_is_passed_over_is_named_with_the_one_that_is_used(tmp_path):
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, checkpoint(step), keep=3)
    for step in (2, 3):
        (step_folder(tmp_path, step) / "model.safetensors").unlink()
    warnings: list[str] = []
    step, weights = newest_model(tmp_path, warnings.append)
    assert step == 1 and weights.keys() == checkpoint(1).model.keys()
    assert ["00000003" in warnings[0], "00000002" in warnings[1]] == [True, True] and len(warnings) == 2
    assert all("using the newest whole checkpoint, of update 1" in warning for warning in warnings)


def write_without_space(folder: Path) -> None:
    """In a process that may not write files above 64 KiB, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    try:
        write_checkpoint(folder, checkpoint(2, size=1 << 16), keep=1)
    except SeqrlError as error:
        print(error.message)


@pytest.mark.slow
def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path):
    write_checkpoint(tmp_path, checkpoint(1), keep=1)
    program = f"from pathlib import Path; from {__name__} import *; write_without_space(Path({str(tmp_path)!r}))"
    root = Path(__file__).parents[2]
    process = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert process.stdout.startswith(f"cannot write {tmp_path / '00000002'}")
    found = newest_checkpoint(tmp_path)
    assert found is not None and found.step == 1
    assert not list(tmp_path.glob(".*"))


def test_a_checkpoint_is_replaced_and_comes_back_if_that_fails(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, checkpoint(1), keep=1)
    rename, failing = Path.rename, [OSError(errno.EIO, "input/output error")]

    def fail_once(path: Path, target: Path) -> Path:
        if path.suffix == ".tmp" and failing:
            raise failing.pop()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(SeqrlError, match="input/output error"):
        write_checkpoint(tmp_path, checkpoint(1, size=5), keep=1)
    assert len(read_model(step_folder(tmp_path, 1))["weight"]) == 4
    write_checkpoint(tmp_path, checkpoint(1, size=5), keep=1)
    assert len(read_model(step_folder(tmp_path, 1))["weight"]) == 5
    assert not list(tmp_path.glob(".*"))


def test_a_checkpoint_that_was_being_replaced_at_a_kill_comes_back(tmp_path):
    write_checkpoint(tmp_path, checkpoint(1), keep=1).rename(tmp_path / ".00000001.replaced")
    assert newest_checkpoint(tmp_path) is None
    found = checkpoint_to_resume(tmp_path)
    assert found is not None and found.step == 1 and not list(tmp_path.glob(".*"))


def test_projections_that_an_older_version_joined_are_read_apart(tmp_path):
    weight = torch.arange(12.0).view(6, 2)
    moments = {"blocks.0.qkv.weight.exp_avg": weight + 1, "blocks.0.qkv.weight.step": torch.tensor(3.0)}
    write_checkpoint(tmp_path, Checkpoint(1, {"blocks.0.qkv.weight": weight}, moments, {}), keep=1)
    found = newest_checkpoint(tmp_path)
    assert found is not None and set(found.model) == {f"blocks.0.{part}.weight" for part in ("query", "key", "value")}
    assert torch.equal(found.model["blocks.0.value.weight"], weight[4:])
    assert torch.equal(found.optimizer["blocks.0.key.weight.exp_avg"], weight[2:4] + 1)
    assert found.optimizer["blocks.0.query.weight.step"] == 3


def kill_before_tidying(folder: Path, steps: tuple[int, ...]) -> None:
    """What a process leaves that is killed right after it wrote the last of these checkpoints."""
    for step in steps[:-1]:
        write_checkpoint(folder, checkpoint(step), keep=2)
    last = (folder / "last").read_text()
    write_checkpoint(folder, checkpoint(steps[-1]), keep=9)
    (folder / "last").write_text(last)
    (folder / ".00000099-x.tmp").mkdir()


def test_tidying_is_made_up_for(tmp_path):
    write_checkpoint(tmp_path, checkpoint(1), keep=2)
    kill_before_tidying(tmp_path, (2, 3, 4))
    tidy(tmp_path, 4, keep=2)
    assert (tmp_path / "last").read_text() == "00000004\n"
    assert saved_steps(tmp_path) == [3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000003", "00000004", "last"]


def test_a_damaged_later_checkpoint_does_not_cost_the_one_just_written(tmp_path):
    for step in (1, 3):
        write_checkpoint(tmp_path, checkpoint(step), keep=2)
    (step_folder(tmp_path, 3) / "model.safetensors").write_bytes(b"cut")
    write_checkpoint(tmp_path, checkpoint(2), keep=1)
    assert saved_steps(tmp_path) == [2, 3]
    found = newest_checkpoint(tmp_path)
    assert found is not None and found.step == 2


def test_a_checkpoint_in_another_ones_folder_is_damage(tmp_path):
    write_checkpoint(tmp_path, checkpoint(2), keep=1).rename(step_folder(tmp_path, 5))
    with pytest.raises(DamagedCheckpointError, match="another step"):
        read_checkpoint(step_folder(tmp_path, 5))
