"""Decision Transformers against one written out plainly, and what each may and may not look at."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.build import load_weights
from seqrl_cli.models.decision.action_distribution import Gaussian, PointMass, SquashedGaussian
from seqrl_cli.models.decision.build import build_policy
from tests.models.policies import ACTION_DIM, CONTEXT, OBSERVATION_DIM, make_batch, make_policy, tensors


def plain_forward(policy, observations, actions, returns_to_go, timesteps):
    """One window, one token at a time, every position in every block; the head's numbers at the observations."""
    tokens = []
    for observation, action, return_to_go, timestep in zip(
        observations, actions, returns_to_go, timesteps, strict=True
    ):
        for embedded in (
            policy.embed_return(policy.return_scale * return_to_go.reshape(1)),
            policy.embed_observation(
                (observation - policy.normalizer.observation_mean) / policy.normalizer.observation_std
            ),
            policy.embed_action((action + 2) / 1.5 - 1),
        ):
            time = 0 if policy.embed_time is None else policy.embed_time.weight[timestep]
            tokens.append(policy.norm_embedding(embedded + time))
    x = torch.stack(tokens)
    for block in policy.blocks:
        query, key, value = (layer(block.norm_attention(x)) for layer in (block.query, block.key, block.value))
        mixed = torch.zeros_like(x)
        size = x.shape[1] // block.n_head
        for head in range(block.n_head):
            part = slice(head * size, (head + 1) * size)
            for position in range(len(x)):
                scores = key[: position + 1, part] @ query[position, part] / math.sqrt(size)
                mixed[position, part] = torch.softmax(scores, dim=0) @ value[: position + 1, part]
        x = x + block.projection(mixed)
        x = x + block.mlp_out(functional.relu(block.mlp_in(block.norm_mlp(x))))
    return policy.head(policy.norm(x))[1::3]


