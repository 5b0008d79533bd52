"""Several processes train as one does: to the bit where the order of sums is the same, else to rounding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seqrl_cli.tracking.metrics import read_training_lines
from seqrl_cli.training.checkpoints import Checkpoint, newest_checkpoint
from tests.contracts.trainer import same_tensors
from tests.training import ranks
from tests.training.micro_batches import MicroBatches
from tests.training.rank_cases import ARCHITECTURES, UPDATES, make_case

pytestmark = pytest.mark.slow

EXACT = [f"exact-{arch}" for arch in ARCHITECTURES]


def newest(folder: Path) -> Checkpoint:
    found = newest_checkpoint(folder / "checkpoints")
    assert found is not None
    return found


def reference(folder: Path, name: str, count: int) -> Checkpoint:
    """The same training in one process, shard by shard."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        case = make_case(name.removeprefix("exact-"), exact=name.startswith("exact-"))
        case.fit(folder / name, MicroBatches(count))
    finally:
        torch.set_num_threads(threads)
    return newest(folder / name)


def distance(one: Checkpoint, two: Checkpoint) -> float:
    """The relative distance of all weights."""
    assert one.model.keys() == two.model.keys()
    vectors = [torch.cat([found.model[name].double().flatten() for name in one.model]) for found in (one, two)]
    return float((vectors[0] - vectors[1]).norm() / vectors[1].norm())


def losses(folder: Path) -> list[float]:
    return [line.loss for line in read_training_lines(folder / "metrics.jsonl")]


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Path:
    """What two processes trained, of all architectures."""
    folder = tmp_path_factory.mktemp("pair")
    ranks.run(folder, 2, [*ARCHITECTURES, *EXACT])
    return folder


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_two_processes_equal_two_micro_batches_to_the_bit(pair, tmp_path, arch):
    expected = reference(tmp_path, arch, 2)
    found = newest(pair / arch)
    assert found.step == expected.step == UPDATES
    assert same_tensors(found.model, expected.model) and same_tensors(found.optimizer, expected.optimizer)
    assert losses(pair / arch) == losses(tmp_path / arch)


@pytest.mark.parametrize("name", EXACT)
def test_two_processes_equal_one_in_float64(pair, tmp_path, name):
    expected = reference(tmp_path, name, 1)
    assert distance(newest(pair / name), expected) < 1e-12
    assert losses(pair / name) == pytest.approx(losses(tmp_path / name), rel=1e-12)
