"""Prefix trees hold each distinct beginning once and lose nothing."""

from __future__ import annotations

import torch

from seqrl_cli.models.decoding.prefix_tree import prefix_levels


def test_paths_spell_the_rows():
    tokens = torch.randint(0, 2, (40, 8), generator=torch.Generator().manual_seed(0))
    levels, node = prefix_levels(tokens, 3)
    assert [level.tokens.shape[1] for level in levels] == [3, 3, 2]
    spelled = []
    for level in reversed(levels):
        spelled.append(level.tokens[node])
        node = level.parent[node]
    assert torch.equal(torch.cat(spelled[::-1], dim=1), tokens)


def test_each_beginning_once():
    tokens = torch.tensor([[1, 2, 5, 5], [1, 2, 6, 6], [1, 2, 5, 5], [3, 2, 5, 5]])
    levels, node = prefix_levels(tokens, 2)
    assert [len(level.tokens) for level in levels] == [2, 3]
    assert node[0] == node[2]
