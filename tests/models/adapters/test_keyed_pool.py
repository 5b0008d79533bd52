"""Members of a pool are chosen by keys, and a new task takes unused ones."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.models.adapters import KeyedPool

WIDTH = 8


def make_pool(members: int = 6, top_k: int = 1) -> KeyedPool:
    return KeyedPool(members, WIDTH, top_k, torch.Generator().manual_seed(0))


def queries_near(pool: KeyedPool, members: list[int]) -> torch.Tensor:
    noise = 0.05 * torch.randn(len(members), WIDTH, generator=torch.Generator().manual_seed(1))
    return torch.stack([3 * pool.keys[member].detach() for member in members]) + noise


def test_keys_are_uniform():
    keys = torch.stack(list(KeyedPool(400, 10, 1, torch.Generator().manual_seed(0)).keys))
    assert keys.min() >= -1 and keys.max() <= 1
    assert abs(keys.mean()) < 0.03 and abs(keys.std() - 3**-0.5) < 0.02


def test_the_most_similar_keys_are_chosen():
    pool = make_pool(top_k=2).eval()
    queries = queries_near(pool, [3, 0, 5, 3])
    choice = pool.choose(queries)
    assert choice[:, 0].tolist() == [3, 0, 5, 3]
    for query, own in zip(queries, choice, strict=True):
        cosines = torch.stack([torch.cosine_similarity(query, key, dim=0) for key in pool.keys])
        assert own.tolist() == cosines.argsort(descending=True)[:2].tolist()


def test_a_scaled_query_chooses_the_same():
    pool = make_pool()
    queries = torch.randn(20, WIDTH, generator=torch.Generator().manual_seed(2))
    assert torch.equal(pool.choose(queries), pool.choose(7 * queries))


def test_a_new_task_takes_unused_members_and_keeps_them_while_it_lasts():
    pool = make_pool()
    queries = queries_near(pool, [2] * 6 + [4] * 2)
    first = pool.choose(queries)
    assert set(first.tolist()) == {2, 4}
    pool.count(first)
    assert pool.usage.tolist() == [0, 0, 0.75, 0, 0.25, 0]
    pool.begin_task()
    weights = pool.weights.clone()
    second = pool.choose(queries)
    assert not set(second.tolist()) & {2, 4}
    for _ in range(3):
        pool.count(second)
        assert torch.equal(pool.weights, weights) and torch.equal(pool.choose(queries), second)
    pool.begin_task()
    assert not set(pool.choose(queries).tolist()) & {2, 4, *second.tolist()}
    assert set(pool.eval().choose(queries).tolist()) == {2, 4}  # no penalty at play


def test_usage_is_the_mean_over_batches():
    pool = make_pool(3)
    batches = [torch.tensor([0, 0, 1, 2]), torch.tensor([1, 1, 1, 1]), torch.tensor([2, 0, 0, 0])]
    for batch in batches:
        pool.count(batch)
    shares = torch.stack([torch.bincount(batch, minlength=3) / 4 for batch in batches]).double()
    torch.testing.assert_close(pool.usage, shares.mean(0))


def test_only_allowed_members_are_chosen():
    pool = make_pool()
    queries = queries_near(pool, [2, 4, 0])
    allowed = torch.tensor([False, True, False, True, False, False])
    assert set(pool.choose(queries, allowed).tolist()) <= {1, 3}
    own = torch.eye(6, dtype=torch.bool)[[5, 4, 1]]
    assert pool.choose(queries, own).tolist() == [5, 4, 1]


@pytest.mark.parametrize("top_k", [1, 2])
def test_the_pull_moves_chosen_keys_only(top_k):
    pool = make_pool(top_k=top_k)
    away = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(3))
    queries = (queries_near(pool, [2, 4, 4]) + away).requires_grad_()
    choice = pool.choose(queries)
    before = [key.clone() for key in pool.keys]
    optimizer = torch.optim.AdamW(pool.parameters(), lr=0.01, weight_decay=0.1)
    start = pool.pull(queries, choice)
    expected = torch.stack(
        [
            torch.cosine_similarity(queries[row], pool.keys[member], dim=0)
            for row in range(3)
            for member in choice.view(3, -1)[row]
        ]
    ).mean()
    torch.testing.assert_close(start, expected)
    for _ in range(5):
        optimizer.zero_grad()
        (-pool.pull(queries, choice)).backward()
        optimizer.step()
    assert queries.grad is None
    assert pool.pull(queries, choice) > start
    chosen = set(choice.flatten().tolist())
    assert {member for member in range(6) if not torch.equal(pool.keys[member], before[member])} == chosen


def test_a_saved_pool_goes_on():
    pool = make_pool()
    queries = queries_near(pool, [2, 4, 0])
    pool.count(pool.choose(queries))
    pool.begin_task()
    other = KeyedPool(6, WIDTH)
    other.load_state_dict(pool.state_dict())
    assert torch.equal(other.choose(queries), pool.choose(queries)) and other.batches == 1
