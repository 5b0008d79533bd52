"""L2M beyond the paper: one adapter per task of the pool, and none where the pretraining's tasks are more likely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seqrl_cli.continual.choosers import FixedChoice, Gate
from seqrl_cli.continual.guides import KeyedAdapters, window_queries
from seqrl_cli.continual.learned import learned_tensors, restore_learned
from seqrl_cli.continual.learner import Learner
from seqrl_cli.continual.protection import draw_windows
from seqrl_cli.continual.run_files import ContinualFolder
from seqrl_cli.continual.stage import learn_stage
from seqrl_cli.models.adapters.selection import NONE
from seqrl_cli.models.decision.task_history import TaskHistory
from tests.continual.models import learner_for, tiny_tasks

pytestmark = pytest.mark.slow


def learned(folder: Path, **settings: object) -> Learner:
    learner = learner_for("l2m", **settings)
    for task, data in enumerate(tiny_tasks()):
        stage = ContinualFolder(folder).stage(task + 1, f"local/{task}")
        stage.path.mkdir(parents=True)
        learn_stage(learner, stage, task, [data])
    return learner


def test_a_task_chooses_the_key_with_the_largest_mean_score():
    learner, data = learner_for("l2m", keys="tasks"), tiny_tasks()[0]
    guide = learner.begin(0, data)
    assert isinstance(guide, KeyedAdapters)
    name, windows, _ = draw_windows(learner.model, data, 256, np.random.default_rng([42, 1, 106]))
    queries = window_queries(learner.model, name, windows)
    wanted = int(learner.keys.similarity(queries).mean(dim=0).argmax())
    assert guide.allowed.nonzero().flatten().tolist() == [wanted] == [learner.chosen]
    assert len(set(learner.keys.choose(queries).tolist())) > 1  # which is how the paper splits a task


def test_each_task_trains_an_adapter_of_its_own_and_play_infers_it(tmp_path):
    learner = learned(tmp_path, keys="tasks")
    used = (learner.keys.usage > 0).nonzero().flatten().tolist()
    right = learner.right_members
    assert len(used) == 2 and sorted(right.values()) == used
    chooser = learner.chooser()
    for task in tiny_tasks():
        history = TaskHistory(task.facts.input, task.facts.action_dim, None, 0)
        encoder = learner.model.encoders[task.facts.input]
        history.observed = encoder(torch.from_numpy(task.states([0])), torch.zeros(1, dtype=torch.int64))[0].detach()
        chooser.choose([history])
        assert history.adapter == right[task.facts.dataset]


def test_a_state_of_the_pretraining_gets_no_adapter_and_others_the_nearest_key():
    histories = [TaskHistory("A-v0", 1, None, 0), TaskHistory("B-v0", 3, None, 0)]

    class Inferred:
        def choose(self, histories: list[TaskHistory]) -> None:
            for history in histories:
                history.adapter = NONE if history.name == "A-v0" else 0

    Gate(Inferred(), FixedChoice(4)).choose(histories)
    assert [history.adapter for history in histories] == [NONE, 4]


def test_the_papers_l2m_infers_nothing_and_hide_always_does():
    plain, gated, told = (
        learner_for("l2m"),
        learner_for("l2m", none_of_these=True),
        learner_for("l2m", task_id="oracle"),
    )
    assert [one.infers for one in (plain, gated, told)] == [False, True, False]
    assert plain.settings.none_of_these is False
    assert learner_for("hide-lora").settings.none_of_these is True
    assert isinstance(gated.chooser(), Gate)


def test_what_play_infers_with_is_restored(tmp_path):
    one = learned(tmp_path, none_of_these=True)
    assert len(one.known) == 2
    other = learner_for("l2m", none_of_these=True)
    restore_learned(other, learned_tensors(one), "x")
    assert [known.member for known in other.known] == [known.member for known in one.known]
