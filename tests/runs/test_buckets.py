"""Push and pull with servers of buckets on this machine: moto's S3, and azurite's blobs where npm has installed it.

A step of ``.ci/run`` installs the packages.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from seqrl_cli.artifacts.remote import FencedError, Remote
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.store import RunStore
from tests.runs.syncing import RUN, contents, pulled, pushed, train

pytestmark = pytest.mark.slow

# Azurite's own account, which its documentation states.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server."""
    pytest.importorskip("s3fs", reason="needs the extra cloud")
    server = pytest.importorskip("moto.server", reason="needs moto[server,s3]")
    running = server.ThreadedMotoServer(port=free_port())
    running.start()
    yield f"http://127.0.0.1:{running._server.server_port}"
    running.stop()


@pytest.fixture(scope="module")
def azurite(tmp_path_factory) -> Iterator[str]:
    """The connection string of a blob server."""
    pytest.importorskip("adlfs", reason="needs the extra cloud")
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("needs azurite-blob: npm install -g azurite")
    port = free_port()
    words = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--skipApiVersionCheck", "--silent"]
    words += ["--disableTelemetry", "--location", str(tmp_path_factory.mktemp("azurite"))]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        _wait_for(port)
        endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
        account = f"AccountName=devstoreaccount1;AccountKey={AZURE_KEY}"
        yield f"DefaultEndpointsProtocol=http;{account};BlobEndpoint={endpoint};"
        process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError


@pytest.fixture(params=["s3", "azurite"])
def bucket(request, monkeypatch) -> str:
    """A URL in a bucket, or container, that exists."""
    import fsspec

    fsspec.spec.AbstractFileSystem.clear_instance_cache()
    name = f"b{uuid.uuid4().hex[:12]}"
    address: Any = request.getfixturevalue(request.param)
    if request.param == "s3":
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(key, "testing")
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir(name)
        return f"s3://{name}/runs"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", address)
    fsspec.filesystem("abfs").mkdir(name)
    return f"abfs://{name}/runs"


def test_what_is_pulled_is_what_was_pushed(store, bucket, tmp_path):
    pushed(store, bucket)
    train(store.root / RUN, 3)
    pushed(store, bucket)
    assert pushed(store, bucket).files == 0
    assert pulled(tmp_path / "again", bucket).pulled == ["d", RUN]
    assert contents(tmp_path / "again") == contents(store.root)


def test_the_store_itself_fences_a_late_write(store, bucket, tmp_path, monkeypatch):
    """Between the look and the write, another machine pushed."""
    pushed(store, bucket)
    late = Remote(bucket)
    seen = late.manifest(RUN)
    pulled(tmp_path / "other", bucket)
    train(tmp_path / "other" / RUN, 3)
    pushed(RunStore(tmp_path / "other"), bucket)
    newest = Remote(bucket).manifest(RUN)
    looks = iter([seen])
    original = Remote.manifest
    monkeypatch.setattr(Remote, "manifest", lambda self, name: next(looks, None) or original(self, name))
    with pytest.raises(FencedError, match="was pushed by"):
        late.replace_manifest(RUN, seen.files, seen)
    looks = iter([])
    assert Remote(bucket).manifest(RUN) == newest


def test_a_bucket_that_vanishes_is_named(store, bucket, tmp_path):
    import fsspec

    pushed(store, bucket)
    protocol, _, path = bucket.partition("://")
    fsspec.filesystem(protocol).rm(path.partition("/")[0], recursive=True)
    train(store.root / RUN, 3)
    with pytest.raises(SeqrlError, match=f"{protocol}://"):
        pushed(store, bucket)
    with pytest.raises(SeqrlError, match=f"{protocol}://"):
        pulled(tmp_path / "again", bucket)


def test_a_bucket_that_was_never_there_is_named(store, bucket):
    other = bucket.replace("://b", "://nobody")
    with pytest.raises(SeqrlError, match="nobody"):
        pushed(store, other)
