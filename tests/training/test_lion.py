"""Lion follows its paper's algorithm."""

from __future__ import annotations

import torch

from seqrl_cli.training.lion import Lion


def test_steps_follow_algorithm_2():
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(4, 3))
    expected, mean = parameter.detach().clone().double(), torch.zeros(4, 3, dtype=torch.float64)
    optimizer = Lion([parameter], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for _ in range(5):
        gradient = torch.randn(4, 3)
        parameter.grad = gradient
        optimizer.step()
        update = (0.9 * mean + 0.1 * gradient).sign()
        expected = expected - 0.01 * (update + 0.1 * expected)
        mean = 0.99 * mean + 0.01 * gradient
    torch.testing.assert_close(parameter.detach().double(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(optimizer.state[parameter]["exp_avg"].double(), mean, atol=1e-6, rtol=0)


def test_parameters_without_a_gradient_stay():
    kept, moved = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    moved.grad = torch.tensor([3.0, 0.0])
    optimizer = Lion([kept, moved], lr=0.1)
    optimizer.step()
    assert torch.equal(kept, torch.ones(2)) and torch.allclose(moved, torch.tensor([0.9, 1.0]))
    assert not optimizer.state[kept]
