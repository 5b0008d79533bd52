"""Several processes train as one does: to the bit where the order of sums is the same, else to rounding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seqrl_cli.tracking.metrics import read_training_lines
from seqrl_cli.training.agreement import Report, difference_of
from seqrl_cli.training.checkpoints import Checkpoint, newest_checkpoint
from tests.contracts.trainer import same_tensors
from tests.training import ranks
from tests.training.micro_batches import MicroBatches
from tests.training.rank_cases import ARCHITECTURES, UPDATES, make_case

pytestmark = pytest.mark.slow

CALM = [f"calm-{arch}" for arch in ARCHITECTURES]
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
        make_case(name).fit(folder / name, MicroBatches(count))
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


def test_processes_without_a_window_take_part(tmp_path):
    ranks.run(tmp_path / "pair", 2, ["one-mddt"])
    expected = reference(tmp_path, "one-mddt", 2)
    found = newest(tmp_path / "pair" / "one-mddt")
    assert found.step == UPDATES and same_tensors(found.model, expected.model)


def test_a_killed_world_resumes_to_the_same_bits(pair, tmp_path):
    started = ranks.start(tmp_path, 2, ["gpt@kill7"])
    errors = [one.communicate(timeout=900)[1] for one in started]
    assert started[1].returncode == -9 and started[0].returncode == 1
    assert "RanksLostError: rank 0" in errors[0]
    assert newest(tmp_path / "gpt").step == 5
    assert ranks.run(tmp_path, 2, ["gpt"]) == ["gpt 5 12 done"]
    expected, found = newest(pair / "gpt"), newest(tmp_path / "gpt")
    assert same_tensors(found.model, expected.model) and same_tensors(found.optimizer, expected.optimizer)
    assert losses(pair / "gpt") == losses(tmp_path / "gpt")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """What two processes saved when the second of them was told to stop, of all architectures."""
    folder = tmp_path_factory.mktemp("stopped")
    lines = ranks.run(folder, 2, [f"{name}@stop7" for name in CALM])
    assert lines == [f"{name}@stop7 0 8 interrupted" for name in CALM]
    return folder


@pytest.mark.parametrize("name", CALM)
def test_another_number_of_processes_resumes(stopped, tmp_path, name):
    assert newest(stopped / name).step == 8
    expected = reference(tmp_path, name, 1)
    found = reference(stopped, name, 1)  # the rest in one process
    assert found.step == expected.step == UPDATES
    assert distance(found, expected) < 1e-5
    assert losses(stopped / name)[-1] == pytest.approx(losses(tmp_path / name)[-1], rel=1e-4)


def test_compiled_models_train_in_bf16(tmp_path):
    """Losses stay close to those of one process in float32."""
    ranks.run(tmp_path / "fast", 2, ["fast-gpt"])
    reference(tmp_path, "calm-gpt", 1)
    assert losses(tmp_path / "fast/fast-gpt") == pytest.approx(losses(tmp_path / "calm-gpt"), rel=0.05)


def test_a_difference_names_the_process_and_both_values():
    first = Report("n1", facts={"torch": "2.13.0", "train.seed": "1"})
    assert difference_of([first, first]) is None
    other = Report("n2", facts={"torch": "2.12.0", "train.seed": "1"})
    message = "rank 2 on n2 has torch 2.12.0, but rank 0 on n1 has 2.13.0"
    assert difference_of([first, first, other]) == message
    assert difference_of([first, Report("n2")]) == "rank 1 on n2 has torch none, but rank 0 on n1 has 2.13.0"
