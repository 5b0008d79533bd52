"""The C++ is compiled once, into the user's cache, and what is missing or broken is told in a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seqrl_cli.errors import UsageError
from seqrl_cli.models.build import build_decoder, build_model
from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.gpt.decoder import GPTDecoder
from seqrl_cli.models.gpt.native_decoder import NativeGPTDecoder
from seqrl_cli.models.native import library

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


def test_compiled_once(cache, tmp_path, monkeypatch):
    real, log = library.find_compiler(), tmp_path / "log"
    compiler_that(f'echo "$@" >> {log}; exec {real} "$@"', tmp_path, monkeypatch)
    library.load()
    assert len(list(cache.glob("*.so"))) == 1
    calls = log.read_text()
    assert "-shared" in calls
    library.outcome.cache_clear()
    library.load()
    assert "-shared" not in log.read_text().removeprefix(calls)


@pytest.mark.parametrize("damage", ["truncate", "cut", "foreign"])
def test_a_library_that_cannot_be_trusted_is_compiled_again(cache, damage, tmp_path, monkeypatch):
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
def test_a_cache_that_cannot_be_written_is_done_without(cache, tmp_path, monkeypatch, home):
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
