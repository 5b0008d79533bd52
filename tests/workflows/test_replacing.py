"""What ``--force`` leaves when it fails, is stopped, or its environment breaks."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from seqrl_cli.artifacts.locate import dataset_config
from seqrl_cli.console import Console
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.errors import CommandInterruptedError, SeqrlError
from seqrl_cli.files import atomic
from seqrl_cli.online import loop
from seqrl_cli.online.collector import EpisodeCollector
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import read_online_lines
from seqrl_cli.workflows.data import collect, discretize, download
from seqrl_cli.workflows.exchange import import_checkpoint
from seqrl_cli.workflows.finetune_online.run import run as finetune
from seqrl_cli.workflows.train.run import run as train
from tests.interop.folders import faster_trajectory_transformer
from tests.workflows.tiny import NAME, Heard, make_request, swings, tuning

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)


def content(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".lock" not in path.name)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def download_again(store: RunStore, folder: Path, force: bool) -> None:
    file = folder.with_suffix(".hdf5")
    write_d4rl(file, swings(seed=int(force)), {"env_id": "Pendulum-v1"})
    ref, config = dataset_config(store, str(file))
    download.run(download.DownloadRequest(ref, config, force=force), QUIET)


def discretize_again(store: RunStore, folder: Path, force: bool) -> None:
    ref, config = dataset_config(store, NAME, size="laptop", overrides={"data.bins": 9 if force else 8})
    discretize.run(discretize.DiscretizeRequest(ref, config, force=force), QUIET)


def collect_again(store: RunStore, folder: Path, force: bool) -> None:
    collect.run(collect.CollectRequest(store, "Pendulum-v1", "dt-s42", 40, int(force), force=force), QUIET)


def import_again(store: RunStore, folder: Path, force: bool) -> None:
    faster_trajectory_transformer(folder, seed=int(force))
    import_checkpoint.run(import_checkpoint.ImportRequest(store, folder, force=force), QUIET)


@pytest.mark.parametrize(
    "again", [download_again, discretize_again, pytest.param(collect_again, marks=pytest.mark.slow), import_again]
)
def test_a_full_disk_leaves_what_was_to_be_replaced(store, tmp_path, monkeypatch, again: Callable):
    again(store, tmp_path / "theirs", False)
    before = content(store.root)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "fsync", full_disk)
        with pytest.raises(SeqrlError, match="the disk is full"):
            again(store, tmp_path / "theirs", True)
    assert content(store.root) == before
    again(store, tmp_path / "theirs", True)
    assert content(store.root).keys() == before.keys()


@pytest.fixture
def tuned(store, one_process) -> RunFolder:
    finetune(tuning(store), Heard())
    return store.dataset(NAME).run("odt-s42-online")


def weights(run: RunFolder) -> dict[str, bytes]:
    return {name: data for name, data in content(run.checkpoints).items() if name.endswith("safetensors")}


def test_ctrl_c_after_the_first_checkpoint_is_not_lost(store, tuned, monkeypatch):
    before = weights(tuned)

    def stopped(*arguments):
        write(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    write = loop.write_checkpoint
    with monkeypatch.context() as patch, pytest.raises(CommandInterruptedError, match="everything was saved") as caught:
        patch.setattr(loop, "write_checkpoint", stopped)
        finetune(tuning(store, force=True), Heard())
    assert caught.value.hint == "the same command without --force resumes from there"
    assert json.loads(tuned.record.read_text())["status"] == "interrupted"
    assert [line.iteration for line in read_online_lines(tuned.metrics)] == [0]
    assert finetune(tuning(store), Heard()).iterations == 2
    after = weights(tuned)
    assert all(after[name] == data for name, data in before.items())


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def break_down() -> None:
    raise EnvironmentFailedError("it broke", "mend it")


@pytest.mark.parametrize(
    ("what", "error", "message", "hint"),
    [
        (
            interrupt,
            CommandInterruptedError,
            "before the first checkpoint; .* was kept",
            "the same command starts over",
        ),
        (
            break_down,
            EnvironmentFailedError,
            "it broke",
            "kept; once that is fixed, the same command starts over; mend",
        ),
    ],
)
def test_what_stops_the_first_evaluation_keeps_the_run(store, tuned, monkeypatch, what, error, message, hint):
    before, play = content(tuned.path), EpisodeCollector.__call__

    def stopped(self, *arguments):
        what()
        return play(self, *arguments)

    monkeypatch.setattr(EpisodeCollector, "__call__", stopped)
    with pytest.raises(error, match=message) as caught:
        finetune(tuning(store, force=True), Heard())
    assert hint in caught.value.hint
    assert content(tuned.path) == before
    assert not [path for path in tuned.path.parent.iterdir() if path.name.startswith(f".{tuned.path.name}.")]


@pytest.mark.parametrize("arch", ["odt", "online"])
def test_ctrl_c_before_the_new_run_takes_its_place_keeps_the_old(store, tuned, monkeypatch, arch):
    run = store.dataset(NAME).run("odt-s42") if arch == "odt" else tuned
    before, rename = content(run.path), Path.rename

    def stopped(path, target):
        if str(target).endswith(".whole"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stopped)
    with pytest.raises(CommandInterruptedError) as caught:
        if arch == "odt":
            train(make_request(store, "odt", force=True), Heard())
        else:
            finetune(tuning(store, force=True), Heard())
    assert caught.value.hint == "the same command starts over" and content(run.path) == before


def test_the_environment_that_breaks_after_the_first_checkpoint_says_how_to_resume(store, tuned, monkeypatch):
    play, calls = EpisodeCollector.__call__, []

    def broken(self, *arguments):
        calls.append(self)
        if len(calls) > 2:  # the evaluation, and the exploration that the checkpoint stops
            break_down()
        return play(self, *arguments)

    monkeypatch.setattr(EpisodeCollector, "__call__", broken)
    with pytest.raises(EnvironmentFailedError, match="it broke") as caught:
        finetune(tuning(store, force=True), Heard())
    assert "the same command without --force resumes; mend it" in caught.value.hint
    assert json.loads(tuned.record.read_text())["status"] == "failed"
