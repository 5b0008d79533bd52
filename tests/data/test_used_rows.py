"""Rows of a buffer that nothing was written to are no data."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import read_dataset
from tests.data.files import assert_equal, raw_arrays, write_npz, write_pickle, write_raw

WRITERS = {"a.npz": write_npz, "a.h5": write_raw, "a.pkl": write_pickle}


def buffer(rows: int = 10, capacity: int = 60) -> dict[str, np.ndarray]:
    space = capacity - rows
    return {name: np.concatenate([column, np.zeros_like(column, shape=(space, *column.shape[1:]))])
            for name, column in raw_arrays(rows).items()}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("count", ["size", "ptr"])
def test_rows_after_the_stated_number_are_left_out(tmp_path, name, count):
    options = ReadOptions()
    found = read_dataset(WRITERS[name](tmp_path / name, {**buffer(), count: np.array(10)}), options)
    assert_equal(found, read_dataset(write_raw(tmp_path / "whole.h5", raw_arrays(10))))
    assert f"left out 50 rows after {count} = 10, which are zeros" in options.log.remarks


def test_ends_that_are_stated_as_zeros_are_not_seen_there(tmp_path):
    columns = buffer()
    columns["not_done"] = (~columns.pop("terminals")).astype(np.float32)
    columns["not_done"][10:] = 0
    assert len(read_dataset(write_npz(tmp_path / "a.npz", {**columns, "size": np.array(10)}))) == 3


@pytest.mark.parametrize("stated", [{}, {"size": np.array(4)}, {"size": np.array(60)}, {"size": np.array(-3)}])
def test_zeros_that_no_number_explains_are_warned_of(tmp_path, stated):
    options = ReadOptions()
    found = read_dataset(write_npz(tmp_path / "a.npz", {**buffer(), **stated}), options)
    assert found.transitions == 60
    assert any("ends in rows that are all zeros" in warning for warning in options.log.warnings)


def test_a_number_alone_leaves_nothing_out(tmp_path):
    options = ReadOptions()
    found = read_dataset(write_npz(tmp_path / "a.npz", {**raw_arrays(10), "size": np.array(5)}), options)
    assert found.transitions == 10 and not options.log.warnings


def test_data_of_zeros_alone_are_data(tmp_path):
    options = ReadOptions()
    zeros = {name: np.zeros_like(column) for name, column in raw_arrays(50).items()}
    assert read_dataset(write_npz(tmp_path / "a.npz", zeros), options).transitions == 50
    assert not any("zeros" in warning for warning in options.log.warnings)


def test_marks_are_no_unused_rows(tmp_path):
    columns = {**buffer(), "timeouts": np.arange(60) == 59, "size": np.array(10)}
    assert read_dataset(write_npz(tmp_path / "a.npz", columns)).transitions == 60


@pytest.mark.parametrize("name", WRITERS)
def test_columns_of_these_names_may_be_something_else(tmp_path, name):
    columns = {**raw_arrays(10), "position": np.zeros((10, 3)), "size": np.full(10, 3.0)}
    assert read_dataset(WRITERS[name](tmp_path / name, columns)).transitions == 10
