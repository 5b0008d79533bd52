"""Runs pushed to a URL and pulled from it: whole or not at all, whatever happens in between."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import contextmanager

import pytest

from seqrl_cli.artifacts.remote import FencedError, Remote
from seqrl_cli.artifacts.remote_faults import UnreachableError
from seqrl_cli.artifacts.sync import SMALL
from seqrl_cli.console import Console, public_words, shown_url, typed_command
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.runs.record import BaseRecord, read_record, write_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoints import newest_checkpoint
from seqrl_cli.workflows.exchange import pull, push
from tests.runs.records import make_run
from tests.runs.syncing import RUN, contents, pulled, pushed, train, would_pull

fsspec = pytest.importorskip("fsspec")


def test_what_is_pulled_is_what_was_pushed(store, url, tmp_path):
    report = pushed(store, url)
    assert report.folders == ["d", RUN] and report.files == len(contents(store.root))
    assert pulled(tmp_path / "again", url).pulled == ["d", RUN]
    assert contents(tmp_path / "again") == contents(store.root)


def test_nothing_is_sent_or_received_twice(store, url, tmp_path):
    pushed(store, url)
    assert pushed(store, url).files == 0
    train(store.root / RUN, 3)
    assert pushed(store, url).files == 5  # the checkpoint's three, ``last``, and the log
    pulled(tmp_path / "again", url)
    assert pulled(tmp_path / "again", url, force=True).bytes == 0


def test_a_change_of_equal_size_is_noticed(store, url, tmp_path):
    pushed(store, url)
    (store.root / RUN / "config.yaml").write_text("seed: 2\n")
    pushed(store, url)
    pulled(tmp_path / "again", url)
    assert (tmp_path / "again" / RUN / "config.yaml").read_text() == "seed: 2\n"


def test_a_large_file_that_changes_while_it_is_sent_goes_with_the_next_push(store, url, tmp_path, monkeypatch):
    large = store.root / "d/dataset.h5"
    large.write_bytes(b"old" * SMALL)
    pushed(store, url)
    large.write_bytes(b"mid" * SMALL)
    put = Remote.put

    def put_slowly(self, name, digest, source):
        if source == large:
            replacement = large.with_suffix(".new")
            replacement.write_bytes(b"new" * SMALL)
            replacement.rename(large)
        put(self, name, digest, source)

    monkeypatch.setattr(Remote, "put", put_slowly)
    pushed(store, url)
    monkeypatch.undo()
    pulled(tmp_path / "whole", url)
    assert (tmp_path / "whole/d/dataset.h5").read_bytes() == b"old" * SMALL
    pushed(store, url)
    pulled(tmp_path / "again", url)
    assert (tmp_path / "again/d/dataset.h5").read_bytes() == b"new" * SMALL


class CutError(Exception):
    pass


@pytest.mark.parametrize("half", [False, True])
def test_a_push_that_is_cut_at_any_file_leaves_a_whole_run(store, url, tmp_path, monkeypatch, half):
    """The run as it was before, which a later push completes."""
    pushed(store, url)
    before = contents(store.root / RUN)
    shutil.copytree(tmp_path / "there", tmp_path / "first")
    for step in (3, 4):
        train(store.root / RUN, step)
    original = type(fsspec.filesystem("file")).pipe_file
    writes = 0
    left = 0

    def pipe_file(self, path, value, **options):
        nonlocal writes
        writes += 1
        if writes > left:
            if half and "objects" in path:
                original(self, path, value[: len(value) // 2], **options)
            raise CutError
        original(self, path, value, **options)

    monkeypatch.setattr(type(fsspec.filesystem("file")), "pipe_file", pipe_file)
    while True:
        writes = 0
        shutil.rmtree(tmp_path / "there")
        shutil.copytree(tmp_path / "first", tmp_path / "there")
        try:
            pushed(store, url)
            break
        except SeqrlError as error:
            assert "Cut" in error.message
        shutil.rmtree(tmp_path / "again", ignore_errors=True)
        pulled(tmp_path / "again", url)
        assert contents(tmp_path / "again" / RUN) == before
        left += 1
    assert left == 9  # two checkpoints of three files, ``last``, the log and the manifest
    pulled(tmp_path / "again", url, force=True)
    assert contents(tmp_path / "again" / RUN) == contents(store.root / RUN)


def test_a_pull_that_is_cut_leaves_the_run_that_was_there(store, url, tmp_path, monkeypatch):
    pushed(store, url)
    pulled(tmp_path / "again", url)
    before = contents(tmp_path / "again" / RUN)
    train(store.root / RUN, 3)
    pushed(store, url)
    original = Remote.get

    def get(self: Remote, name: str, digest: str):
        raise CutError
        yield b""

    monkeypatch.setattr(Remote, "get", get)
    with pytest.raises(CutError):
        pulled(tmp_path / "again", url, force=True)
    assert contents(tmp_path / "again" / RUN) == before
    monkeypatch.setattr(Remote, "get", original)
    pulled(tmp_path / "again", url, force=True)
    assert newest_checkpoint(tmp_path / "again" / RUN / "checkpoints").step == 3


def test_damaged_contents_are_not_pulled(store, url, tmp_path):
    pushed(store, url)
    objects = sorted((tmp_path / "there" / RUN / ".seqrl" / "objects").iterdir())
    objects[0].write_bytes(b"x" * objects[0].stat().st_size)
    with pytest.raises(SeqrlError, match="are damaged"):
        pulled(tmp_path / "again", url)
    assert not (tmp_path / "again" / RUN / "run.json").exists()


def test_a_machine_that_was_replaced_cannot_push(store, url, tmp_path):
    """It was cut off; another one pulled the run, went on, and pushed."""
    remote, files = Remote(url), {}
    pushed(store, url)
    seen = remote.manifest(RUN)
    pulled(tmp_path / "other", url)
    train(tmp_path / "other" / RUN, 3)
    pushed(RunStore(tmp_path / "other"), url)
    with pytest.raises(FencedError, match="was pushed by"):
        remote.replace_manifest(RUN, files, seen)
    with pytest.raises(FencedError):
        remote.replace_manifest(RUN, files, None)


def test_a_run_that_is_newer_here_is_kept(store, url):
    pushed(store, url)
    record = store.root / RUN / "run.json"
    record.write_text(record.read_text().replace('"updated": "2', '"updated": "9'))
    before = contents(store.root)
    assert pulled(store.root, url).kept == ["d", RUN]
    assert contents(store.root) == before
    assert pulled(store.root, url, force=True).pulled == [RUN]


def test_plans_that_were_made_here_stay_when_their_run_is_pulled(store, url, tmp_path):
    mine, plan = tmp_path / "mine", "plans/H5-s0/episode-000.json"
    pushed(store, url)
    pulled(mine, url)
    (mine / RUN / plan).parent.mkdir(parents=True)
    (mine / RUN / plan).write_text("here")
    train(store.root / RUN, 3)
    pushed(store, url)
    assert RUN in pulled(mine, url).pulled
    assert (mine / RUN / plan).read_text() == "here" and (mine / RUN / "checkpoints/00000003").exists()
    record = store.root / RUN / "run.json"  # trained anew under the same name
    record.write_text(record.read_text().replace('"created": "2', '"created": "1'))
    pushed(store, url)
    assert RUN not in would_pull(mine, url) and RUN in pulled(mine, url).kept
    assert (mine / RUN / plan).read_text() == "here"
    assert RUN in pulled(mine, url, force=True).pulled and not (mine / RUN / plan).exists()


def test_a_fine_tuned_run_takes_the_run_along_whose_weights_it_needs(store, url, tmp_path):
    path = make_run(store.root, "d", "lora")
    base = BaseRecord(run=RUN, step=2, sha256="0" * 64)
    write_record(path, read_record(path).model_copy(update={"base": base}))
    assert sorted(pushed(store, url, "d/lora").folders) == ["d", "d/lora", RUN]
    pulled(tmp_path / "again", url)
    assert (tmp_path / "again" / RUN / "run.json").exists()


def test_a_base_that_is_at_the_url_stays_as_it_is(store, url, tmp_path):
    """It may be newer there than here."""
    pushed(store, url)
    path = make_run(store.root, "d", "lora")
    base = BaseRecord(run=RUN, step=2, sha256="0" * 64)
    write_record(path, read_record(path).model_copy(update={"base": base}))
    shutil.rmtree(store.root / RUN / "checkpoints/00000002")
    assert sorted(pushed(store, url, "d/lora").folders) == ["d", "d/lora"]
    pulled(tmp_path / "again", url)
    assert (tmp_path / "again" / RUN / "checkpoints/00000002").exists()


def test_exports_inside_a_run_are_not_pushed(store, url, tmp_path):
    (store.root / RUN / "hub").mkdir()
    (store.root / RUN / "hub/README.md").write_text("a card")
    pushed(store, url)
    pulled(tmp_path / "again", url)
    assert (tmp_path / "again" / RUN / "run.json").exists() and not (tmp_path / "again" / RUN / "hub").exists()


@pytest.mark.parametrize("options", [{}, {"force": True}, {"data": False}])
@pytest.mark.parametrize("here", ["nothing", "data", "all", "newer"])
def test_a_dry_run_lists_what_is_pulled(store, url, tmp_path, here, options):
    pushed(store, url)
    root = tmp_path / "mine"
    if here in ("all", "newer"):
        pulled(root, url)
    elif here == "data":
        shutil.copytree(store.root / "d", root / "d", ignore=shutil.ignore_patterns("r"))
    if here == "newer":
        record = root / RUN / "run.json"
        record.write_text(record.read_text().replace('"updated": "2', '"updated": "9'))
    listed = would_pull(root, url, **options)
    assert listed == pulled(root, url, **options).pulled
    assert ("d" in listed) == (here == "nothing" and options.get("data", True))


def test_a_pull_of_data_that_was_killed_is_repeated(store, url, tmp_path):
    pushed(store, url)
    left = tmp_path / "mine/d/.pulled.tmp"
    left.mkdir(parents=True)
    (left / "dataset.h5").write_bytes(b"ha")
    assert pulled(tmp_path / "mine", url).pulled == ["d", RUN]
    assert (tmp_path / "mine/d/dataset.h5").read_bytes() == b"data" and not left.exists()


def test_data_that_another_process_makes_meanwhile_are_kept(store, url, tmp_path, monkeypatch):
    pushed(store, url)
    folder = tmp_path / "mine/d"
    real = pull.locked

    @contextmanager
    def locked_after_waiting(path, console):
        with real(path, console) as waited:
            if path == folder:
                (folder / "dataset.h5").write_bytes(b"made here")
            yield waited

    monkeypatch.setattr(pull, "locked", locked_after_waiting)
    assert "d" in pulled(tmp_path / "mine", url).kept
    assert (folder / "dataset.h5").read_bytes() == b"made here"


def test_old_contents_go_after_the_next_push_but_one(store, url, tmp_path):
    objects = tmp_path / "there" / RUN / ".seqrl" / "objects"
    counts = []
    for step in range(3, 9):
        train(store.root / RUN, step)
        pushed(store, url)
        counts.append(len(list(objects.iterdir())))
    assert counts[-1] == counts[-2]  # no more than two manifests name


@pytest.mark.parametrize(
    "path",
    ["../outside", "/etc/passwd", "checkpoints/../../outside", ".lock", "checkpoints/.x", "a\\b", "strange", "d/x", ""],
)
def test_hostile_manifests_are_refused(store, url, tmp_path, path):
    pushed(store, url)
    manifest = tmp_path / "there" / RUN / ".seqrl" / "manifest.json"
    values = json.loads(manifest.read_text())
    values["files"][path] = values["files"]["config.yaml"]
    manifest.write_text(json.dumps(values))
    with pytest.raises(SeqrlError, match="which no run has"):
        pulled(tmp_path / "again", url)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"schema_version": 1, "files": []}', '{"schema_version": 9}']
)
def test_damaged_manifests_are_named(store, url, tmp_path, content):
    pushed(store, url)
    (tmp_path / "there" / RUN / ".seqrl" / "manifest.json").write_text(content)
    with pytest.raises(SeqrlError, match=r"manifest of .* is damaged|by a newer seqrl"):
        pulled(tmp_path / "again", url)


def test_wrong_urls_are_named(store, tmp_path):
    with pytest.raises(UsageError, match="nothing://x is not a URL"):
        pushed(store, "nothing://x")
    with pytest.raises(SeqrlError, match="no run was pushed"):
        pulled(tmp_path / "again", (tmp_path / "nowhere").as_uri())
    (tmp_path / "file").write_text("")
    with pytest.raises(SeqrlError, match="cannot be reached|no such place"):
        pushed(store, (tmp_path / "file" / "below").as_uri())
    pushed(store, (tmp_path / "there").as_uri())
    with pytest.raises(UsageError, match="unknown run at the URL 'd/s'"):
        pulled(tmp_path / "again", (tmp_path / "there").as_uri(), "d/s")


def test_passwords_in_urls_are_not_shown():
    assert shown_url("s3://key:secret@host/bucket/?token=x") == "s3://host/bucket"
    assert shown_url("abfs://container@account/path/") == "abfs://container@account/path"
    assert shown_url("s3://key:se/cr@et@host/bucket") == "s3://host/bucket"
    assert shown_url("https://token@host/x") == "https://host/x" and shown_url("http://[x") == "http://[x"
    for plain in ("file:///tmp/a@b/c", "https://host:8080/a@b", "https://host/@user"):
        assert shown_url(plain) == plain
    words = ("train", "d", "--push=s3://key:secret@host/b", "--name", "s3://host/b")
    assert public_words(words) == ["train", "d", "--push=s3://host/b", "--name", "s3://host/b"]
    assert "secret" not in typed_command("--push=s3://key:secret@host/b,s3://other:secret@host/b")


def test_runs_are_followed_until_they_are_over(store, url, tmp_path):
    """A checkpoint is pushed when it is there, and the rest at the end."""
    steps = iter([3, 4])

    def is_over(seconds: float) -> bool:
        step = next(steps, None)
        if step is not None:
            train(store.root / RUN, step)
        return step is None

    request = push.PushRequest(store, (RUN,), url, is_over=is_over)
    push.run(request, Console(quiet=True))
    pulled(tmp_path / "again", url)
    assert contents(tmp_path / "again" / RUN) == contents(store.root / RUN)


@pytest.fixture
def failing(monkeypatch) -> Callable[[int, Exception], None]:
    """A function that lets the next writes to a URL fail."""
    original = type(fsspec.filesystem("file")).pipe_file

    def fail(times: int, error: Exception) -> None:
        left = iter(range(times))

        def pipe_file(self, path, value, **options):
            if next(left, None) is not None:
                raise error
            original(self, path, value, **options)

        monkeypatch.setattr(type(fsspec.filesystem("file")), "pipe_file", pipe_file)

    return fail


@pytest.mark.parametrize("is_over", [None, lambda seconds: True], ids=["by hand", "after training"])
def test_a_last_push_that_fails_is_tried_again_after_growing_waits(store, url, tmp_path, failing, is_over):
    waits: list[float] = []
    failing(3, ConnectionError("try later"))
    printed = io.StringIO()
    request = push.PushRequest(store, (RUN,), url, is_over=is_over, wait=waits.append)
    push.run(request, Console(quiet=True, stderr=printed))
    assert waits == [2, 5, 15] and printed.getvalue().count("try later; another attempt follows in") == 3
    pulled(tmp_path / "again", url)
    assert contents(tmp_path / "again") == contents(store.root)


def test_a_last_push_is_given_up_after_a_minute(store, url, failing):
    waits: list[float] = []
    failing(100, ConnectionError("try later"))
    with pytest.raises(UnreachableError, match="cannot be reached: ConnectionError: try later"):
        push.run(push.PushRequest(store, (RUN,), url, wait=waits.append), Console(quiet=True))
    assert waits == sorted(waits) and 30 < sum(waits) < 90


class NoCredentialsError(Exception):
    """Named like an error of botocore's."""


