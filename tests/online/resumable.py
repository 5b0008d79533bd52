"""Fine-tune in a process that kills itself: ``python -m tests.online.resumable FOLDER MOMENT N``.

It dies at its N-th ``step`` of an environment, after its N-th ``update``, or at its N-th ``write``: the opening of a
temporary file to be written or synced, or of the metrics to be appended to.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

from seqrl_cli.online.context import CollectEpisodes, FinetuneContext
from seqrl_cli.online.loop import FinetuneOutcome
from tests.online.fixtures import finetune_context, small_settings, tune


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_write(number: int) -> None:
    writes = count(1)

    def notice(event: str, arguments: tuple) -> None:
        name = str(arguments[0]) if event == "open" else ""
        if (".tmp" in name or name.endswith("metrics.jsonl")) and next(writes) == number:
            die()

    sys.addaudithook(notice)


def dying_at_step(context: FinetuneContext, number: int) -> FinetuneContext:
    steps = count(1)

    def mortal(play: CollectEpisodes) -> CollectEpisodes:
        def play_on(iteration: int, on_step):
            def step():
                on_step()
                if next(steps) == number:
                    die()

            return play(iteration, step)

        return play_on

    return replace(context, explore=mortal(context.explore), evaluate=mortal(context.evaluate))


def run(folder: Path, moment: str = "", number: int = 0) -> FinetuneOutcome:
    updates = count(1)
    context = finetune_context(folder)
    if moment == "step":
        context = dying_at_step(context, number)
    if moment == "write":
        die_at_write(number)

    def on_progress(progress) -> None:
        if moment == "update" and next(updates) == number:
            die()

    return tune(folder, small_settings(), context, on_progress=on_progress)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
