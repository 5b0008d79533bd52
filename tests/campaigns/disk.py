"""Fill a small disk to a level, run a command that writes to it, and see that nothing breaks.

``python -m tests.campaigns.disk --seed N [--trials N]``; it mounts file systems in memory, so it needs root. The
command must end well or say in a sentence that the disk is full; what was there must stay whole, nothing may be left
over, and with more space the same command must do what it does on a large disk.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
from pathlib import Path

from tests.campaigns.common import MAX_SECONDS, Outcome, Trial, main, run_program, verdict
from tests.campaigns.writers import (
    COMMANDS,
    LOCKS,
    contents,
    differences,
    disk_use,
    fresh,
    litter,
    reference,
    run,
    small_disk,
    workplace,
)

LEVELS = 10
"""Levels per command and seed: nine of free bytes, and one of files and folders that may still be made."""

EVERY = 19
"""How many trials there are to one of the real executable; the others are forks of this process."""

PAGE = 4096


def attempt(folder: Path, name: str, share: float, what: str, executable: bool) -> str:
    """Run a command on a disk that is too small, and again on one that is large enough."""
    expected = reference(name)
    with small_disk(folder) as disk:
        fresh(disk)
        before, raw = contents(disk), raw_contents(disk)
        fill(disk, int(share * (expected.bytes_ if what == "bytes" else expected.inodes)), what)
        outcome = run_program(COMMANDS[name], disk) if executable else run(COMMANDS[name], disk)
        if problem := misbehaviour(outcome):
            return problem
        # What succeeds may remove what it replaces, as the reference does; what fails may not.
        kept = before if outcome.code else {path: text for path, text in before.items() if path in expected.files}
        if problem := damage(disk, kept, raw, expected.files):
            return problem
        if outcome.code:
            subprocess.run(["mount", "-o", "remount,size=512m,nr_inodes=50000", str(disk)], check=True)
            again = run(COMMANDS[name], disk)
            if again.code:
                return f"with more space it ends with {again.code}: {again.stderr.strip()[-300:]}"
        return differences(disk, expected.files)


def fill(disk: Path, free: int, what: str) -> None:
    """Leave so many bytes, or files and folders, on the file system."""
    used, inodes = disk_use(disk)
    size = max(used + free // PAGE * PAGE, PAGE)
    option = f"size={size}" if what == "bytes" else f"nr_inodes={inodes + free}"
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


def misbehaviour(outcome: Outcome) -> str:
    """What is wrong with how a command ended: it must succeed or say that the disk is full."""
    if problem := verdict(outcome, codes=(0, 1), seconds=MAX_SECONDS):
        return problem
    if outcome.code and "the disk is full" not in outcome.stderr:
        return f"another reason is given: {outcome.stderr.strip()[-300:]}"
    return ""


def raw_contents(folder: Path) -> dict[str, str]:
    """Hashes of all files' bytes, by name."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in LOCKS]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def damage(disk: Path, before: dict[str, str], raw: dict[str, str], expected: dict[str, str]) -> str:
    """What a command did on a full disk to what was there, and what it left over."""
    now = contents(disk)
    changed = [path for path, text in raw_contents(disk).items() if path in raw and text != raw[path]]
    problems = [f"lost: {path}" for path in before.keys() - now.keys()]
    problems += [f"torn: {path}" for path, text in now.items() if text == "torn"]
    problems += [
        f"changed: {path}"
        for path in changed
        if now[path] not in (before.get(path), expected.get(path)) and not path.endswith((".json", ".jsonl"))
    ]
    return "; ".join(sorted([*problems, *(f"left over: {path}" for path in litter(disk))]))


def trials(seed: int) -> list[Trial]:
    """Levels for each command, drawn from nothing to a little more than it needs."""
    random_ = random.Random(seed)
    found = []
    for level in range(LEVELS):
        for name in COMMANDS:
            what = "inodes" if level == LEVELS - 1 else "bytes"
            share, executable = round(random_.uniform(0.0, 1.05), 4), not len(found) % EVERY
            text = f"{name}{' (executable)' * executable}, {share:.1%} of the {what} that it needs"
            found.append(
                Trial(
                    text,
                    lambda folder, name=name, share=share, what=what, executable=executable: attempt(
                        folder, name, share, what, executable
                    ),
                )
            )
    return found


if __name__ == "__main__":
    with workplace():
        main("disk", trials)
