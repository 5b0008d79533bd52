"""Fill a small disk to a level, run a command that writes to it, and see that nothing breaks.

``python -m tests.campaigns.disk --seed N [--trials N]``; it mounts file systems in memory, so it needs root. The
command must end well or say in a sentence that the disk is full; what was there must stay whole, nothing may be left
over, and with more space the same command must do what it does on a large disk.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.campaigns.common import Trial, main, run_program, verdict
from tests.campaigns.kill import COMMANDS, contents, differences, fresh, prepared, reference

EACH = 12
"""Levels per command and seed, which makes 216 trials."""

SECONDS = 120.0


@contextmanager
def small_disk(folder: Path, name: str, share: float) -> Iterator[Path]:
    """What is prepared, on a file system with only a share of the space that a command needs."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(disk)], check=True)
    try:
        fresh(disk)
        used = shutil.disk_usage(disk).used
        resize(disk, used + int(share * needed(name)))
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def resize(disk: Path, size: int) -> None:
    """Change the size of the file system."""
    subprocess.run(["mount", "-o", f"remount,size={max(size, 4096)}", str(disk)], check=True)


def needed(name: str) -> int:
    """About how many bytes a command writes in all: twice its files, since temporary ones are beside them."""
    before = contents(prepared())
    expected = reference(name)
    changed = [size for path, size in expected.sizes.items() if before.get(path) != expected.files[path]]
    return 2 * sum(changed) + 4096 * len(changed)


def attempt(folder: Path, name: str, share: float) -> str:
    """Run a command on a disk that is too small, and again on one that is large enough."""
    with small_disk(folder, name, share) as disk:
        before = contents(disk)
        environment = {"SEQRL_RUNS": str(disk / "runs")}
        outcome = run_program(COMMANDS[name], disk, environment, SECONDS)
        if problem := verdict(outcome, codes=(0, 1), seconds=SECONDS):
            return problem
        if outcome.code and "the disk is full" not in outcome.stderr:
            return f"another reason is given: {outcome.stderr.strip()[-200:]}"
        if lost := before.keys() - contents(disk).keys():
            return f"lost: {sorted(lost)}"
        if left := [path for path in (disk / "runs").rglob(".*") if ".tmp" in path.name]:
            return f"left over: {left}"
        resize(disk, 2**30)
        outcome = run_program(COMMANDS[name], disk, environment, SECONDS)
        if outcome.code:
            return f"with more space it ends with {outcome.code}: {outcome.stderr.strip()[-200:]}"
        return differences(disk, contents(disk), reference(name).files)


def trials(seed: int) -> list[Trial]:
    """Levels for each command, drawn from none to a little more than it needs."""
    random_ = random.Random(seed)
    found = []
    for _ in range(EACH):
        for name in COMMANDS:
            share = round(random_.uniform(0.0, 1.1), 4)
            what = f"{name}, {share:.0%} of its space"
            found.append(Trial(what, lambda folder, name=name, share=share: attempt(folder, name, share)))
    return found


if __name__ == "__main__":
    try:
        main("disk", trials)
    finally:
        if prepared.cache_info().currsize:
            shutil.rmtree(prepared())
