"""Target returns of tasks, and what scores mean in them."""

from __future__ import annotations

import pytest

from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.data.domains import domains
from seqrl_cli.envs.scores import percent_score, references_of_data
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.runs.record import TaskRecord
from seqrl_cli.runs.task_choice import chosen_tasks, require_tasks
from seqrl_cli.workflows.plan.targets import target_returns

ACTIONS = {"action_dim": 1, "choices": None, "action_low": (), "action_high": ()}
FACTS = {"input": "x", "body": "x", "shape": (3,), **ACTIONS}


def task(env_id: str, dataset: str = "sim/x", **changes: object) -> TaskRecord:
    returns = {"reward_scale": 1.0, "best_return": 80.0, "worst_return": 2.0}
    return TaskRecord.model_validate({**FACTS, **returns, "env_id": env_id, "dataset": dataset, **changes})


TASKS = [task("metaworld/hammer-v3", "sim/metaworld/hammer"), task("dmc/cartpole-swingup", "sim/dmc/cartpole-swingup")]


def test_targets_are_the_best_of_the_data_or_a_papers_or_inferred():
    assert target_returns(TASKS, PlanConfig()) == [80.0, 80.0]
    assert target_returns(TASKS, PlanConfig(target_multiple=1.5)) == [120.0, 120.0]
    assert target_returns(TASKS, PlanConfig(targets="paper")) == [1724.842, 857.492]
    assert target_returns(TASKS, PlanConfig(targets="infer")) == [None, None]


def test_a_task_without_a_target_of_a_paper_is_named():
    with pytest.raises(SeqrlError, match="no paper states a target return for dmc/cartpole-balance"):
        target_returns([task("dmc/cartpole-balance")], PlanConfig(targets="paper"))


def test_every_target_of_a_paper_belongs_to_a_task():
    stated = [task for domain in domains().values() for task in domain.tasks.values() if task.paper_target is not None]
    assert len(stated) == 10 + 7


def test_records_of_earlier_versions_state_no_mean_return():
    assert task("dmc/cartpole-balance").mean_return is None


@pytest.mark.parametrize(
    ("env_id", "mean", "references"),
    [
        ("dmc/cartpole-balance", 950.391, (350.391, 950.391)),  # the run's own data
        ("dmc/cartpole-balance", None, (350.391, 938.506)),  # of a record of an earlier version: the published data
        ("dmc/cartpole-balance", 300.0, None),  # no better than random
        ("dmc/manipulator-bring_ball", 30.0, None),  # no random policy is known
        ("atari/Pong", 5.0, (-20.7, 14.6)),
        ("metaworld/hammer-v3", 900.0, None),
    ],
)
def test_scores_are_normalised_as_each_domain_does(env_id, mean, references):
    assert references_of_data(env_id, mean) == references


def test_scores_in_percent():
    assert percent_score(650.391, references_of_data("dmc/cartpole-balance", 950.391)) == pytest.approx(50.0)
    assert percent_score(14.6, references_of_data("atari/Pong", None)) == pytest.approx(100.0)


@pytest.mark.parametrize("pattern", ["metaworld", "metaworld/*", "metaworld/hammer", "hammer", "*hammer*"])
def test_tasks_are_chosen_by_environment_domain_or_dataset(pattern):
    assert chosen_tasks(TASKS, pattern) == TASKS[:1]


def test_unknown_tasks_and_runs_without_tasks_are_refused():
    with pytest.raises(UsageError) as unknown:
        chosen_tasks(TASKS, "metaworld/hamer-v3")
    assert "did you mean 'metaworld/hammer-v3'?" in unknown.value.hint
    with pytest.raises(UsageError, match="--tasks is for runs of many tasks, which gpt-s42 is not"):
        require_tasks((), "gpt-s42", "--tasks")
