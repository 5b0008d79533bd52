"""Limits of containers, on files of the form that Linux has."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqrl_cli.files.control_groups import free_memory, processors
from seqrl_cli.launch.cores import available_cores


def limit(folder: Path, most: str, used: int, cached: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon {used - cached}\ninactive_file {cached}\nfile {cached}\n")


def test_every_group_above_a_process_may_have_a_limit(tmp_path):
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/old\n0::/jobs/mine\n")
    root = tmp_path / "cgroup"
    limit(root / "jobs" / "mine", "4000", 3000, cached=500)
    limit(root / "jobs", "max", 9000)
    limit(root, "2000", 5000)
    limit(tmp_path, "1", 1)
    assert free_memory(root, own) == [1500, 0]


def test_version_1_of_the_groups(tmp_path):
    (tmp_path / "own").write_text("9:name=systemd:/\n4:memory:/docker/abc\n0::/\n")
    folder = tmp_path / "memory"  # a container sees its own group as the root
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text("3000\n")
    (folder / "memory.usage_in_bytes").write_text("1000\n")
    (folder / "memory.stat").write_text("inactive_file 7\ntotal_inactive_file 200\n")
    assert free_memory(tmp_path, tmp_path / "own") == [2200]


def test_a_machine_without_groups_has_no_limit(tmp_path):
    assert free_memory(tmp_path, tmp_path / "none") == []
    (tmp_path / "own").write_text("0::/\n")
    assert free_memory(tmp_path, tmp_path / "own") == []
    assert processors(tmp_path, tmp_path / "own") == processors(tmp_path, tmp_path / "none") == []


def test_shares_of_processors(tmp_path):
    (tmp_path / "own").write_text("3:cpu,cpuacct:/docker/abc\n0::/jobs/mine\n")
    first, second = tmp_path / "jobs/mine", tmp_path / "cpu"
    for folder in (first, second):
        folder.mkdir(parents=True)
    (first / "cpu.max").write_text("250000 100000\n")
    (tmp_path / "jobs/cpu.max").write_text("max 100000\n")
    (second / "cpu.cfs_quota_us").write_text("-1\n")
    (second / "cpu.cfs_period_us").write_text("100000\n")
    assert processors(tmp_path, tmp_path / "own") == [2.5]
    (second / "cpu.cfs_quota_us").write_text("50000\n")
    assert sorted(processors(tmp_path, tmp_path / "own")) == [0.5, 2.5]


@pytest.mark.parametrize(("shares", "cores"), [([], None), ([0.5], 1), ([1.5, 64.0], 2)])
def test_cores_are_no_more_than_a_container_has(monkeypatch, shares, cores):
    monkeypatch.setattr("seqrl_cli.launch.cores.processors", lambda: shares)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert available_cores() == (cores or 8)
