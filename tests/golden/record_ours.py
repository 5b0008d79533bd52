"""Write anew what `test_ours` and `test_old_runs` compare with: ``python -m tests.golden.record_ours [CASE ...]``.

Only for a change that is meant to change numbers; its commit message says which and why.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.golden.old_runs import copy_runs, go_on
from tests.golden.ours import CASES, FOLDER, MACHINE, compute, machine

OLD = "old-runs"


def main(names: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    this_machine = json.dumps(machine(), indent=2) + "\n"
    if names and this_machine != MACHINE.read_text(encoding="utf-8"):
        sys.exit("the others were recorded on another machine: record all")
    recorded = {name: computed(name) for name in names or (*CASES, OLD)}  # all of them, before the first is replaced
    MACHINE.write_text(this_machine, encoding="utf-8")
    for name, found in recorded.items():
        np.savez_compressed(FOLDER / f"{name}.npz", **found)
        print(f"{name}: {(FOLDER / f'{name}.npz').stat().st_size:,} bytes")


def computed(name: str) -> dict[str, np.ndarray]:
    """The arrays of a case, made in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        return go_on(copy_runs(Path(folder))) if name == OLD else compute(CASES[name], Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
