"""What every trainer owes the training loop."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from seqrl_cli.errors import SeqrlError
from seqrl_cli.training.checkpoints import WRONG_STATE
from seqrl_cli.training.rng import preserve_rng_state
from seqrl_cli.training.trainer import Trainer

UPDATES = 4


@dataclass(frozen=True)
class TrainerCase:
    """Makes the same trainer again and again.

    Attributes:
        make: makes a trainer of a model whose parameters with these prefixes of their names are frozen.
        frozen: a prefix for the tests to freeze.
    """

    make: Callable[[tuple[str, ...]], Trainer]
    frozen: str


def run_updates(trainer: Trainer, count: int) -> None:
    for _ in range(count):
        trainer.update()
    trainer.read_losses()


def check_a_restored_trainer_continues_with_the_same_bits(case: TrainerCase) -> None:
    with preserve_rng_state(torch.device("cpu")):
        trainer = case.make(())
        run_updates(trainer, UPDATES)
        saved = copy.deepcopy(trainer.checkpoint())  # what is not copied changes with the next update
        run_updates(trainer, UPDATES)
        expected = trainer.checkpoint()
    with preserve_rng_state(torch.device("cpu")):
        resumed = case.make(())
        run_updates(resumed, 1)  # whatever it did before must not matter
        resumed.restore(saved)
        again = resumed.checkpoint()
        assert resumed.step == UPDATES and same_tensors(again.optimizer, saved.optimizer)
        assert _timeless(again.state) == _timeless(saved.state)
        run_updates(resumed, UPDATES)
        found = resumed.checkpoint()
    assert same_tensors(found.model, expected.model) and same_tensors(found.optimizer, expected.optimizer)
    assert found.step == expected.step and _timeless(found.state) == _timeless(expected.state)


def check_frozen_parameters_stay_and_have_no_optimizer_state(case: TrainerCase) -> None:
    with preserve_rng_state(torch.device("cpu")):
        trainer = case.make((case.frozen,))
        before = {name: tensor.clone() for name, tensor in trainer.checkpoint().model.items()}
        run_updates(trainer, UPDATES)
        after = trainer.checkpoint()
    learnt = set(trainer.trainable_parameters)
    frozen = {name for name in before if name.startswith(case.frozen)}
    assert learnt and frozen and not learnt & frozen
    assert all(torch.equal(after.model[name], before[name]) for name in before.keys() - learnt)
    assert not all(torch.equal(after.model[name], before[name]) for name in learnt)
    assert not [name for name in after.optimizer if name.startswith(case.frozen)]


def check_log_steps_are_finite_and_validated_on_request(case: TrainerCase) -> None:
    with preserve_rng_state(torch.device("cpu")):
        trainer = case.make(())
        run_updates(trainer, UPDATES)
        validated = trainer.measure(validate=True)
        run_updates(trainer, 1)
        plain = trainer.measure(validate=False)
    assert all(value is not None and math.isfinite(value) for value in validated.values())
    assert validated.keys() == plain.keys() and plain["validation_loss"] is None
    assert trainer.step == UPDATES + 1


def check_a_damaged_state_is_noticed_when_it_is_restored(case: TrainerCase) -> None:
    with preserve_rng_state(torch.device("cpu")):
        trainer = case.make(())
        run_updates(trainer, 1)
        saved = copy.deepcopy(trainer.checkpoint())
        for path, value in zip(_leaves(saved.state), cycle(("x", -1, [], None))):
            state = copy.deepcopy(saved.state)
            _put(state, path, value)
            try:
                trainer.restore(replace(saved, state=state))
            except (SeqrlError, *WRONG_STATE):
                continue
            run_updates(trainer, 1)
            trainer.measure(validate=False)
            json.dumps(trainer.checkpoint().state, allow_nan=False)


def _leaves(state: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    if path:
        yield path
    for key, value in inner:
        yield from _leaves(value, (*path, key))


def _put(state: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        state = state[key]
    state[path[-1]] = value


CHECKS = [
    check_a_damaged_state_is_noticed_when_it_is_restored,
    check_a_restored_trainer_continues_with_the_same_bits,
    check_frozen_parameters_stay_and_have_no_optimizer_state,
    check_log_steps_are_finite_and_validated_on_request,
]


def same_tensors(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def _timeless(state: dict) -> dict:
    return {name: value for name, value in state.items() if name != "elapsed"}
