"""Damaged and foreign files through the command line and the readers.

python -m tests.campaigns.files --seed 1
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.campaigns.common import Trial, main


def make_trials(folder: Path, seed: int) -> list[Trial]:
    """All trials, with the whole files that they damage below ``folder``."""
    from tests.campaigns.files import commands, places, readers, rooms, words
    from tests.campaigns.forked import import_everything
    from tests.campaigns.specimens import Specimens

    import_everything()
    specimens = Specimens(folder)
    families = [readers.trials, commands.trials, words.trials, places.trials, rooms.trials]
    return [trial for trials in families for trial in trials(specimens, seed)]


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="campaign-files-") as folder:
        main("files", lambda seed: make_trials(Path(folder), seed))
