"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# One thread a test process: tests run side by side, and threads that wait for each other cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

# A shell starts what runs in the background with Ctrl-C ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden numbers: $SEQRL_GOLDEN, else ../shared/golden beside the project."""
    folder = Path(os.environ.get("SEQRL_GOLDEN", Path(__file__).parents[2] / "shared" / "golden"))
    if not folder.is_dir():
        pytest.skip(f"no golden numbers at {folder}; set SEQRL_GOLDEN")
    return folder


@pytest.fixture(scope="session")
def golden_file(golden: Path):
    """A function that gives the path of one golden file, or skips the test when that file is absent."""

    def find(name: str) -> Path:
        path = golden / name
        if not path.exists():
            pytest.skip(f"no {name} in {golden}")
        return path

    return find


@pytest.fixture(params=["torch", "native"])
def gpt_decoder(request):
    """Each of the classes that decode a GPT; the compiled one where there is a compiler."""
    from seqrl_cli.models.gpt_decoder import GPTDecoder
    from seqrl_cli.models.native.decoder import NativeGPTDecoder
    from seqrl_cli.models.native.library import available

    if request.param == "torch":
        return GPTDecoder
    if not available():
        pytest.skip("no C++ compiler")
    return NativeGPTDecoder
