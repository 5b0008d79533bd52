"""The C++ is compiled once, into the user's cache, and what is missing or broken is told in a sentence."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from seqrl_cli.errors import UsageError
from seqrl_cli.models.build import build_decoder, build_model
from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.gpt.decoder import GPTDecoder
from seqrl_cli.models.gpt.native_decoder import NativeGPTDecoder
from seqrl_cli.native import library

SIZES = dict(bins=5, observation_dim=2, action_dim=1, n_layer=1, n_head=1, width=8)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not library.available(), reason="no C++ compiler")]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and nothing loaded."""
    monkeypatch.setenv("HOME", str(tmp_path))
    library.outcome.cache_clear()
    yield tmp_path / ".cache" / "seqrl"
    library.outcome.cache_clear()


def gpt():
    return build_model("gpt", block_size=14, **SIZES).eval()


def compiler_that(script: str, folder: Path, monkeypatch) -> None:
    """Put a program in the compiler's place."""
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(library, "find_compiler", lambda: str(path))


def test_compiled_once_and_kept_for_its_user_alone(cache, tmp_path, monkeypatch):
    real, log = library.find_compiler(), tmp_path / "log"
    compiler_that(f'umask 0; echo "$@" >> {log}; exec {real} "$@"', tmp_path, monkeypatch)
    library.load()
    (kept,) = cache.glob("*.so")
    assert [path.stat().st_mode & 0o777 for path in (cache, kept, kept.with_suffix(".sha256"))] == [0o700, 0o700, 0o600]
    calls = log.read_text()
    assert "-shared" in calls
    library.outcome.cache_clear()
    library.load()
    assert "-shared" not in log.read_text().removeprefix(calls)


@pytest.mark.parametrize("damage", ["truncate", "cut", "foreign"])
def test_a_library_that_cannot_be_trusted_is_compiled_again(cache, quick, damage, tmp_path, monkeypatch):
    library.load()
    (whole,) = cache.glob("*.so")
    path = tmp_path / "other" / ".cache" / "seqrl" / whole.name
    path.parent.mkdir(parents=True)
    path.write_bytes(whole.read_bytes()[: {"truncate": 100, "cut": 1000}.get(damage)])
    path.with_suffix(".sha256").write_bytes(whole.with_suffix(".sha256").read_bytes())
    if damage == "foreign":
        if os.getuid():
            pytest.skip("only root can give files away")
        os.chown(path, 12345, -1)
    monkeypatch.setenv("HOME", str(tmp_path / "other"))
    library.outcome.cache_clear()
    library.load()
    assert path.stat().st_size == whole.stat().st_size and path.stat().st_uid == os.getuid()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    """The library, compiled once."""
    folder = tmp_path_factory.mktemp("compiled")
    library._library_in(folder, str(library.find_compiler()))
    return next(folder.glob("*.so"))


@pytest.fixture
def quick(compiled, monkeypatch):
    """A compiler that has compiled before."""

    def copy(compiler: str, path: Path) -> None:
        for suffix in (".so", ".sha256"):
            path.with_suffix(suffix).unlink(missing_ok=True)
            shutil.copy2(compiled.with_suffix(suffix), path.with_suffix(suffix))

    monkeypatch.setattr(library, "_compile", copy)


@pytest.fixture(scope="module")
def evil(tmp_path_factory) -> Path:
    """A library whose constructor leaves a file named by ``$EVIL``."""
    folder = tmp_path_factory.mktemp("evil")
    code = """
        #include <stdio.h>
        #include <stdlib.h>
        __attribute__((constructor)) static void run() { fclose(fopen(getenv("EVIL"), "w")); }
    """
    (folder / "evil.cpp").write_text(code)
    words = [str(library.find_compiler()), "-shared", "-fPIC", str(folder / "evil.cpp"), "-o", str(folder / "evil.so")]
    subprocess.run(words, check=True)
    return folder / "evil.so"


def plant(cache: Path, name: str, evil: Path, how: str) -> None:
    """Put the foreign library where ours is kept, with a hash that is right."""
    path = cache / name
    path.parent.mkdir(parents=True)
    digest = path.with_suffix(".sha256")
    digest.write_text(hashlib.sha256(evil.read_bytes()).hexdigest())
    if how == "a link":
        path.symlink_to(evil)
        return
    path.write_bytes(evil.read_bytes())
    path.chmod(0o755)
    if how == "a file that others can write":
        path.chmod(0o777)
    elif how == "a hash that others can write":
        digest.chmod(0o666)
    elif how == "a hash that is a link":
        digest.rename(cache / "elsewhere")
        digest.symlink_to(cache / "elsewhere")
    elif how == "a folder that others can write":
        cache.chmod(0o777)
    elif how == "a folder that the group can write":
        cache.chmod(0o770)
    elif os.getuid():
        pytest.skip("only root can give files away")
    elif how == "a foreign hash":
        os.chown(digest, 12345, -1)
    else:
        assert how == "a foreign link to a folder"
        cache.rename(cache.with_name("own"))
        cache.symlink_to(cache.with_name("own"))
        os.chown(cache, 12345, -1, follow_symlinks=False)