@pytest.mark.parametrize("error", [PermissionError("no"), NoCredentialsError("who are you?"), FileNotFoundError("no")])
def test_what_does_not_pass_by_itself_is_not_tried_again(store, url, failing, error):
    waits: list[float] = []
    failing(100, error)
    with pytest.raises(SeqrlError, match="does not let this machine|no such place"):
        push.run(push.PushRequest(store, (RUN,), url, wait=waits.append), Console(quiet=True))
    assert not waits


def replaced(path, what: str) -> None:
    """Put something else in the place of a file."""
    content = path.read_bytes()
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "longer":
        path.write_bytes(content + bytes(9 * 2**20))
    elif what == "too large":
        path.write_bytes(b" " * (2**24 + 1))


@pytest.mark.parametrize(
    ("what", "says"), [("pipe", "a pipe"), ("device", "a device"), ("too large", "more than the 16,777,216")]
)
def test_a_manifest_that_is_no_file_of_ours_is_not_read(store, url, tmp_path, what, says):
    pushed(store, url)
    replaced(tmp_path / "there" / RUN / ".seqrl/manifest.json", what)
    with pytest.raises(SeqrlError, match=says):
        pulled(tmp_path / "again", url)
    assert not (tmp_path / "again" / RUN).exists()


@pytest.mark.parametrize(
    ("what", "says"),
    [("pipe", "a pipe"), ("device", "a device"), ("longer", "are damaged"), ("missing", "are missing")],
)
def test_contents_that_are_no_file_or_longer_than_stated_are_not_copied(store, url, tmp_path, what, says):
    pushed(store, url)
    manifest = json.loads((tmp_path / "there" / RUN / ".seqrl/manifest.json").read_text())
    digest = manifest["files"]["metrics.jsonl"]["sha256"]
    replaced(tmp_path / "there" / RUN / ".seqrl/objects" / digest, what)
    with pytest.raises(SeqrlError, match=says):
        pulled(tmp_path / "again", url)
    assert not contents(tmp_path / "again" / RUN)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"size": ', '"size": 1e999, "x": ', 1),
        lambda text: text.replace('"run.json"', '"checkpoints/last/x"', 1),
        lambda text: text.replace('"run.json"', f'"{"n" * 5000}/.."', 1),
    ],
)
def test_a_manifest_of_what_no_run_has_is_refused(store, url, tmp_path, change):
    pushed(store, url)
    path = tmp_path / "there" / RUN / ".seqrl/manifest.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(SeqrlError, match="the manifest of .* (is damaged|names '.{,121}', which no run has)") as caught:
        pulled(tmp_path / "again", url)
    assert caught.value.hint and not contents(tmp_path / "again" / RUN)


@pytest.mark.parametrize(("url", "says"), [("memory://x", "is forgotten"), ("file://", "names no place")])
def test_urls_that_keep_nothing(store, url, says):
    with pytest.raises(UsageError, match=says):
        pushed(store, url)
