"""Episode records as ``plan`` writes them, for the tests of this room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import new_record, write_record


def episode_record(**changes: Any) -> dict[str, Any]:
    """A whole record; ``changes`` replace or add keys."""
    record = {
        "score": 0.5,
        "return": 1600.0,
        "step": 499,
        "term": True,
        "episode": 0,
        "seed": 7,
        "dataset": "sim/hopper-medium",
        "env_id": "Hopper-v4",
        "run": "gpt-s42",
        "arch": "gpt",
        "checkpoint_step": 5000,
        "settings": {"horizon": 15, "beam_width": 128, "max_context_transitions": 5},
        "seconds_per_step": 0.05,
        "versions": {},
        "schema_version": 1,
    }
    return {**record, **changes}


def write_episode(folder: Path, episode: int = 0, **changes: Any) -> Path:
    """Write ``episode-00N.json`` below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"episode-{episode:03d}.json"
    path.write_text(json.dumps(episode_record(episode=episode, **changes)), encoding="utf-8")
    return path


def write_run_record(folder: Path, **changes: Any) -> None:
    """Write the ``run.json`` of a finished run; ``changes`` replace or add facts."""
    facts = {"dataset": "sim/hopper-medium", "env_id": "Hopper-v4", "arch": "odt", "name": folder.name, "seed": 42}
    facts |= {"status": "finished", "argv": [], "device": "cpu", "threads": 1, "parameters": 1}
    write_record(RunFolder(folder).record, new_record(**facts | {"tokens_fingerprint": "0"} | changes))