PLANTED = ("a link", "a file that others can write", "a hash that others can write", "a hash that is a link")
PLANTED += ("a foreign hash", "a folder that others can write", "a folder that the group can write")


@pytest.mark.parametrize("how", [*PLANTED, "a foreign link to a folder"])
def test_a_planted_library_is_not_loaded(cache, quick, evil, tmp_path, monkeypatch, how):
    name = f"seqrl-{library._fingerprint(library.find_compiler())}.so"
    plant(cache, name, evil, how)
    monkeypatch.setenv("EVIL", str(tmp_path / "was here"))
    warnings: list[str] = []
    assert isinstance(build_decoder(gpt(), Window(2), on_warning=warnings.append), NativeGPTDecoder)
    assert not (tmp_path / "was here").exists()
    assert len(warnings) == ("folder" in how)
    if warnings:
        assert str(cache) in warnings[0] and "chmod 700" in warnings[0]


def test_a_file_that_is_swapped_after_its_check_is_not_loaded(cache, quick, evil, tmp_path, monkeypatch):
    library.load()
    library.outcome.cache_clear()
    monkeypatch.setenv("EVIL", str(tmp_path / "was here"))
    load_from = library._load_from

    def swap(descriptor: int, path: Path):
        path.unlink()
        path.write_bytes(evil.read_bytes())
        return load_from(descriptor, path)

    monkeypatch.setattr(library, "_load_from", swap)
    library.load()
    assert not (tmp_path / "was here").exists()


def test_without_a_compiler_pytorch_decodes(cache, monkeypatch):
    monkeypatch.setattr(library, "find_compiler", lambda: None)
    warnings: list[str] = []
    assert isinstance(build_decoder(gpt(), Window(2), on_warning=warnings.append), GPTDecoder)
    assert "no C++ compiler" in warnings[0] and "install g++" in warnings[0]
    with pytest.raises(library.CompilationError, match="no C\\+\\+ compiler"):
        build_decoder(gpt(), Window(2), engine="native")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('echo "gpt.cpp:1: error: out of luck" >&2; exit 1', "out of luck"),
        ("printf 'gpt.cpp:1: Fehler: \\344\\n' >&2; exit 1", "Fehler"),
        ("exit 3", "exit code 3"),
    ],
)
def test_a_compiler_that_fails_is_quoted(cache, tmp_path, monkeypatch, script, reason):
    compiler_that(script, tmp_path, monkeypatch)
    with pytest.raises(library.CompilationError, match=reason):
        library.load()
    assert not list(cache.glob("*.so"))


def test_a_compiler_that_hangs_is_given_up(cache, tmp_path, monkeypatch):
    compiler_that("exec sleep 60", tmp_path, monkeypatch)
    monkeypatch.setattr(library, "TIMEOUT", 0.1)
    with pytest.raises(library.CompilationError, match="timed out"):
        library.load()


def test_a_compiler_that_cannot_be_run(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(library, "find_compiler", lambda: str(tmp_path / "nowhere"))
    with pytest.raises(library.CompilationError, match="nowhere"):
        library.load()


@pytest.mark.parametrize("home", ["a file in the way", "nobody's"])
def test_a_cache_that_cannot_be_written_is_done_without(cache, quick, tmp_path, monkeypatch, home):
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(aside))
    if home == "nobody's":
        monkeypatch.setattr(Path, "home", homeless)
    else:
        (tmp_path / ".cache").write_text("a file where the folder should be")
    library.load()
    assert not list(aside.iterdir())


def homeless() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_the_engine_is_chosen():
    assert isinstance(build_decoder(gpt(), Window(2)), NativeGPTDecoder)
    assert isinstance(build_decoder(gpt(), Window(2), engine="torch"), GPTDecoder)
    assert isinstance(build_decoder(gpt(), Window(2), "bf16"), GPTDecoder)
    with pytest.raises(UsageError, match="not in bf16"):
        build_decoder(gpt(), Window(2), "bf16", "native")
    with pytest.raises(UsageError, match="is for a GPU, not for cpu"):
        build_decoder(gpt(), Window(2), engine="graph")
    retnet = build_model("retnet", **SIZES)
    found = [build_decoder(retnet, None, engine=engine).compiled for engine in ("auto", "native", "torch")]
    assert found == [True, True, False]
    assert not build_decoder(retnet, None, "bf16").compiled
