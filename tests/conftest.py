"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

# One thread a test process: tests run side by side, and threads that wait for each other cost more than they bring.
# Whatever the shell says: sums depend on it, and what one process began another must end with the same bits.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest

from seqrl_cli.envs import trust
from seqrl_cli.files.locks import FileLock

# A shell starts what runs in the background with Ctrl-C ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def own_memory_of_environments(tmp_path_factory) -> Iterator[None]:
    """Environments that tests name are not remembered in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trust, "_memory", lambda: tmp_path_factory.getbasetemp() / "environments.json")
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A function that fills a folder of this name, in one of the processes that run tests, and gives it to them all.

    Nothing may be written to the folder afterwards.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        folder = shared / "made-once" / name
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(Path(f"{folder}.lock")):
            if not Path(f"{folder}.done").exists():
                fill(folder)
                Path(f"{folder}.done").touch()
        return folder

    return make


@pytest.fixture(scope="session")
def golden_file() -> Callable[[str], Path]:
    """A function that gives the path of one golden file: from $SEQRL_GOLDEN, else from the tests themselves.

    The tests' own folder is whole, so that a missing file fails the test; another folder may lack files.
    """
    other = os.environ.get("SEQRL_GOLDEN")
    folder = Path(other) if other else Path(__file__).parent / "golden" / "data"

    def find(name: str) -> Path:
        path = folder / name
        if other and not path.exists():
            pytest.skip(f"no {name} in $SEQRL_GOLDEN = {other}")
        assert path.exists(), f"no {path}"
        return path

    return find


@pytest.fixture(params=["torch", "native"])
def gpt_decoder(request):
    """Each of the classes that decode a GPT; the compiled one where there is a compiler."""
    from seqrl_cli.models.gpt.decoder import GPTDecoder
    from seqrl_cli.models.gpt.native_decoder import NativeGPTDecoder
    from seqrl_cli.native.library import available

    if request.param == "torch":
        return GPTDecoder
    if not available():
        pytest.skip("no C++ compiler")
    return NativeGPTDecoder
