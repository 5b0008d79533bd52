"""Hostile pickles in every carrier, through the command line."""

from __future__ import annotations

import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.campaigns.common import Trial
from tests.campaigns.security.scene import DATASET, fired, problems, run
from tests.campaigns.specimens import Specimens
from tests.data.files import raw_arrays, write_npz
from tests.interop.hostile import TRUNCATED, live, twisted
from tests.interop.spelling import legacy_file, zip_file

Carrier = Callable[[Specimens, Path, bytes], list[str]]


def _pickle(specimens: Specimens, folder: Path, program: bytes) -> list[str]:
    (folder / "a.pkl").write_bytes(program)
    return ["download", "./a.pkl"]


def _npz(specimens: Specimens, folder: Path, program: bytes) -> list[str]:
    """An array of objects, whose data is a pickle."""
    write_npz(folder / "a.npz", raw_arrays(20, rewards=None))
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (20,), }\n"
    with zipfile.ZipFile(folder / "a.npz", "a") as archive:
        archive.writestr("rewards.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + program)
    return ["info", "./a.npz"]


def _in_checkpoint(name: str, wrap: Callable[[bytes], bytes], project: int) -> Carrier:
    def carry(specimens: Specimens, folder: Path, program: bytes) -> list[str]:
        shutil.copytree(specimens.checkpoints[project], folder / "a")
        (folder / "a" / name).write_bytes(wrap(program))
        return ["import", "./a", "--dataset", DATASET, "--dry-run"]

    return carry


CARRIERS: dict[str, Carrier] = {
    "pickle of episodes": _pickle,
    "npz": _npz,
    "weights, zip": _in_checkpoint("state_7.pt", zip_file, 0),
    "weights, legacy": _in_checkpoint("state_7.pt", legacy_file, 1),
    "model's configuration": _in_checkpoint("model_config.pkl", bytes, 0),
    "data's configuration": _in_checkpoint("data_config.pkl", bytes, 1),
    "bin edges": _in_checkpoint("discretizer.pt", zip_file, 2),
}


def trials(specimens: Specimens) -> Iterator[Trial]:
    """Every program that runs in Python's own unpickler in every carrier, and the twisted ones in turn."""
    for carrier in CARRIERS:
        for what in live(Path("canary")):
            yield Trial(f"{what} in {carrier}", partial(_live, specimens, carrier, what))
    lying = {**{what: program for what, (program, _) in twisted().items()}, **TRUNCATED}
    for number, (what, program) in enumerate(lying.items()):
        carrier = list(CARRIERS)[number % len(CARRIERS)]
        yield Trial(f"{what} in {carrier}", partial(_attempt, specimens, carrier, program))


def _live(specimens: Specimens, carrier: str, what: str, folder: Path) -> str:
    return _attempt(specimens, carrier, live(folder / "canary")[what][0], folder)


def _attempt(specimens: Specimens, carrier: str, program: bytes, folder: Path) -> str:
    words = CARRIERS[carrier](specimens, folder, program)
    outcome = run(words, folder)
    return problems(outcome, fired(folder / "canary"), "" if outcome.code else "it was accepted")
