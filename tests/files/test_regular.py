import os
import socket
from pathlib import Path

import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.hdf5 import open_hdf5
from seqrl_cli.files.regular import (
    NotRegularError,
    TextError,
    TooLargeError,
    contains,
    open_own,
    open_regular,
    read_bytes,
    read_text,
    user_path,
)


@pytest.fixture(params=["pipe", "folder", "device", "link to a device", "socket"])
def special(request, tmp_path):
    """A path that leads to no file, and what it is called."""
    path = tmp_path / "x.h5"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "device":
        return os.path.devnull, "device"
    elif request.param == "link to a device":
        path.symlink_to("/dev/zero")
    else:
        socket.socket(socket.AF_UNIX).bind(str(path))
    return path, request.param.removeprefix("link to a ")


def test_what_is_no_file_is_named_and_not_opened(special, tmp_path):
    path, kind = special
    path = tmp_path / path
    with pytest.raises(NotRegularError) as caught:
        open_regular(path)
    assert caught.value.strerror == f"it is a {kind}, not a file"
    with pytest.raises(NotRegularError):
        open_own(path, "ab")
    with pytest.raises(SeqrlError, match=f"it is a {kind}, not a file"), open_hdf5(path, ""):
        pass


def test_links_to_files_are_read_through_but_not_written_through(tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    assert read_bytes(tmp_path / "link", 10) == b"mine"
    for name in ("link", "lost"):
        for mode in ("wb", "ab", "r+b"):
            with pytest.raises(NotRegularError, match="link"):
                open_own(tmp_path / name, mode)
    assert (tmp_path / "file").read_bytes() == b"mine" and not (tmp_path / "nowhere").exists()


def test_own_files_are_written(tmp_path):
    for mode, content in {"wb": b"one", "ab": b"two", "r+b": b"T"}.items():
        with open_own(tmp_path / "file", mode) as file:
            file.write(content)
    assert (tmp_path / "file").read_bytes() == b"Tnetwo"
    with open_own(tmp_path / "file", "wb"):
        pass
    assert (tmp_path / "file").read_bytes() == b""


def test_no_more_than_the_limit_is_read(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(TooLargeError) as caught:
        read_bytes(tmp_path / "sparse", 1000)
    assert caught.value.strerror == "it has 1,099,511,627,776 bytes, more than the 1,000 that such a file may have"


def test_whether_a_file_has_exactly_this_content(tmp_path, special):
    (tmp_path / "file").write_bytes(b"mine")
    assert contains(tmp_path / "file", b"mine")
    assert not contains(tmp_path / "file", b"min") and not contains(tmp_path / "file", b"mine?")
    assert not contains(tmp_path / "none", b"") and not contains(tmp_path / special[0], b"")


@pytest.mark.parametrize("content", [b"a\nb\n", b"a\r\nb\r\n", b"\xef\xbb\xbfa\nb\n", b"a\rb\r"])
def test_line_ends_and_byte_order_marks(tmp_path, content):
    (tmp_path / "text").write_bytes(content)
    assert read_text(tmp_path / "text") == "a\nb\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("seed: 1\n".encode("utf-16"), "text in UTF-16, not in UTF-8; save it again"),
        (b"a: 1\nb: \xe9t\xe9\n", r"not text in UTF-8 \(line 2 contains the byte 0xe9\)"),
    ],
)
def test_other_encodings_are_named(tmp_path, content, words):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(TextError, match=words):
        read_text(tmp_path / "text")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("~/a.npz", "/home/me/a.npz"), ("~", "/home/me"), ("~a.npz", "~a.npz"), ("./~a.npz", "~a.npz"), ("b/~a", "b/~a")],
)
def test_paths_as_users_type_them(monkeypatch, typed, meant):
    monkeypatch.setenv("HOME", "/home/me")
    assert user_path(typed) == Path(meant)
