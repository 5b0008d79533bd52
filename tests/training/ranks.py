"""One of several processes that train tiny models together: ``… -m tests.training.ranks FOLDER RANK SIZE CASE …``.

A case is a name for ``make_case``, perhaps with what happens: ``gpt@kill7`` kills this process, if it is the last one,
after seven updates, and ``gpt@stop7`` sends it SIGTERM. The checkpoints of a case are written to a folder of its name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from seqrl_cli.training.distributed import joined
from seqrl_cli.training.placement import Placement
from tests.training.rank_cases import make_case


def main(folder: Path, placement: Placement, names: Sequence[str]) -> None:
    torch.set_num_threads(1)
    with joined(placement, torch.device("cpu")) as world:
        for name in names:
            case_name, _, event = name.partition("@")
            case = make_case(case_name)
            updates = 0

            def stop(event: str = event) -> bool:
                nonlocal updates
                updates += 1
                if event[4:] == str(updates) and placement.rank == placement.size - 1:
                    os.kill(os.getpid(), signal.SIGKILL if event.startswith("kill") else signal.SIGTERM)
                return False

            outcome = case.fit(folder / case_name, world, should_stop=stop)
            if world.leads:
                print(name, outcome.first_step, outcome.step, "interrupted" if outcome.interrupted else "done")


def start(folder: Path, size: int, names: Sequence[str]) -> list[subprocess.Popen[str]]:
    """Start all processes of a world."""
    folder.mkdir(parents=True, exist_ok=True)
    meeting = folder / f"meeting-{len(list(folder.iterdir()))}"
    program = [sys.executable, "-m", "tests.training.ranks", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return [
        subprocess.Popen(
            [*program, str(rank), str(size), meeting.as_uri(), *names],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def run(folder: Path, size: int, names: Sequence[str]) -> list[str]:
    """Train the cases in some processes, and return the lines that the leader printed."""
    processes = start(folder, size, names)
    try:
        with ThreadPoolExecutor(size) as pool:  # at once, since one that cannot write stops all
            texts = list(pool.map(lambda one: one.communicate(timeout=900), processes))
    finally:
        for one in processes:
            one.kill()
    assert not any(one.returncode for one in processes), [error[-2000:] for _, error in texts]
    return texts[0][0].splitlines()


if __name__ == "__main__":
    where, rank, size, rendezvous, *cases = sys.argv[1:]
    main(Path(where), Placement(int(rank), int(size), int(rank), int(size), rendezvous), cases)
