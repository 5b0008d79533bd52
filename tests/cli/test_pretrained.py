"""``seqrl download pretrained/…``: from a server, from an archive, from an unpacked one; the golden checkpoints."""

from __future__ import annotations

import functools
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.interop.detect import read_checkpoint_folder
from tests.cli.conftest import assert_refused, invoke

pytestmark = pytest.mark.slow

FASTER = "pretrained/faster-trajectory-transformer/hopper-medium-v2"
ORIGINAL = "pretrained/trajectory-transformer/hopper-medium-v2"


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """A web server of a folder; its URL."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def runs(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def faster(golden_file, tmp_path) -> Path:
    """A mirror that has the golden Faster Trajectory Transformer as the published one."""
    root = tmp_path / "mirror"
    shutil.copytree(golden_file("faster_tt_checkpoint"), root / "faster-trajectory-transformer" / "hopper")
    return root


@pytest.fixture
def original(golden_file, tmp_path, runs) -> Path:
    """A mirror that has the golden Trajectory Transformer in an archive; the dataset of its sizes is here."""
    folder = golden_file("tt_checkpoint")
    sizes = read_checkpoint_folder(folder)
    rng = np.random.default_rng(0)
    ends = np.arange(300) % 50 == 49
    episodes = Episodes.from_flags(
        rng.normal(size=(300, sizes.observation_dim)).astype(np.float32),
        rng.normal(size=(300, sizes.action_dim)).astype(np.float32),
        rng.normal(size=300).astype(np.float32),
        np.zeros(300, bool),
        ends,
    )
    write_d4rl(runs / "hopper-medium-v2" / "dataset.h5", episodes, {"env_id": "Hopper-v4"})
    archive = tmp_path / "mirror" / "trajectory-transformer" / "models.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as content:
        for path in folder.iterdir():
            content.write(path, f"hopper-medium-v2/gpt/pretrained/{path.name}")
            content.writestr(f"walker2d-medium-v2/gpt/pretrained/{path.name}", b"another model's")
        content.writestr("hopper-medium-v2/gpt/pretrained/../../../../../escaped", b"x")
    return archive.parents[1]


def weights(run: Path) -> bytes:
    (path,) = run.glob("checkpoints/*/model.safetensors")
    return path.read_bytes()


def test_from_a_server(runs, faster, golden_file):
    with web(faster) as url:
        done = invoke(runs, "download", FASTER, "--mirrors", f"pretrained={url}", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    run = runs / "hopper-medium-v2" / "faster-trajectory-transformer"
    assert report["run"] == str(run) and report["bins"] == "of its own" and report["fresh"]
    other = invoke(
        runs.parent / "other", "import", golden_file("faster_tt_checkpoint"), "--dataset", "hopper-medium-v2"
    )
    assert other.exit_code == 0, other.output
    assert weights(run) == weights(runs.parent / "other" / "hopper-medium-v2" / "faster-trajectory-transformer")
    ledger = json.loads((runs / "downloads.json").read_text())
    assert {url.rpartition("/")[2] for url in ledger} == {"config.yaml", "discretizer.pt", "model_last.pt"}
    again = invoke(runs, "download", FASTER, "--offline")
    assert again.exit_code == 0 and "already imported" in again.stderr


def test_a_changed_file_is_told(runs, faster):
    assert invoke(runs, "download", FASTER, "--mirrors", str(faster)).exit_code == 0
    path = faster / "faster-trajectory-transformer" / "hopper" / "config.yaml"
    path.write_text(path.read_text() + "\n")
    changed = invoke(runs, "download", FASTER, "--mirrors", str(faster), "--offline", "--force")
    assert_refused(changed, 1, "SHA-256", "downloads.json")


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_page_instead_of_files_does_not_stay(runs, faster, force):
    folder = faster / "faster-trajectory-transformer" / "hopper"
    good = {path: path.read_bytes() for path in folder.iterdir()}
    for path in good:
        path.write_text("<html>Please accept our terms</html>")
    assert invoke(runs, "download", FASTER, "--mirrors", str(faster), "--offline").exit_code == 1
    for path, content in good.items():
        path.write_bytes(content)
    done = invoke(runs, "download", FASTER, "--mirrors", str(faster), "--offline", *force)
    assert done.exit_code == 0, done.output


def test_force_fetches_an_unproven_archive_again(runs, original):
    archive = original / "trajectory-transformer" / "models.zip"
    kept = runs / ".pretrained" / "trajectory-transformer" / "models.zip"
    good = archive.read_bytes()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("hopper-medium-v2/gpt/pretrained/state_2.pt", b"<html>")
    assert invoke(runs, "download", ORIGINAL, "--mirrors", str(original), "--offline").exit_code == 1
    assert kept.exists()
    archive.write_bytes(good)
    for _ in range(2):
        done = invoke(runs, "download", ORIGINAL, "--mirrors", str(original), "--offline", "--force")
        assert done.exit_code == 0, done.output
        archive.write_bytes(b"<html>")  # the kept one is proven now, and taken


def test_from_an_archive(runs, original, tmp_path):
    done = invoke(runs, "download", ORIGINAL, "--mirrors", str(original), "--offline")
    assert done.exit_code == 0, done.output
    run = runs / "hopper-medium-v2" / "trajectory-transformer"
    assert (run / "run.json").exists() and weights(run)
    assert "fitted to hopper-medium-v2" in done.stdout
    assert not list(tmp_path.rglob("escaped*"))
    listed = json.loads(invoke(runs, "download", "--list", "pretrained*hopper*", "--json").stdout)
    assert [row["checkpoint"] for row in listed["checkpoints"] if row["here"]] == [ORIGINAL]


def test_from_an_unpacked_archive(runs, original, tmp_path):
    with zipfile.ZipFile(original / "trajectory-transformer" / "models.zip") as content:
        names = [name for name in content.namelist() if name.startswith("hopper") and ".." not in name]
        content.extractall(tmp_path / "logs", names)
    done = invoke(runs, "download", ORIGINAL, "--mirrors", (tmp_path / "logs").as_uri(), "--offline")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "logs" / "hopper-medium-v2" / "gpt" / "pretrained" / "state_2.pt").exists()


def test_a_damaged_archive_is_named(runs, original):
    archive = original / "trajectory-transformer" / "models.zip"
    archive.write_bytes(archive.read_bytes()[:2000])
    done = invoke(runs, "download", ORIGINAL, "--mirrors", str(original), "--offline")
    assert_refused(done, 1, "cannot unpack", "download it again")
    assert not (runs / "hopper-medium-v2" / "trajectory-transformer").exists()


def test_an_archive_whose_compressed_contents_are_damaged_is_named(runs, original):
    archive = original / "trajectory-transformer" / "models.zip"
    with zipfile.ZipFile(archive) as content:
        members = {name: content.read(name) for name in content.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as content:
        for name, data in members.items():
            content.writestr(name, data)
        first = next(info for info in content.infolist() if len(members[info.filename]) > 1000)
    damaged = bytearray(archive.read_bytes())
    start = first.header_offset + 30 + len(first.filename)
    damaged[start : start + first.compress_size] = b"\xff" * first.compress_size
    archive.write_bytes(damaged)
    done = invoke(runs, "download", ORIGINAL, "--mirrors", str(original), "--offline")
    assert_refused(done, 1, "cannot unpack", "download it again")


def test_bad_names_and_no_network(runs):
    wrong = invoke(runs, "download", "pretrained/trajectory-transformer/hoper-medium-v2")
    assert_refused(wrong, 2, "unknown checkpoint", "hopper-medium-v2")
    assert_refused(invoke(runs, "download", FASTER, "--offline"), 1, "--offline forbids", "seqrl import FOLDER")
    planned = invoke(runs, "download", ORIGINAL, "--dry-run", "--json")
    assert json.loads(planned.stdout)["dataset_first"] == "hopper-medium-v2"
    assert not runs.exists()
