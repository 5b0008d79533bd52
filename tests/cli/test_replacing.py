"""--force loses nothing before the new is whole."""

import errno
import shutil
from pathlib import Path

import pytest

from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.replace import finish_replacement, replacing
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training import checkpoints
from tests.cli.conftest import TINY_ODT, TINY_TRAIN, TINY_TUNE, invoke, succeed

pytestmark = pytest.mark.slow


def content(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".lock" not in path.name)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def gpt(runs: Path) -> Path:
    return next(runs.rglob("gpt-s42"))


def hidden(run: Path) -> list[str]:
    return [path.name for path in run.parent.iterdir() if path.name.startswith(f".{run.name}.")]


def test_a_full_disk_leaves_the_trained_run_as_it_was(runs, monkeypatch):
    before = content(gpt(runs))
    monkeypatch.setattr(checkpoints, "_write_files", full_disk)
    result = invoke(runs, "train", "sim/hopper-medium", *TINY_TRAIN, "--force")
    assert result.exit_code == 1 and "the disk is full" in result.output
    assert content(gpt(runs)) == before and not hidden(gpt(runs))


def test_training_again_gives_the_same_weights_and_says_what_goes(runs):
    run = gpt(runs)
    weights = {name: data for name, data in content(run / "checkpoints").items() if "safetensors" in name}
    (plan,) = (run / "plans").iterdir()
    result = succeed(runs, "train", "sim/hopper-medium", *TINY_TRAIN, "--force")
    assert f"plans ({plan.name})" in " ".join(result.output.split())
    assert {name: data for name, data in content(run / "checkpoints").items() if "safetensors" in name} == weights
    assert not (run / "plans").exists() and not hidden(run)


def test_a_full_disk_leaves_the_fine_tuned_run_as_it_was(runs, monkeypatch):
    succeed(runs, "train", "sim/hopper-medium", *TINY_ODT)
    succeed(runs, "finetune-online", "odt-s42", *TINY_TUNE)
    run = next(runs.rglob("odt-s42-online"))
    before = content(run)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_write_files", full_disk)
        assert invoke(runs, "finetune-online", "odt-s42", *TINY_TUNE, "--force").exit_code == 1
    assert content(run) == before and not hidden(run)
    succeed(runs, "finetune-online", "odt-s42", *TINY_TUNE, "--force")
    after = content(run)
    for name in before:
        assert not name.endswith("safetensors") or after[name] == before[name]


@pytest.mark.parametrize("moved", range(4))
def test_a_replacement_that_was_cut_is_completed(runs, monkeypatch, moved):
    run = RunFolder(gpt(runs))
    rename, left = Path.rename, [moved]

    def cut(path, target):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(path, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), replacing(run) as new:
        shutil.copytree(run.checkpoints, new.checkpoints)
        shutil.copy(run.record, new.record)
        patch.setattr(Path, "rename", cut)
    assert len(RunStore(runs).runs()) <= 1, "what is being made is not listed"
    finish_replacement(run)
    assert run.record.exists() and run.checkpoints.exists() and not hidden(run.path)
    assert run.config.exists() == (moved == 0)
