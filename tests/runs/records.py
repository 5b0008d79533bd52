"""Run records that tests write."""

from __future__ import annotations

from pathlib import Path

from seqrl_cli.runs.record import RunRecord, git_state, now, versions, write_record


def make_run(root: Path, dataset: str, name: str) -> Path:
    """A finished run of that name; gives the path of its `run.json`."""
    record = RunRecord(
        datasets=(dataset,),
        env_id="Hopper-v4",
        arch="gpt",
        name=name,
        seed=42,
        status="finished",
        argv=["seqrl", "train", dataset],
        git=git_state(),
        versions=versions(),
        host="here",
        device="cpu",
        threads=2,
        parameters=1,
        tokens_fingerprint="0",
        created=now(),
        updated="",
    )
    path = root / dataset / name / "run.json"
    write_record(path, record)
    return path
