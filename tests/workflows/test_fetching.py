"""Datasets by name from a server or a mirror: hashes, shapes, no network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.config.presets import resolve_config
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import resolve
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import read_attributes, write_d4rl
from seqrl_cli.data.formats.minari import MinariFacts, write_minari
from seqrl_cli.download.mirrors import RemoteFile
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.hashes import file_sha256
from seqrl_cli.runs.mirrors import Mirror, NetworkAccess
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.data import download
from tests.data.server import Manner, serving


def data(observation_dim: int = 11, action_dim: int = 3, seed: int = 0, rows: int = 50) -> Episodes:
    rng = np.random.default_rng(seed)
    ends = np.arange(rows) % 25 == 24
    return Episodes.from_flags(
        rng.normal(size=(rows, observation_dim)).astype(np.float32),
        rng.uniform(-1, 1, (rows, action_dim)).astype(np.float32),
        rng.normal(size=rows).astype(np.float32),
        np.zeros(rows, bool),
        ends,
    )


@pytest.fixture
def published(tmp_path) -> Path:
    path = tmp_path / "published" / "hopper_random-v1.hdf5"
    path.parent.mkdir()
    write_d4rl(path, data(), {})
    return path


def dataset_ref(tmp_path, path: Path, **facts) -> DatasetRef:
    """``hopper-random-v1``, published in a folder of this machine."""
    store = RunStore(tmp_path / "runs")
    spec = resolve("hopper-random-v1")
    file = replace(spec.files[0], url=path.as_uri(), alternatives=(), size=None, **facts)
    return DatasetRef.of(spec.id, replace(spec, files=(file,)), store)


def get(where: DatasetRef, *, force: bool = False):
    config = resolve_config(where.id)
    return download.run(download.DownloadRequest(where, config, force), Console(quiet=True))


def test_the_first_hash_is_kept_and_another_is_an_error(tmp_path, published):
    where = dataset_ref(tmp_path, published)
    assert get(where).transitions == 50
    first = file_sha256(published)
    assert read_attributes(where.folder.dataset)["sha256"] == first
    assert json.loads((tmp_path / "runs" / "downloads.json").read_text()) == {published.as_uri(): first}
    write_d4rl(published, data(seed=1), {})
    with pytest.raises(SeqrlError) as error:
        get(where, force=True)
    assert first in error.value.message and file_sha256(published) in error.value.message
    assert "downloads.json" in error.value.hint and first in error.value.hint
    assert where.folder.dataset.exists()
    (tmp_path / "runs" / "downloads.json").unlink()
    assert get(where, force=True).fresh


def test_a_page_instead_of_data_is_not_remembered(tmp_path, published):
    good = published.read_bytes()
    published.write_text("<html>Please accept our terms</html>")
    where = dataset_ref(tmp_path, published)
    with pytest.raises(SeqrlError, match="is a web page"):
        get(where)
    assert not (tmp_path / "runs" / "downloads.json").exists()
    published.write_bytes(good)
    assert get(where).fresh


def test_a_damaged_ledger_is_named(tmp_path, published):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "downloads.json").write_text("[1, 2]")
    with pytest.raises(SeqrlError, match=r"downloads\.json does not map"):
        get(dataset_ref(tmp_path, published))


def test_a_pinned_hash_must_agree(tmp_path, published):
    with pytest.raises(SeqrlError, match=f"{file_sha256(published)}, not the expected SHA-256 {'0' * 64}"):
        get(dataset_ref(tmp_path, published, sha256="0" * 64))


def test_data_of_other_sizes_than_its_environment_is_refused(tmp_path, published):
    write_d4rl(published, data(observation_dim=17, action_dim=6), {})
    where = dataset_ref(tmp_path, published)
    with pytest.raises(SeqrlError, match="sizes \\(17, 6\\), but Hopper-v4 has sizes \\(11, 3\\)"):
        get(where)
    assert not where.folder.dataset.exists()


def test_files_without_timeouts_are_cut_as_d4rl_does(tmp_path):
    path = tmp_path / "mirror" / "mini_kitchen_microwave_kettle_light_slider-v0.hdf5"
    path.parent.mkdir()
    write_d4rl(path, data(observation_dim=60, action_dim=9, rows=600), {})
    with h5py.File(path, "a") as file:
        del file["timeouts"]
    network = NetworkAccess((Mirror(str(path.parent)),), offline=True)
    where = locate(RunStore(tmp_path / "runs", network), "kitchen-complete-v0")
    report = get(where)
    assert (report.episodes, report.transitions) == (3, 600)  # 280, 280 and 40 steps


@pytest.mark.parametrize(
    ("name", "stand_in"),
    [
        ("hopper-medium-v2", "sim/hopper-medium is simulated here: the same robot, but not the same data"),
        ("ant-full-replay-v2", "sim/ant-medium-replay is simulated"),
        ("bullet-hopper-medium-v0", "in another simulator, but not the same data"),
        ("kitchen-mixed-v0", "is another task"),
    ],
)
def test_offline_says_what_stands_in(tmp_path, name, stand_in):
    where = locate(RunStore(tmp_path / "runs", NetworkAccess(offline=True)), name)
    with pytest.raises(SeqrlError, match="which --offline forbids") as error:
        get(where)
    assert stand_in in error.value.hint and where.spec.url in error.value.message


def mirrored_minari(tmp_path, stated: str) -> DatasetRef:
    """``minari/mujoco/hopper/medium-v0`` from a mirror, where it states an id."""
    folder = tmp_path / "root" / "mujoco" / "hopper" / "medium-v0"
    write_minari(folder, data(), MinariFacts(stated, None, data().spaces, {}))
    network = NetworkAccess((Mirror(str(tmp_path / "root"), "minari"),), offline=True)
    return locate(RunStore(tmp_path / "runs", network), "minari/mujoco/hopper/medium-v0")


def test_another_minari_dataset_is_refused_and_not_remembered(tmp_path):
    where = mirrored_minari(tmp_path, "mujoco/hopper/expert-v0")
    with pytest.raises(SeqrlError, match="have the id 'mujoco/hopper/expert-v0'"):
        get(where)
    assert not (tmp_path / "runs" / "downloads.json").exists()
    assert not (where.folder.path / ".download").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("step", ["sources.read_dataset", "dataset.write_dataset"])
def test_what_was_fetched_outlives_a_stop(tmp_path, published, monkeypatch, step, stop):
    def stopped(*_arguments):
        raise stop

    where = dataset_ref(tmp_path, published)
    with monkeypatch.context() as patch, pytest.raises(stop):
        patch.setattr(f"seqrl_cli.artifacts.{step}", stopped)
        get(where)
    raw = where.folder.path / ".download"
    assert raw.is_dir() and not where.folder.dataset.exists()
    published.unlink()
    assert get(where).fresh and not raw.exists()


def test_minari_comes_from_a_mirror_in_two_files(tmp_path):
    where = mirrored_minari(tmp_path, "mujoco/hopper/medium-v0")
    report = get(where)
    assert (report.dataset, report.episodes) == ("minari/mujoco/hopper/medium-v0", 2)
    stated = read_attributes(where.folder.dataset)
    assert (stated["env_id"], stated["source"]) == ("Hopper-v5", "minari")
    assert [path.name for path in where.folder.path.iterdir() if path.is_dir()] == []


def test_proxies_are_honoured(tmp_path, published, monkeypatch):
    with serving(published.read_bytes()) as server:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, server.url.rpartition("/")[0])
        monkeypatch.setenv("no_proxy", "")
        server.manners = [Manner(cut=1000)]
        where = dataset_ref(tmp_path, published)
        file = RemoteFile("http://no-such-host.invalid/a.hdf5", "a.hdf5")
        where = replace(where, spec=replace(where.spec, files=(file,)))
        assert get(where).transitions == 50
        assert server.ranges_asked == [None, "bytes=1000-"]
