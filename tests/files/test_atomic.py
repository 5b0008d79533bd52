import errno
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.atomic import (
    atomic_path,
    make_folder,
    remove_stale_temporaries,
    write_json_atomic,
    write_text_atomic,
)
from seqrl_cli.runs.lock import locked


def test_text_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    write_text_atomic(target, "one")
    write_text_atomic(target, "two")
    assert target.read_text() == "two"
    assert os.listdir(target.parent) == ["file.txt"]


def test_failure_keeps_the_old_content_and_removes_the_temporary_file(tmp_path):
    target = tmp_path / "file.gif"
    write_text_atomic(target, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as temporary:
        temporary.write_text("half")
        assert temporary.suffix == ".gif"
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.gif"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError("Can't write data (file write failed: errno = 28, error message = 'No space left')"), "disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only"),
    ],
)
def test_machine_faults_become_sentences(tmp_path, error, words):
    with pytest.raises(SeqrlError, match=words) as caught, atomic_path(tmp_path / "file"):
        raise error
    assert str(tmp_path / "file") in caught.value.message and caught.value.hint


def test_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(SeqrlError, match="a file is where a folder should be"):
        make_folder(tmp_path / "runs" / "below")


@pytest.mark.parametrize("name", ["n" * 300, f"{'n' * 300}/file", "a/" * 3000 + "file", "loop/file", "loop/a/file"])
def test_a_name_that_cannot_be_is_a_mistake_of_usage(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="the name is too long|a link leads to itself") as caught:
        write_text_atomic(tmp_path / name, "text")
    assert len(caught.value.message) < 250


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SeqrlError, match="permission denied"):
        write_text_atomic(tmp_path / "file", "text")


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json_atomic(tmp_path / "file.json", {"loss": float("nan")})
    assert os.listdir(tmp_path) == []


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    program = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from seqrl_cli.files.atomic import atomic_path
        with atomic_path(Path(sys.argv[1])) as temporary:
            temporary.write_text("half of the n")
            print("writing", flush=True)
            sys.stdin.read()
    """)
    command = [sys.executable, "-c", program, str(target)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    (left,) = set(os.listdir(tmp_path)) - {"file.txt"}
    remove_stale_temporaries(tmp_path)
    write_text_atomic(target, "newer")
    assert left in os.listdir(tmp_path), "the writer lives"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert target.read_text() == "newer"
    write_text_atomic(target.with_name("other"), "")
    assert left in os.listdir(tmp_path), "another file's"
    write_text_atomic(target, "newest")
    assert sorted(os.listdir(tmp_path)) == ["file.txt", "other"]


def test_who_locks_a_folder_sweeps_what_killed_processes_left(tmp_path):
    kept = [".part", ".episode-1.tmp", ".lock", "own-abcdefgh.tmp.h5", ".hidden-abcdefgh.tmpx"]
    left = [".dataset-abcdefgh.tmp.h5", ".last-a_9zzzzz.tmp", ".run-01234567.tmp.json"]
    for folder in (tmp_path, tmp_path / "checkpoints", tmp_path / "run"):
        folder.mkdir(exist_ok=True)
        for name in (*kept, *left):
            (folder / name).touch()
    (tmp_path / "checkpoints" / ".lock").unlink()
    (tmp_path / ".link-abcdefgh.tmp").symlink_to(tmp_path)
    with locked(tmp_path):
        assert not set(left) & set(os.listdir(tmp_path)) and set(kept) <= set(os.listdir(tmp_path))
        assert not set(left) & set(os.listdir(tmp_path / "checkpoints"))
        assert set(left) <= set(os.listdir(tmp_path / "run")), "it has a lock of its own"


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_is_never_replaced(tmp_path, kind):
    """The superuser may rename a file over ``/dev/null``; a link stands for it here."""
    target = tmp_path / "file.csv"
    target.symlink_to("/dev/null") if kind == "device" else os.mkfifo(target)
    with pytest.raises(UsageError, match=f"file.csv: it is a {kind}, not a file"):
        write_text_atomic(target, "text")
    assert os.listdir(tmp_path) == ["file.csv"] and not target.is_file()
