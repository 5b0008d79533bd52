"""Write anew what `test_ours` compares with: ``python -m tests.golden.record_ours [CASE ...]``.

Only for a change that is meant to change numbers; its commit message says which and why.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.golden.ours import CASES, FOLDER, MACHINE, compute, machine


def main(names: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    here = json.dumps(machine(), indent=2) + "\n"
    if names and here != MACHINE.read_text(encoding="utf-8"):
        sys.exit("the others were recorded on another machine: record all")
    MACHINE.write_text(here, encoding="utf-8")
    for name in names or CASES:
        with tempfile.TemporaryDirectory() as folder:
            np.savez_compressed(FOLDER / f"{name}.npz", **compute(CASES[name], Path(folder)))
        print(f"{name}: {(FOLDER / f'{name}.npz').stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
