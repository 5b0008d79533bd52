from __future__ import annotations

import json

import numpy as np
import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.training.sampler import Sampler


def make(size: int = 10, batch_size: int = 4, seed: int = 1) -> Sampler:
    return Sampler(size, batch_size, np.random.default_rng(seed))


def test_an_epoch_has_every_index_once():
    sampler = make()
    epochs = [np.concatenate([sampler.next_batch() for _ in range(3)]) for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert epochs[0].tolist() != epochs[1].tolist()
    assert (sampler.epoch, sampler.epoch_fraction) == (1, 1.0)


def test_same_seed_same_order():
    assert make().next_batch().tolist() == make().next_batch().tolist()
    assert make().next_batch().tolist() != make(seed=2).next_batch().tolist()


@pytest.mark.parametrize("batches", range(8))
def test_goes_on_from_any_place(batches):
    sampler = make()
    for _ in range(batches):
        sampler.next_batch()
    resumed = make(seed=99)
    resumed.restore(json.loads(json.dumps(sampler.state())))
    for _ in range(7):
        assert resumed.next_batch().tolist() == sampler.next_batch().tolist()
        assert (resumed.epoch, resumed.epoch_fraction) == (sampler.epoch, sampler.epoch_fraction)


@pytest.mark.parametrize("other", [{"size": 11}, {"batch_size": 5}])
def test_refuses_the_state_of_other_data(other):
    with pytest.raises(SeqrlError, match=next(iter(other))):
        make(**other).restore(make().state())
