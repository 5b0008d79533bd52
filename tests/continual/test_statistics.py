"""Statistics by which tasks are told apart, and the choice of the task that they lead to."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import MultivariateNormal

from seqrl_cli.continual.action_replay import ActionStatistics, adapt_head
from seqrl_cli.continual.choosers import InferredTask, NearestKey, TrueTask
from seqrl_cli.continual.inference import Known, TaskInference, train_head
from seqrl_cli.continual.statistics import RIDGE, TaskStatistics
from seqrl_cli.models.adapters.keyed_pool import KeyedPool
from seqrl_cli.models.adapters.selection import NONE
from seqrl_cli.models.decision.task_history import TaskHistory


def cloud(mean: float, rows: int = 400, seed: int = 0) -> torch.Tensor:
    """Points whose two features depend on each other."""
    noise = torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed))
    return mean + noise @ torch.tensor([[1.0, 0.8], [0.0, 0.3]])


def test_log_density_is_that_of_a_normal_distribution():
    points = cloud(1.0)
    rows = points.double()
    covariance = torch.cov(rows.T, correction=0)
    covariance += RIDGE * covariance.diagonal().mean() * torch.eye(2, dtype=torch.float64)
    expected = MultivariateNormal(rows.mean(dim=0), covariance).log_prob(rows[:20])
    torch.testing.assert_close(TaskStatistics.of(points).log_density(points[:20]), expected, rtol=1e-10, atol=1e-10)


def test_a_density_does_not_depend_on_the_other_rows():
    statistics, points = TaskStatistics.of(cloud(0.0)), cloud(0.5, 7)
    together = statistics.log_density(points)
    assert all(torch.equal(statistics.log_density(points[row : row + 1])[0], together[row]) for row in range(7))


def test_samples_have_the_mean_and_the_covariance():
    statistics = TaskStatistics.of(cloud(3.0))
    samples = statistics.sample(20_000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(samples.mean(dim=0), statistics.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(samples.T), statistics.root @ statistics.root.T, atol=0.05, rtol=0)


def test_constant_features_have_a_density():
    statistics = TaskStatistics.of(torch.ones(5, 3))
    assert torch.isfinite(statistics.log_density(torch.zeros(2, 3))).all()


KNOWN = [
    Known("robot", NONE, TaskStatistics.of(cloud(-4.0))),  # of the pretraining
    Known("robot", 0, TaskStatistics.of(cloud(0.0))),
    Known("robot", 1, TaskStatistics.of(cloud(4.0))),
    Known("game", 2, TaskStatistics.of(cloud(0.0))),
]


def history(*features: float, name: str = "robot") -> TaskHistory:
    return TaskHistory(name, 1, task="t", observed=torch.tensor(features))


@pytest.mark.parametrize("with_head", [False, True])
def test_the_nearest_task_of_the_same_input_is_chosen(with_head):
    head = train_head(KNOWN, torch.Generator().manual_seed(0), updates=200) if with_head else None
    chooser = InferredTask(TaskInference(KNOWN, head), accumulate=False)
    episodes = [history(-4.0, -4.0), history(0.1, 0.1), history(4.0, 4.0), history(0.0, 0.0, name="game")]
    chooser.choose(episodes)
    assert [episode.adapter for episode in episodes] == [NONE, 0, 1, 2]


@pytest.mark.parametrize("accumulate", [False, True])
def test_states_of_a_kind_that_no_task_has_keep_the_backbone(accumulate):
    chooser, episode = InferredTask(TaskInference(KNOWN), accumulate), history(0.1, 0.1, name="arm")
    for _ in range(2):
        chooser.choose([episode])
        assert episode.adapter == NONE


def test_evidence_of_an_episode_outweighs_one_odd_step():
    adapters = {}
    for accumulate in (False, True):
        chooser, episode = InferredTask(TaskInference(KNOWN), accumulate), history(4.0, 4.0)
        for _ in range(10):
            chooser.choose([episode])
        episode.observed = torch.tensor([0.5, 0.5])
        chooser.choose([episode])
        adapters[accumulate] = episode.adapter
    assert adapters == {False: 0, True: 1}


def test_episodes_are_judged_apart():
    chooser = InferredTask(TaskInference(KNOWN), accumulate=True)
    alone, beside, other = history(0.2, 0.2), history(0.2, 0.2), history(4.0, 4.0)
    chooser.choose([alone])
    chooser.choose([other, beside])
    assert torch.equal(alone.evidence, beside.evidence)


def test_tasks_that_are_told():
    told, unknown = TaskHistory("robot", 1, task="a"), TaskHistory("robot", 1, task="b")
    TrueTask({"a": 3}).choose([told, unknown])
    assert (told.adapter, unknown.adapter) == (3, NONE)


def pool() -> KeyedPool:
    keys = KeyedPool(3, 2, generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for key, values in zip(keys.keys, ([1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]), strict=True):
            key.copy_(torch.tensor(values))
    return keys


def step(state: list[float], task: str = "a") -> TaskHistory:
    return TaskHistory("robot", 1, task=task, current=torch.tensor([state, [9.0, 9.0]]))


def test_keys_are_compared_with_the_states_of_the_window():
    episode = step([0.1, 2.0])
    episode.tokens.append(torch.tensor([[0.1, 2.0], [50.0, 0.0]]))  # a state, then what is none
    NearestKey(pool()).choose([episode])
    assert episode.adapter == 1


def test_keys_of_a_told_task():
    allowed = {"a": torch.tensor([False, False, True])}
    told, unknown = step([0.1, 2.0]), step([0.1, 2.0], task="b")
    NearestKey(pool(), allowed).choose([told, unknown])
    assert (told.adapter, unknown.adapter) == (2, NONE)


def test_a_new_task_takes_keys_that_no_other_has_used():
    keys = pool().train()
    queries = torch.tensor([[1.0, 0.1], [0.9, 0.2]])
    first = keys.choose(queries)
    keys.count(first)
    assert first.tolist() == [0, 0]
    assert keys.choose(queries).tolist() == [0, 0]  # within a task, the weights stay
    keys.begin_task()
    assert 0 not in keys.choose(queries).tolist()
    assert keys.eval().choose(queries).tolist() == [0, 0]  # in play they do not count


def test_classes_are_of_one_dimension_and_one_id():
    ids = torch.tensor([[0, 1], [0, 2]]).repeat(20, 1)
    features = torch.zeros(40, 2, 4)
    features[:, 0] = 1.0
    features[1::2, 1] = 5.0
    statistics = ActionStatistics.of(features, ids)
    assert statistics.ids.tolist() == [0, 1, 2] and statistics.counts.tolist() == [40, 20, 20]
    assert statistics.means[:, 0].tolist() == [1.0, 0.0, 5.0] and not statistics.variances.any()


def test_rare_classes_are_left_out_unless_all_are_rare():
    features = torch.arange(24.0).view(12, 1, 2)
    ids = torch.tensor([[0]] * 11 + [[1]])
    assert ActionStatistics.of(features, ids).ids.tolist() == [0]
    assert ActionStatistics.of(features[:3], torch.tensor([[0], [1], [2]])).ids.tolist() == [0, 1, 2]


def test_a_head_learns_all_tasks_from_their_samples():
    torch.manual_seed(0)
    centres = torch.eye(4) * 4
    parts = [
        ActionStatistics.of(centres[half].repeat(30, 1).unsqueeze(1), half.repeat(30, 1).view(-1, 1))
        for half in (torch.tensor([0, 1]), torch.tensor([2, 3]))
    ]
    head = torch.nn.Linear(4, 4)
    adapt_head(head, parts, [slice(None), slice(None)], torch.Generator().manual_seed(0), learning_rate=1e-2)
    assert head(centres).argmax(dim=1).tolist() == [0, 1, 2, 3]
    assert not head.weight.requires_grad
