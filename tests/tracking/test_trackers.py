"""Files of real trackers, read back. They need the packages, which a step of ``.ci/run`` installs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest

from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.yaml_text import dump_yaml
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import read_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import append_line
from seqrl_cli.tracking.trackers import check_tracker
from seqrl_cli.workflows.track import run as track
from seqrl_cli.workflows.track.sources import TrainedSource
from tests.processes import until
from tests.runs.records import make_run
from tests.tracking import offline_wandb
from tests.tracking.fakes import notes

RUN = "d/r"
NOTES = "tests.tracking.fakes:Notes"


@pytest.fixture
def store(tmp_path) -> RunStore:
    """A run with a log of four steps, a configuration and a figure."""
    folder = make_run(tmp_path / "runs", "d", "r").parent
    (folder / "config.yaml").write_text(dump_yaml({"seed": 42, "train": {"learning_rate": 1e-3}}))
    for step in (10, 20, 30, 40):
        append_line(folder / "metrics.jsonl", step, {"loss": 100 / step, "validation_loss": None})
    (folder / "plots").mkdir()
    imageio.imwrite(folder / "plots" / "losses.png", np.zeros((4, 6, 3), np.uint8))
    imageio.imwrite(folder / "plots" / "moving.gif", np.zeros((2, 4, 6, 3), np.uint8))
    return RunStore(tmp_path / "runs")


def send(store: RunStore, *names: str, **options: Any) -> track.TrackReport:
    return track.run(track.TrackRequest(store, RUN, names, **options), Console(quiet=True))


def add_steps(store: RunStore, *steps: int) -> None:
    for step in steps:
        append_line(store.root / RUN / "metrics.jsonl", step, {"loss": 100 / step})


def test_a_tracker_hears_everything_once(store):
    assert send(store, NOTES).sent == {NOTES: 4}
    add_steps(store, 50)
    assert send(store, NOTES).sent == {NOTES: 1}
    told = notes(store.root / RUN / "trackers" / "tests.tracking.fakes-Notes")
    assert [note[1] for note in told if note[0] == "log"] == [10, 20, 30, 40, 50]
    assert told[0][3]["train.learning_rate"] == 1e-3
    assert sorted(note[1] for note in told if note[0] == "media") == ["plots/losses.png", "plots/moving.gif"]
    assert [note[1] for note in told if note[0] == "end"] == ["finished", "finished"]


def test_a_run_is_followed_until_it_is_over(store):
    more = iter([50, 60])

    def is_over(seconds: float) -> bool:
        step = next(more, None)
        if step is not None:
            add_steps(store, step)
        return step is None

    assert send(store, NOTES, is_over=is_over).sent == {NOTES: 6}


def test_a_tracker_that_raises_is_named(store):
    with pytest.raises(SeqrlError, match="Raising failed: ConnectionError: nobody answers"):
        send(store, "tests.tracking.fakes:Raising")


def test_unknown_trackers_are_named(store):
    with pytest.raises(UsageError, match="unknown tracker 'wandbb'"):
        check_tracker("wandbb")
    with pytest.raises(SeqrlError, match="has no Nobody"):
        send(store, "tests.tracking.fakes:Nobody")
    with pytest.raises(SeqrlError, match="cannot be imported"):
        send(store, "no.such.module:Tracker")


def test_the_id_is_that_of_the_run_wherever_it_is(store, tmp_path):
    record = read_record(store.root / RUN / "run.json")
    folder = RunFolder(store.root / RUN)
    known = TrainedSource(folder, record).id
    assert known == TrainedSource(folder, record.model_copy(update={"updated": "later", "host": "n2"})).id
    assert known != TrainedSource(folder, record.model_copy(update={"created": "again"})).id


def events(folder: Path) -> Iterator[Any]:
    """The events of all files of a folder: each has its length, two checksums, and a record in protobuf."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob("events*")):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            yield Event.FromString(content[place + 12 : place + 12 + length])
            place += length + 16


def test_tensorboard_reads_what_was_written(store):
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    send(store, "tensorboard")
    add_steps(store, 50)
    send(store, "tensorboard")
    found = [
        (event.step, value)
        for event in events(store.root / RUN / "trackers/tensorboard")
        for value in event.summary.value
    ]
    losses = {step: value.simple_value for step, value in found if value.tag == "loss"}
    assert losses == pytest.approx({step: 100 / step for step in (10, 20, 30, 40, 50)})
    assert sum(value.tag == "loss" for _, value in found) == 5
    texts = [value for _, value in found if value.tag.startswith("configuration")]
    assert b"learning_rate" in texts[0].tensor.string_val[0]
    images = {value.tag: value.image for _, value in found if value.HasField("image")}
    assert images["plots/losses.png"].height == 4 and images["plots/moving.gif"].width == 6


@pytest.mark.slow
def test_wandb_offline_runs_have_one_id_and_never_go_back(store, monkeypatch):
    pytest.importorskip("wandb", reason="needs the extra wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    send(store, "wandb")
    add_steps(store, 50)
    send(store, "wandb")
    folder = store.root / RUN / "trackers/wandb"

    def written() -> list[offline_wandb.OfflineRun]:
        return [offline_wandb.read(path) for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]

    until(lambda: len(written()) == 2 and all(run.exit_code is not None for run in written()))  # by wandb's own process
    runs = written()
    folder = RunFolder(store.root / RUN)
    assert {run.id for run in runs} == {TrainedSource(folder, read_record(folder.record)).id}
    rows = [row for run in runs for row in run.history if "loss" in row]
    assert [(row["_step"], row["loss"]) for row in rows] == [(step, 100 / step) for step in (10, 20, 30, 40, 50)]
    assert runs[0].config["train.learning_rate"] == 1e-3 and runs[0].group == "d/gpt"
    assert runs[1].summary["status"] == "finished" and runs[1].exit_code == 0


@pytest.mark.slow
def test_trackio_keeps_rows(store, tmp_path):
    """In a process of its own: it reads where its database is when it is imported."""
    pytest.importorskip("trackio", reason="needs the extra trackio")
    import os
    import sqlite3
    import subprocess
    import sys

    words = ["runs", "track", RUN, "--to", "trackio", "--runs-dir", str(store.root)]
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-m", "seqrl_cli", *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "trackio").rglob("seqrl.db")
    with sqlite3.connect(path) as database:
        steps = [step for (step,) in database.execute("select step from metrics order by step")]
    assert {10, 20, 30, 40} <= set(steps)
