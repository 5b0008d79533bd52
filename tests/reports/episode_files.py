"""Episode records as ``plan`` writes them, for the tests of this room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.planning import episode_files
from seqrl_cli.planning.episode_files import PlanFacts
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import new_record, write_record

SETTINGS = {"horizon": 15, "beam_width": 128, "max_context_transitions": 5}


def write_episode(folder: Path, episode: int = 0, **changes: Any) -> Path:
    """Write an episode of a plan folder; returns the JSON's path.

    Args:
        folder: the plan folder.
        episode: its number.
        **changes: keys of the JSON to replace or add.
    """
    facts = PlanFacts(
        dataset="sim/hopper-medium",
        env_id="Hopper-v4",
        run="gpt-s42",
        arch="gpt",
        checkpoint_step=5000,
        settings=SETTINGS,
        seed=7,
    )
    states = np.zeros((2, 1))
    record = EpisodeRecord(episode, 1, True, 0.05, states, states[:1], np.zeros(1, np.float32), states, states)
    path = episode_files.write_episode(folder, facts, record, 0.5)
    return edit_episode(path, **{"return": 1600.0, "step": 499, **changes})


def edit_episode(path: Path, **changes: Any) -> Path:
    """Replace or add keys of an episode's JSON."""
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return path


def write_run_record(folder: Path, **changes: Any) -> None:
    """Write the ``run.json`` of a finished run; ``changes`` replace or add facts."""
    facts = {"datasets": ("sim/hopper-medium",), "env_id": "Hopper-v4", "arch": "odt", "name": folder.name, "seed": 42}
    facts |= {"status": "finished", "argv": [], "device": "cpu", "threads": 1, "parameters": 1}
    write_record(RunFolder(folder).record, new_record(**facts | {"tokens_fingerprint": "0"} | changes))
