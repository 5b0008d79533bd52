"""What a learner changes in each task, what it keeps, and that it can be restored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seqrl_cli.continual.anchors import fisher_information
from seqrl_cli.continual.learned import learned_tensors, restore_learned
from seqrl_cli.continual.learner import Learner
from seqrl_cli.continual.methods import METHODS
from seqrl_cli.continual.protection import action_features, draw_windows, importance
from seqrl_cli.continual.run_files import ContinualFolder
from seqrl_cli.continual.stage import learn_stage
from seqrl_cli.data.task_sampler import TaskSampler
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.adapters.adapter_set import base_weights
from seqrl_cli.models.adapters.selection import NONE
from tests.continual.models import learner_for, tiny_model, tiny_tasks

pytestmark = pytest.mark.slow

ADAPTING = [name for name, method in METHODS.items() if method.adapts]
PER_TASK = [name for name, method in METHODS.items() if method.members == "per-task"]


def learn(learner: Learner, folder: Path, tasks: tuple[int, ...] = (0, 1)) -> Learner:
    data = tiny_tasks()
    for task in tasks:
        stage = ContinualFolder(folder).stage(task + 1, f"local/{task}")
        stage.path.mkdir(parents=True)
        learn_stage(learner, stage, task, [data[task]])
    return learner


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def copied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in tensors.items()}


def logits(learner: Learner) -> torch.Tensor:
    name, windows, _ = draw_windows(learner.model, tiny_tasks()[0], 5, np.random.default_rng(0))
    with torch.no_grad():
        return learner.model.eval()(name, windows)


@pytest.mark.parametrize("method", ADAPTING)
def test_without_an_adapter_the_backbone_is_bit_identical(method, tmp_path):
    before = learner_for("full")
    after = learn(learner_for(method), tmp_path)
    weights = base_weights(after.model)
    assert same({name: one for name, one in weights.items() if not name.startswith("keys.")}, before.model.state_dict())
    after.adapters.select(None)
    assert torch.equal(logits(after), logits(before))
    after.adapters.select(torch.full((5,), NONE))
    assert torch.equal(logits(after), logits(before))
    after.adapters.select(0 if method != "l2p" else torch.zeros(5, 5, dtype=torch.int64))
    if METHODS[method].members != "pool":
        assert not torch.equal(logits(after), logits(before))


@pytest.mark.parametrize("method", PER_TASK)
def test_an_earlier_tasks_adapter_stays_as_it_is(method, tmp_path):
    learner = learn(learner_for(method), tmp_path, (0,))
    first = {name: one for name, one in copied(learner.adapters.state_dict()).items() if name.startswith("0.")}
    kept = copied(learned_tensors(learner))
    learn(learner, tmp_path, (1,))
    assert same(first, {name: one for name, one in learner.adapters.state_dict().items() if name.startswith("0.")})
    now = learned_tensors(learner)
    statistics = [name for name in kept if name.startswith(("known.", "actions."))]
    assert all(torch.equal(kept[name], now[name]) for name in statistics)
    second = {name[2:]: one for name, one in learner.adapters.state_dict().items() if name.startswith("1.")}
    assert not same(second, {name[2:]: one for name, one in first.items()})


def test_a_new_tasks_adapter_begins_as_the_latest_one(tmp_path):
    learner = learn(learner_for("lora-per-task"), tmp_path, (0,))
    learner.begin(1)
    for one, two in zip(learner.adapters.parameters(0), learner.adapters.parameters(1), strict=True):
        assert torch.equal(one, two)


def test_ewc_keeps_an_anchor_of_each_task_and_online_one_for_all(tmp_path):
    separate, online = learner_for("ewc"), learner_for("ewc-online")
    for number, learner in enumerate((separate, online)):
        learner.protect_pretraining(tiny_tasks(1)[0], NONE)
        learn(learner, tmp_path / str(number))
    assert len(separate.anchors) == 3 and len(online.anchors) == 1
    values = [anchor.values["head.weight"] for anchor in separate.anchors]
    assert not torch.equal(values[0], values[1]) and not torch.equal(values[1], values[2])
    assert torch.equal(values[2], separate.model.head.weight)


def test_the_fisher_information_is_of_single_windows_without_the_penalty():
    data = tiny_tasks()[0]
    learner = learner_for("ewc", **{"penalty": 1e9})
    learner.protect_pretraining(tiny_tasks(1)[0], NONE)  # an anchor far away must not count
    with torch.no_grad():
        learner.model.head.weight += 0.1
    learner.begin(0)
    parameters = learner.learned_parameters()
    found = importance(learner.model, data, parameters, 5, np.random.default_rng(3))
    name, windows, real = draw_windows(learner.model, data, 5, np.random.default_rng(3))

    def loss(row: int) -> torch.Tensor:
        logits = learner.model(name, windows)[row][real[row]]
        allowed = learner.model.tokens.allowed(None)
        targets = windows.actions[row][real[row]] - allowed.start
        return -logits[..., allowed].log_softmax(dim=-1).gather(-1, targets.unsqueeze(-1)).sum()

    expected = fisher_information(parameters, [lambda row=row: loss(row) for row in range(5)])
    assert found["head.weight"].any()
    for key in ("head.weight", "head.bias"):
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-7)


def test_a_pool_learns_only_the_adapters_that_were_chosen(tmp_path):
    learner = learn(learner_for("l2m"), tmp_path, (0,))
    used = learner.keys.usage > 0
    before = copied(learner.adapters.state_dict())
    learn(learner, tmp_path, (1,))
    later = learner.keys.usage > 0
    assert later.sum() > used.sum(), "the second task takes unused keys"
    after = learner.adapters.state_dict()
    for member in torch.nonzero(used).flatten().tolist():
        assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(f"{member}."))


def test_replay_draws_the_share_that_was_asked_for(tmp_path, monkeypatch):
    seen: list[tuple[str, int]] = []
    learner = learner_for("replay", **{"updates": 100, "replay_share": 0.25})
    learn(learner, tmp_path, (0,))
    draw = TaskSampler.next_draws

    def counted(sampler: TaskSampler, batch_size: int):
        drawn = draw(sampler, batch_size)
        if len(sampler.tasks) == 2:  # neither a validation nor statistics of one task
            seen.extend((sampler.tasks[task].facts.env_id, len(starts)) for one in drawn for task, starts in one.starts)
        return drawn

    monkeypatch.setattr(TaskSampler, "next_draws", counted)
    learn(learner, tmp_path, (1,))
    totals = {name: sum(count for own, count in seen if own == name) for name in ("A-v0", "B-v0")}
    assert totals["A-v0"] / sum(totals.values()) == pytest.approx(0.25, abs=0.05)


def test_pretraining_tasks_that_are_learned_again_are_not_none_of_these():
    learner = learner_for("hide-lora")
    learner.protect_pretraining(tiny_tasks()[0], NONE)  # is also the first task to learn
    assert not learner.known
    assert learner.right_members == {"local/A-v0": 0, "local/B-v0": 1}


@pytest.mark.parametrize("method", METHODS)
def test_what_was_learned_is_restored(method, tmp_path):
    learner = learner_for(method)
    learn(learner, tmp_path)
    again = learner_for(method)
    restore_learned(again, copied(learned_tensors(learner)), "here")
    assert same(learned_tensors(learner), learned_tensors(again))
    for one in (learner, again):
        if one.adapters:
            one.adapters.select(None if METHODS[method].members == "pool" else 0)
    assert torch.equal(logits(learner), logits(again))


@pytest.mark.parametrize(("method", "other"), [("l2m", "lora"), ("full", "l2m"), ("lora", "full"), ("head", "full")])
def test_what_another_method_learned_is_refused(method, other):
    with pytest.raises(SeqrlError):
        restore_learned(learner_for(method), learned_tensors(learner_for(other)), "here")


def test_a_head_that_learns_is_adapted_to_all_tasks(tmp_path):
    learner = learner_for("hide-lora", head="shared")
    before = learner.model.head.weight.clone()
    learn(learner, tmp_path)
    assert not torch.equal(before, learner.model.head.weight) and len(learner.actions) == 2
    assert any(name.startswith("model.head.") for name in learned_tensors(learner))


def test_features_of_actions_are_those_that_the_head_reads():
    model, task = tiny_model().eval(), tiny_tasks()[0]
    features, ids = action_features(model, task, np.random.default_rng(0))
    assert features.shape == (task.transitions, 1, 16) and ids.shape == (task.transitions, 1)
    name, windows, real = draw_windows(model, task, task.transitions, np.random.default_rng(0))
    last = real.sum(dim=1) - 1
    with torch.no_grad():
        expected = model(name, windows)[torch.arange(len(last)), last]
        torch.testing.assert_close(model.head(features), expected)
