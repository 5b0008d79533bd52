"""Penalties that hold weights near earlier ones, against gradients worked out by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from seqrl_cli.continual.anchors import Anchor, fisher_information
from seqrl_cli.continual.guides import Anchored


def layer() -> nn.Linear:
    made = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([[1.0, 2.0]]))
    return made


def test_fisher_information_is_the_mean_of_squares_not_the_square_of_the_mean():
    model = layer()
    rows = torch.tensor([[1.0, 0.0], [-3.0, 1.0]])
    found = fisher_information({"weight": model.weight}, [lambda row=row: model(row).sum() for row in rows])
    assert found["weight"].tolist() == [[5.0, 0.5]]  # (1 + 9) / 2, (0 + 1) / 2; the mean gradient's square is [1, .25]


def test_fisher_information_of_a_classifier_equals_autograd_window_by_window():
    torch.manual_seed(0)
    model, inputs, targets = nn.Linear(3, 4), torch.randn(6, 3), torch.randint(4, (6,))
    parameters = dict(model.named_parameters())
    losses = [
        partial(lambda i: functional.cross_entropy(model(inputs[i : i + 1]), targets[i : i + 1]), i) for i in range(6)
    ]
    found = fisher_information(parameters, losses)
    by_hand = {name: torch.zeros_like(one) for name, one in parameters.items()}
    for row in range(6):
        model.zero_grad()
        functional.cross_entropy(model(inputs[row : row + 1]), targets[row : row + 1]).backward()
        for name, one in parameters.items():
            by_hand[name] += one.grad.square() / 6
    for name in parameters:
        torch.testing.assert_close(found[name], by_hand[name])


def test_the_penalty_is_half_the_weighted_squared_distance():
    model = layer()
    anchor = Anchor.at({"w": model.weight}, {"w": torch.tensor([[3.0, 1.0]])})
    assert anchor.penalty({"w": model.weight}).item() == 0.0
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 1.0]]))
    assert anchor.penalty({"w": model.weight}).item() == pytest.approx(0.5 * (3 * 4 + 1 * 1))


def test_all_anchors_count():
    model = layer()
    anchors = [Anchor.at({"w": model.weight})]
    with torch.no_grad():
        model.weight += 1
    anchors.append(Anchor.at({"w": model.weight}))
    with torch.no_grad():
        model.weight += 1
    guide = Anchored({"w": model.weight}, anchors, weight=10.0)
    assert guide.added_loss().item() == pytest.approx(10 * (0.5 * 2 * 4 + 0.5 * 2 * 1))
    assert Anchored({"w": model.weight}, [], 10.0).added_loss() is None


def test_one_anchor_for_all_tasks_adds_up_their_importance():
    model = layer()
    first = Anchor.at({"w": model.weight}, {"w": torch.tensor([[1.0, 2.0]])})
    with torch.no_grad():
        model.weight += 1
    both = Anchor.at({"w": model.weight}, {"w": torch.tensor([[10.0, 20.0]])}).joined(first)
    assert both.importance["w"].tolist() == [[11.0, 22.0]] and both.values["w"].tolist() == [[2.0, 3.0]]
    again = Anchor.from_tensors(both.tensors())
    assert torch.equal(again.values["w"], both.values["w"]) and torch.equal(again.importance["w"], both.importance["w"])
