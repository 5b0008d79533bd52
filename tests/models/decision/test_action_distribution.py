"""Likelihoods and entropies against torch.distributions and plain sampling."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution
from torch.nn import functional

from seqrl_cli.models.decision.action_distribution import (
    LARGEST_ACTION,
    Categorical,
    Gaussian,
    PointMass,
    SquashedGaussian,
    bounded_log_std,
    draw_noise,
)


def parameters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(5, 7, 3, generator=generator, dtype=torch.float64)
    log_std = bounded_log_std(torch.randn(5, 7, 3, generator=generator, dtype=torch.float64))
    return mean.to(dtype), log_std.to(dtype)


def reference(mean, log_std, squash):
    normal = Normal(mean.double(), log_std.double().exp())
    return Independent(TransformedDistribution(normal, TanhTransform()) if squash else normal, 1)


@pytest.mark.parametrize(("kind", "squash"), [(Gaussian, False), (SquashedGaussian, True)])
def test_log_prob_equals_torch_distributions(kind, squash):
    mean, log_std = parameters()
    actions = 1.98 * torch.rand(5, 7, 3, generator=torch.Generator().manual_seed(1)) - 0.99
    expected = reference(mean, log_std, squash).log_prob(actions.double())
    torch.testing.assert_close(kind(mean, log_std).log_prob(actions).double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("kind", "squash"), [(Gaussian, False), (SquashedGaussian, True)])
def test_entropy_is_minus_the_mean_log_density_of_samples(kind, squash):
    mean, log_std = parameters(torch.float64)
    log_std = log_std.clamp(max=-0.5)  # no sample is squashed to exactly 1
    noise = torch.randn(20_000, 5, 7, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    samples = kind(mean, log_std).sample(noise)
    plain = -reference(mean, log_std, squash).log_prob(samples).mean(dim=0)
    torch.testing.assert_close(kind(mean, log_std).entropy(noise), plain, rtol=0, atol=0.05)
    few = kind(mean, log_std).entropy(noise[:50])
    torch.testing.assert_close(few, plain, rtol=0, atol=1.0)


def test_entropy_has_the_gradient_of_the_plain_estimate():
    mean, log_std = (part.requires_grad_() for part in parameters(torch.float64))
    noise = torch.randn(3, 5, 7, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    policy = SquashedGaussian(mean, log_std)
    before = mean + log_std.exp() * noise
    slope = 2 * (math.log(2) - before - torch.nn.functional.softplus(-2 * before))
    plain = -(Normal(mean, log_std.exp()).log_prob(before) - slope).sum(dim=-1).mean(dim=0)
    ours = torch.autograd.grad(policy.entropy(noise).sum(), (mean, log_std))
    theirs = torch.autograd.grad(plain.sum(), (mean, log_std))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_actions_at_the_bounds_are_finite_and_others_keep_their_digits():
    policy = SquashedGaussian(*(part.requires_grad_() for part in parameters()))
    edge = torch.ones(5, 7, 3)
    for actions in (edge, -edge, 1.0001 * edge):
        likelihood = policy.log_prob(actions)
        assert likelihood.isfinite().all()
        gradients = torch.autograd.grad(likelihood.sum(), (policy.mean, policy.log_std))
        assert all(gradient.isfinite().all() for gradient in gradients)
    # just inside the clamp, float32 still tells neighbouring actions apart
    near = torch.tensor([LARGEST_ACTION - 1e-6, LARGEST_ACTION - 2e-6]).reshape(2, 1)
    one = SquashedGaussian(torch.zeros(1), torch.zeros(1))
    expected = reference(one.mean, one.log_std, True).log_prob(near.double())
    torch.testing.assert_close(one.log_prob(near).double(), expected, rtol=1e-6, atol=0)


def test_the_log_std_stays_in_its_range():
    ends = bounded_log_std(torch.tensor([-100.0, 0.0, 100.0]))
    assert ends.tolist() == [-5.0, -1.5, 2.0]


def test_modes_and_a_point():
    mean, log_std = parameters()
    assert torch.equal(SquashedGaussian(mean, log_std).mode, mean.tanh())
    assert torch.equal(Gaussian(mean, log_std).mode, mean)
    point = PointMass(torch.tensor([[0.5, -0.5]]))
    assert torch.equal(point.sample(torch.randn(1, 2)), point.mode)
    assert point.squared_error(torch.tensor([[0.0, 0.5]])).tolist() == [0.625]


def test_choices_equal_torch_distributions():
    logits = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    chosen = torch.randint(3, (5, 7), generator=torch.Generator().manual_seed(1))
    expected = torch.distributions.Categorical(logits=logits)
    found = Categorical(logits)
    torch.testing.assert_close(found.log_prob(functional.one_hot(chosen, 3).float()), expected.log_prob(chosen))
    torch.testing.assert_close(found.entropy(torch.empty(0)), expected.entropy())
    assert torch.equal(found.mode, functional.one_hot(logits.argmax(-1), 3).float())


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_choices_are_sampled_at_the_temperature_of_their_noise(temperature):
    logits = torch.tensor([1.0, 0.0, -1.0])
    rng = np.random.default_rng(0)
    noise = np.stack([draw_noise(rng, 3, discrete=True) for _ in range(20_000)])
    found = Categorical(logits.expand(20_000, -1)).sample(temperature * torch.from_numpy(noise))
    assert (found.sum(-1) == 1).all()
    torch.testing.assert_close(found.mean(0), (logits / temperature).softmax(-1), atol=0.015, rtol=0)
    assert torch.equal(Categorical(logits).sample(torch.zeros(3)), Categorical(logits).mode)
