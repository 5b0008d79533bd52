"""LAMB against steps calculated by hand, and against Adam where it should be Adam."""

import math

import numpy as np
import pytest
import torch

from seqrl_cli.training.lamb import Lamb


def test_two_steps_by_hand():
    """One weight tensor (3, 4), norm 5, gradients (1, 0) and (0, 2): all numbers below are worked out on paper."""
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    optimizer = Lamb([weight], lr=0.1, betas=(0.5, 0.75), eps=0.0, weight_decay=0.5)
    weight.grad = torch.tensor([1.0, 1.0])
    optimizer.step()
    # bias-corrected moments are the gradient and its square, so Adam's update is (1, 1); decay adds (1.5, 2)
    length = math.hypot(2.5, 3.0)
    first = np.array([3 - 0.1 * 5 / length * 2.5, 4 - 0.1 * 5 / length * 3.0])
    np.testing.assert_allclose(weight.detach().numpy(), first, rtol=1e-6)
    weight.grad = torch.tensor([1.0, -2.0])
    optimizer.step()
    # m = (0.75, -0.75) / 0.75; v = (0.4375, 1.1875) / 0.4375
    update = np.array([1.0, -1.0 / math.sqrt(1.1875 / 0.4375)]) + 0.5 * first
    expected = first - 0.1 * np.linalg.norm(first) / np.linalg.norm(update) * update
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-6)


def plain_step(weights, gradients, moments, step, lr, decay):
    """One tensor after the other, in float64."""
    for name, weight in weights.items():
        first, second = moments.setdefault(name, (np.zeros_like(weight), np.zeros_like(weight)))
        first, second = 0.9 * first + 0.1 * gradients[name], 0.999 * second + 0.001 * gradients[name] ** 2
        moments[name] = (first, second)
        update = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8) + decay * weight
        norm, length = np.linalg.norm(weight), np.linalg.norm(update)
        ratio = norm / length if decay and norm and length else 1.0
        weights[name] = weight - lr * ratio * update


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_equals_a_plain_one_over_many_steps(decay):
    rng = np.random.default_rng(0)
    shapes = {"matrix": (7, 5), "bias": (7,), "scalar": ()}
    weights = {name: rng.normal(size=shape) * (name != "bias") for name, shape in shapes.items()}
    ours = {name: torch.tensor(weight, dtype=torch.float32, requires_grad=True) for name, weight in weights.items()}
    optimizer, moments = Lamb(ours.values(), lr=0.02, weight_decay=decay), {}
    for step in range(1, 11):
        gradients = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        plain_step(weights, gradients, moments, step, 0.02, decay)
        for name, weight in ours.items():
            weight.grad = torch.tensor(gradients[name], dtype=torch.float32)
        optimizer.step()
    for name, weight in ours.items():
        np.testing.assert_allclose(weight.detach().numpy(), weights[name], rtol=1e-4, atol=1e-6)


def test_without_decay_it_is_adam():
    one, two = (torch.linspace(-1, 1, 5).requires_grad_() for _ in range(2))
    lamb, adam = Lamb([one], lr=0.1), torch.optim.Adam([two], lr=0.1)
    for step in range(5):
        for weight, optimizer in ((one, lamb), (two, adam)):
            weight.grad = weight.detach() * (step + 1)
            optimizer.step()
    torch.testing.assert_close(one, two)


def test_a_step_is_as_long_as_the_rate_says():
    weight = torch.full((100,), 0.3, requires_grad=True)
    weight.grad = torch.randn(100, generator=torch.Generator().manual_seed(0)) * 1e6
    before = weight.detach().clone()
    Lamb([weight], lr=0.05, weight_decay=1e-4).step()
    assert ((weight.detach() - before).norm() / before.norm()).item() == pytest.approx(0.05)


def test_parts_of_a_layer_step_as_one_tensor():
    generator = torch.Generator().manual_seed(0)
    whole, other = (torch.randn(6, 3, generator=generator) for _ in range(2))
    parts = [part.clone().requires_grad_() for part in whole.chunk(3)]
    tensors = [whole.clone().requires_grad_(), other.clone().requires_grad_()]
    alone = other.clone().requires_grad_()
    optimizers = (
        Lamb(tensors, lr=0.1, weight_decay=0.01),
        Lamb([*parts, alone], lr=0.1, weight_decay=0.01, joined=[parts]),
    )
    for _ in range(3):
        for tensor in tensors:
            tensor.grad = torch.randn(6, 3, generator=generator)
        alone.grad = tensors[1].grad
        for part, gradient in zip(parts, tensors[0].grad.chunk(3), strict=True):
            part.grad = gradient
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(torch.cat(parts), tensors[0])
    assert torch.equal(alone, tensors[1])
