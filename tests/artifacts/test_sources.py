"""Users' files on their way into the run directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seqrl_cli.artifacts import sources
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import resolve
from seqrl_cli.errors import SeqrlError


@pytest.mark.parametrize("name", ["data.npz", "data.hdf5", "data.pkl"])
def test_a_huge_file_that_is_no_dataset_is_refused_before_it_is_hashed(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.touch()
    os.truncate(path, 300 * 10**9)

    def hashed(path: Path) -> str:
        raise AssertionError("hashing takes minutes")

    monkeypatch.setattr(sources, "content_sha256", hashed)
    with pytest.raises(SeqrlError, match=name):
        sources.read_user_file(resolve(str(path)), DataConfig(), Console(quiet=True))
