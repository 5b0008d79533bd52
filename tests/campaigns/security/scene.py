"""What the checks share: canaries, a copy of the run directory, and what changed around it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.campaigns.common import PATIENCE, Outcome
from tests.campaigns.forked import forked
from tests.campaigns.judge import judge
from tests.campaigns.specimens import DATASET, Specimens

GPT, ODT, ONLINE = f"{DATASET}/gpt-s42", f"{DATASET}/odt-s42", f"{DATASET}/odt-s42-online"


def copy_runs(specimens: Specimens, folder: Path) -> Path:
    """A copy of the run directory, ``folder/runs``."""
    return Path(shutil.copytree(specimens.folder / "runs", folder / "runs"))


def run(words: Sequence[str], folder: Path, prepare: Callable[[], object] = lambda: None) -> Outcome:
    """Run a command in ``folder``, which Python also imports from, as ``python -m seqrl_cli`` does there."""

    def act() -> None:
        from seqrl_cli.__main__ import main

        sys.path.insert(0, str(folder))
        prepare()
        sys.argv = ["seqrl", *words]
        main()

    return forked(act, folder, PATIENCE)


def tree(folder: Path, *, without: str = "") -> dict[str, str]:
    """Each path below a folder with its kind and content; links are not followed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if without and (name == without or name.startswith(f"{without}/")):
            continue
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_dir():
            found[name] = "folder"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def difference(before: dict[str, str], after: dict[str, str]) -> str:
    """What appeared, vanished or changed; empty for nothing."""
    changed = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    return f"changed: {', '.join(changed[:5])}" if changed else ""


def problems(outcome: Outcome, *others: str) -> str:
    """The first of these that is wrong, then what is wrong with the outcome itself."""
    return next((problem for problem in (*others, judge(outcome)) if problem), "")


def fired(canary: Path) -> str:
    """Whether the canary came into being."""
    return f"code ran: {canary.name} exists" if canary.exists() or canary.is_symlink() else ""
