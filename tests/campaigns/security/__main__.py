"""Hostile files through the command line.

python -m tests.campaigns.security
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.campaigns.common import Trial, main


def make_trials(folder: Path) -> list[Trial]:
    """All checks, with the whole files that they need below ``folder``; they are the same for all seeds."""
    from tests.campaigns.forked import import_everything
    from tests.campaigns.security import imports, links, pickles, storage, texts
    from tests.campaigns.specimens import Specimens

    import_everything()
    specimens = Specimens(folder)
    families = [pickles.trials, imports.trials, texts.trials, links.trials, storage.trials]
    return [trial for trials in families for trial in trials(specimens)]


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="campaign-security-") as folder:
        main("security", lambda seed: make_trials(Path(folder)))
