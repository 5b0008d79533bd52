"""Tasks that stay on the disk: the same numbers as in memory, and a limit that is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import read_d4rl, stored_size, write_d4rl
from seqrl_cli.data.task_data import TaskData, mean_and_deviation
from seqrl_cli.data.task_memory import BYTES_PER_STEP, MIN_PAGES, MemoryNeed, plan_memory
from seqrl_cli.data.task_sampler import SamplingRules, TaskSampler
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.mapped import PageLimit, mapping_of

RULES = SamplingRules("weighted", {"A-v0": 2.0}, "return")


def recorded(seed: int, *, images: bool = False) -> Episodes:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 60, size=80)
    rows = int(lengths.sum())
    ends = np.isin(np.arange(rows), np.cumsum(lengths) - 1)
    observations = rng.integers(0, 256, (rows, 8, 8)).astype(np.uint8) if images else rng.normal(size=(rows, 3))
    actions = rng.integers(0, 4, rows) if images else rng.uniform(-1, 1, (rows, 2))
    episodes = Episodes.from_flags(observations, actions, rng.normal(size=rows), ends & False, ends)
    return replace(episodes, successes=rng.random(rows) < 0.01)


def task(env_id: str, episodes: Episodes) -> TaskData:
    found = TaskData.of(f"local/{env_id}", env_id, episodes, (-np.ones(2), np.ones(2)))
    is_mapped = mapping_of(episodes.observations) is not None
    pages = PageLimit(0)
    pages.watch(episodes.observations, episodes.actions)
    return replace(found, pages=pages) if is_mapped else found


def part_of(one: TaskData) -> TaskData:
    return one.select(np.arange(1, len(one.lengths), 2)).select(np.arange(0, 40, 3))


@pytest.fixture(params=["vectors", "images", "compressed"])
def pair(request, tmp_path) -> tuple[Episodes, Episodes]:
    """The same episodes in memory and mapped."""
    path = tmp_path / "dataset.h5"
    write_d4rl(path, recorded(0, images=request.param == "images"), {})
    if request.param == "compressed":
        repack(path)
    loaded, mapped = read_d4rl(path), read_d4rl(path, mapped=True)
    assert mapping_of(loaded.observations) is None
    assert mapping_of(mapped.observations) is not None and mapping_of(mapped.actions) is not None
    return loaded, mapped


def repack(path: Path) -> None:
    with h5py.File(path) as file:
        columns = {name: np.asarray(node) for name, node in file.items() if isinstance(node, h5py.Dataset)}
    with h5py.File(path, "w") as file:
        for name, column in columns.items():
            wide = column.astype(np.float64) if column.dtype == np.float32 else column
            file.create_dataset(name, data=wide, compression="gzip", chunks=True)


@pytest.mark.parametrize("choose", [lambda one: one, part_of], ids=["all", "some"])
def test_windows_from_the_disk_are_those_from_memory(pair, choose):
    other = recorded(1)
    samplers = [
        TaskSampler([choose(task("A-v0", one)), task("B-v0", other)], 7, RULES, np.random.default_rng(0))
        for one in pair
    ]
    for _ in range(20):
        for loaded, mapped in zip(*(sampler.next_batches(32)[0][1] for sampler in samplers), strict=True):
            for name, column in vars(loaded).items():
                assert np.array_equal(column, vars(mapped)[name]), name
        assert samplers[0].state() == samplers[1].state()


def test_facts_hashes_and_statistics_are_those_from_memory(pair):
    loaded, mapped = (task("A-v0", one) for one in pair)
    assert loaded.facts == mapped.facts and pair[0].fingerprint() == pair[1].fingerprint()
    if loaded.stored.observations.ndim == 2:
        for one, other in zip(*map(mean_and_deviation, ([part_of(loaded)], [part_of(mapped)])), strict=True):
            assert np.array_equal(one, other)


def test_statistics_are_those_of_all_rows_at_once(pair):
    rows = pair[0].observations
    if rows.ndim == 2:
        mean, deviation = mean_and_deviation([task("A-v0", pair[1])])
        assert np.array_equal(mean, rows.sum(axis=0, dtype=np.float64) / len(rows))
        assert np.array_equal(deviation, np.sqrt(((rows - mean) ** 2).sum(axis=0, dtype=np.float64) / len(rows)))


def test_a_sampler_that_was_saved_between_two_draws_goes_on_from_there(pair):
    first = TaskSampler([task("A-v0", pair[1])], 3, RULES, np.random.default_rng(0))
    first.next_batches(8)
    state = first.state()
    second = TaskSampler([task("A-v0", pair[0])], 3, RULES, np.random.default_rng(9))
    second.restore(state)
    for _ in range(3):
        ((_, (mine,)),), ((_, (theirs,)),) = second.next_batches(8), first.next_batches(8)
        assert np.array_equal(mine.observations, theirs.observations)


def test_the_size_is_known_before_the_data_are_read(tmp_path):
    for images in (False, True):
        episodes = recorded(0, images=images)
        write_d4rl(tmp_path / "dataset.h5", episodes, {})
        size = stored_size(tmp_path / "dataset.h5")
        assert (size.transitions, size.shape) == (episodes.transitions, episodes.observations.shape[1:])
        assert size.wide_bytes == episodes.observations.nbytes + episodes.actions.nbytes


def test_small_tasks_are_loaded_and_large_ones_stay_on_the_disk():
    needs = [MemoryNeed(1000, size * MIN_PAGES) for size in (9, 1, 5, 2)]
    assert not any(plan_memory(needs, 100 * MIN_PAGES).is_mapped)
    plan = plan_memory(needs, 4 * 1000 * BYTES_PER_STEP + 5 * MIN_PAGES)
    assert plan.is_mapped == (True, False, True, False)
    assert plan.held + plan.pages == plan.limit
    assert "2 of 4 tasks read from the disk" in plan.text
    with pytest.raises(
        SeqrlError, match=r"need 16\.8 MB of memory even from the disk, but tasks.max_memory is 16\.8 MB"
    ):
        plan_memory(needs, MIN_PAGES)


def test_a_value_that_is_not_finite_is_named_wherever_it_is(tmp_path):
    episodes = recorded(0)
    episodes.observations[1500, 1] = np.nan
    write_d4rl(tmp_path / "dataset.h5", episodes, {})
    for mapped in (False, True):
        with pytest.raises(SeqrlError, match="observations is nan at row 1500, column 1"):
            read_d4rl(tmp_path / "dataset.h5", mapped=mapped)
