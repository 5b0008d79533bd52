"""Windows of several tasks."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.task_data import TaskData
from seqrl_cli.data.task_sampler import SamplingRules, TaskSampler, cut_windows


def make_task(env_id: str, lengths: list[int], *, action_dim: int = 2, seed: int = 0) -> TaskData:
    rng = np.random.default_rng(seed)
    rows = sum(lengths)
    ends = np.isin(np.arange(rows), np.cumsum(lengths) - 1)
    episodes = Episodes.from_flags(
        rng.normal(size=(rows, 3)), rng.uniform(-1, 1, (rows, action_dim)), rng.normal(size=rows), ends, False & ends
    )
    bound = np.ones(action_dim)
    return TaskData.of(f"local/{env_id}", env_id, episodes, (-2 * bound, 2 * bound))


def test_windows_are_the_rows_of_their_episode_and_then_padding():
    task = make_task("Some-v0", [4, 2, 5])
    batch = cut_windows(task.group, [(task, np.array([1, 3, 4, 10]))], 3)
    assert batch.mask.tolist() == [[True] * 3, [True, False, False], [True, True, False], [True, False, False]]
    assert np.array_equal(batch.observations[0], task.stored.observations[1:4])
    assert batch.timesteps[0].tolist() == [1, 2, 3] and batch.timesteps[2, :2].tolist() == [0, 1]
    expected = task.stored.rewards[1:4].sum() / task.facts.reward_scale
    assert batch.returns_to_go[0, 0] == pytest.approx(expected, rel=1e-5)
    assert np.allclose(batch.actions[0], task.stored.actions[1:4] / 2)  # the bounds are -2 and 2


def test_all_domains_are_in_a_joined_update_and_take_turns_in_an_alternating_one():
    tasks = [make_task("A-v0", [5]), make_task("B-v0", [5]), make_task("B-v0", [9])]
    joined = TaskSampler(tasks, 2, SamplingRules(weights={"B-v0": 3.0}), np.random.default_rng(0))
    assert [(weight, part[0].group[0]) for weight, part in joined.next_batches(8)] == [(1.0, "A-v0"), (3.0, "B-v0")]
    turns = TaskSampler(tasks, 2, SamplingRules("alternating"), np.random.default_rng(0))
    names = [turns.next_batches(4)[0][1][0].group[0] for _ in range(4)]
    assert names == ["A-v0", "B-v0", "A-v0", "B-v0"]


def test_a_restored_sampler_draws_the_same():
    tasks = [make_task("A-v0", [5, 3]), make_task("B-v0", [5])]
    first = TaskSampler(tasks, 2, SamplingRules("weighted"), np.random.default_rng(0))
    first.next_batches(4)
    state = first.state()
    expected = first.next_batches(4)
    second = TaskSampler(tasks, 2, SamplingRules("weighted"), np.random.default_rng(7))
    second.restore(state)
    (_, mine), (_, theirs) = second.next_batches(4)[0], expected[0]
    assert all(np.array_equal(a.observations, b.observations) for a, b in zip(mine, theirs, strict=True))


def test_tasks_with_other_actions_are_batches_of_their_own():
    tasks = [make_task("A-v0", [50], action_dim=1), make_task("A-v0", [50], action_dim=3)]
    ((_, batches),) = TaskSampler(tasks, 1, SamplingRules(), np.random.default_rng(0)).next_batches(20)
    assert sorted(batch.group[1] for batch in batches) == [1, 3]
    assert sum(len(batch.mask) for batch in batches) == 20


def make_images(env_id: str, rows: int) -> TaskData:
    rng = np.random.default_rng(0)
    flags = np.arange(rows) == rows - 1
    images = rng.integers(0, 256, (rows, 4, 4)).astype(np.uint8)
    episodes = Episodes.from_flags(images, rng.integers(0, 3, rows), rng.normal(size=rows), flags, False & flags)
    return TaskData.of(f"local/{env_id}", env_id, episodes, (np.zeros(1), np.ones(1)))


def test_images_have_a_batch_size_of_their_own():
    tasks = [make_task("A-v0", [30]), make_images("B-v0", 10)]
    sampler = TaskSampler(tasks, 1, SamplingRules(image_batch=3), np.random.default_rng(0))
    sizes = [len(part.mask) for _, (part,) in sampler.next_batches(8)]
    assert sizes == [8, 3] and sampler.windows_per_draw(8) == 11
    turns = TaskSampler(tasks, 1, SamplingRules("alternating", image_batch=3), np.random.default_rng(0))
    assert turns.windows_per_draw(8) == 5.5
    sized = TaskSampler(tasks, 1, SamplingRules("sized", image_batch=3), np.random.default_rng(0))
    assert sized.windows_per_draw(8) == (30 * 8 + 10 * 3) / 40
    drawn = [len(sized.next_batches(8)[0][1][0].mask) for _ in range(400)]
    assert set(drawn) == {8, 3} and np.mean(drawn) == pytest.approx(sized.windows_per_draw(8), abs=0.4)


@pytest.mark.parametrize("rule", ["length", "uniform", "return", "success"])
def test_rules_choose_episodes(rule):
    task = make_task("A-v0", [1, 99])
    rewards = np.zeros(100, np.float32)
    rewards[0] = 1.0
    successes = np.zeros(100, bool)
    successes[0] = True
    episodes = Episodes(
        *(task.stored.observations, task.stored.actions, rewards, task.stored.terminals, task.stored.timeouts),
        task.stored.offsets,
        successes=successes,
    )
    sampler = TaskSampler([TaskData(task.facts, episodes)], 1, SamplingRules(episodes=rule), np.random.default_rng(0))
    ((_, (batch,)),) = sampler.next_batches(400)
    share = float((batch.returns_to_go[:, 0] > 0).mean())
    expected = {"length": 0.01, "uniform": 0.5, "return": 0.99, "success": 1.0}[rule]
    assert share == pytest.approx(expected, abs=0.08)