@pytest.mark.parametrize("changes", [{}, {"max_timestep": 20}, {"squash": False}], ids=str)
@torch.no_grad()
def test_equals_a_plain_forward(changes):
    policy, batch = make_policy("odt", **changes), tensors(make_batch())
    found = policy(*batch)
    assert isinstance(found, Gaussian if "squash" in changes else SquashedGaussian)
    for row in range(len(batch[0])):
        mean, raw = plain_forward(policy, *(part[row] for part in batch)).chunk(2, dim=-1)
        torch.testing.assert_close(found.mean[row], mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.log_std[row], -1.5 + 3.5 * torch.tanh(raw), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_dt_is_a_point_in_the_box():
    policy, batch = make_policy("dt"), tensors(make_batch())
    found = policy(*batch)
    assert isinstance(found, PointMass) and found.mode.abs().max() < 1
    plain = plain_forward(policy, *(part[0] for part in batch))
    torch.testing.assert_close(found.mode[0], plain.tanh(), rtol=1e-4, atol=1e-5)
    executed = policy.normalizer.denormalize_action(found.mode)
    assert executed.min() >= -2 and executed.max() <= 1
    torch.testing.assert_close(policy.normalizer.normalize_action(executed), found.mode)


@torch.no_grad()
def test_a_step_sees_the_past_and_not_the_future_nor_its_own_action():
    policy, batch = make_policy("odt"), tensors(make_batch())
    before = policy(*batch).mean
    at = 3
    for index, seen_from in ((0, at), (1, at + 1), (2, at)):
        changed = [part.clone() for part in batch]
        changed[index][:, at] += 1
        difference = (policy(*changed).mean - before).abs().amax(dim=(0, 2))
        assert (difference[:seen_from] == 0).all() and (difference[seen_from:] > 0).all()


@torch.no_grad()
def test_shorter_windows_are_the_beginnings_of_longer_ones():
    policy, batch = make_policy("odt"), tensors(make_batch())
    short = policy(*(part[:, :2] for part in batch)).mean
    torch.testing.assert_close(short, policy(*batch).mean[:, :2])


def test_a_fresh_model_tells_returns_apart_and_is_the_same_for_a_seed():
    one, two = (
        build_policy(
            "odt", observation_shape=(4,), action_dim=2, width=32, n_layer=1, generator=torch.Generator().manual_seed(3)
        ).eval()
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    blank = (
        torch.zeros(2, 1, 4),
        torch.zeros(2, 1, 2),
        torch.tensor([[500.0], [3000.0]]),
        torch.zeros(2, 1, dtype=torch.long),
    )
    mean = one(*blank).mean
    assert (mean[0] - mean[1]).abs().max() > 1e-3
    rows = one.head.weight.detach()[:2]
    torch.testing.assert_close(rows @ rows.T, torch.eye(2), atol=1e-5, rtol=0)


@torch.no_grad()
def test_an_episode_longer_than_the_time_embedding_keeps_its_last_one():
    policy, batch = make_policy("odt", max_timestep=3), tensors(make_batch())
    late = (*batch[:3], batch[3] + 100)
    torch.testing.assert_close(policy(*late).mean, policy(*batch[:3], torch.full_like(batch[3], 2)).mean)


@torch.no_grad()
def test_behaviour_cloning_looks_at_the_observation_alone():
    policy, (observations, actions, returns_to_go, timesteps) = make_policy("bc"), tensors(make_batch())
    before = policy(observations, actions, returns_to_go, timesteps).mode
    after = policy(observations, actions + 1, returns_to_go + 1, timesteps + 1).mode
    assert torch.equal(before, after) and before.shape == (8, CONTEXT, ACTION_DIM)
    torch.testing.assert_close(policy(observations[:, 2:3], actions, returns_to_go, timesteps).mode, before[:, 2:3])


def test_the_normalizer_leaves_constant_dimensions_unscaled():
    policy = make_policy("dt")
    observations = np.random.default_rng(0).normal(size=(100, OBSERVATION_DIM))
    observations[:, 1] = 3.0
    policy.normalizer.fit_observations(observations)
    policy.normalizer.fit_actions([-1.0, -2.0], [1.0, 4.0])
    standard = policy.normalizer.normalize_observation(torch.from_numpy(observations).float())
    torch.testing.assert_close(standard.std(dim=0, correction=0), torch.tensor([1.0, 0.0, 1.0, 1.0]))
    assert policy.normalizer.normalize_observation(torch.full((OBSERVATION_DIM,), 3.1))[1].item() == pytest.approx(
        0.1, abs=1e-5
    )
    assert policy.normalizer.denormalize_action(torch.tensor([1.0, 0.0])).tolist() == [1.0, 1.0]


def test_bad_arguments_and_foreign_weights():
    with pytest.raises(SeqrlError, match="width 30 is not divisible by n_head 4"):
        build_policy("dt", observation_shape=(3,), action_dim=1, width=30)
    with pytest.raises(SeqrlError, match="unknown policy 'odd'"):
        build_policy("odd")
    policy = make_policy("odt")
    with pytest.raises(SeqrlError, match="7 steps are more than the model's context 6"):
        policy(torch.zeros(1, 7, 4), torch.zeros(1, 7, 2), torch.zeros(1, 7), torch.zeros(1, 7, dtype=torch.long))
    for ours, theirs in (("odt", "dt"), ("dt", "bc"), ("bc", "odt")):
        with pytest.raises(SeqrlError, match=f"holds weights of an? {theirs}, not of this {ours}"):
            load_weights(make_policy(ours), make_policy(theirs).state_dict(), "here")
    with pytest.raises(SeqrlError, match="holds weights of other sizes, not of this dt"):
        load_weights(make_policy("dt"), make_policy("dt", n_layer=1).state_dict(), "here")
    load_weights(policy, make_policy("odt", seed=1).state_dict(), "here")


@pytest.mark.parametrize("arch", ["dt", "bc"])
def test_images_that_are_too_small_for_the_network_are_refused(arch):
    sizes = {"observation_shape": (16, 40, 3), "action_dim": 2, "image_encoder": "nature"}
    with pytest.raises(SeqrlError, match="16 x 40 are too small for nature") as refused:
        build_policy(arch, **sizes)
    assert "impala" in refused.value.hint
