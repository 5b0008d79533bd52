"""Which devices models take, and how much memory a container leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seqrl_cli.errors import UsageError
from seqrl_cli.models.device import available_memory, choose_device, free_in_control_groups


@pytest.mark.parametrize("name", ["mps", "meta", "xpu:0", "gpu"])
def test_other_kinds_of_devices_are_refused(name):
    with pytest.raises(UsageError, match="does not compute on|unknown device") as error:
        choose_device(name)
    assert "cuda" in error.value.hint


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
    assert free_in_control_groups(root, own) == [1500, 0]


def test_version_1_of_the_groups(tmp_path):
    (tmp_path / "own").write_text("9:name=systemd:/\n4:memory:/docker/abc\n0::/\n")
    folder = tmp_path / "memory"  # a container sees its own group as the root
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text("3000\n")
    (folder / "memory.usage_in_bytes").write_text("1000\n")
    (folder / "memory.stat").write_text("inactive_file 7\ntotal_inactive_file 200\n")
    assert free_in_control_groups(tmp_path, tmp_path / "own") == [2200]


def test_a_machine_without_groups_has_no_limit(tmp_path):
    assert free_in_control_groups(tmp_path, tmp_path / "none") == []
    (tmp_path / "own").write_text("0::/\n")
    assert free_in_control_groups(tmp_path, tmp_path / "own") == []
    assert available_memory(torch.device("cpu")) > 2**20
