"""What a policy learns from: real steps only, a temperature that is not lost, and the same bits after a restore."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqrl_cli.config.architectures import names_with
from seqrl_cli.data.policy_windows import PolicyBatch
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.block import Block
from seqrl_cli.models.decision.decoder import Policy
from seqrl_cli.models.dropout import Dropout
from seqrl_cli.training import policy_learner
from seqrl_cli.training.policy_learner import DualTemperature, PolicyLearner, PolicySettings, usual_target_entropy
from tests.models.policies import ACTION_DIM, CHOICES, CONTEXT, make_batch, make_choices, make_policy, tensors

SETTINGS = PolicySettings(seed=3, learning_rate=3e-3, warmup_updates=4, precision="float32")


def make_learner(arch: str = "odt", **changes) -> PolicyLearner:
    return PolicyLearner(make_policy(arch), replace(SETTINGS, **changes))


def test_the_rate_rises_stays_or_falls_on_a_line():
    stays = replace(SETTINGS, learning_rate=1.0)
    falls = replace(stays, curve="linear", updates=12)
    assert [stays.rate(step) for step in (0, 3, 4, 500)] == [0.25, 1.0, 1.0, 1.0]
    assert [falls.rate(step) for step in (0, 3, 4, 6, 11, 12, 500)] == [0.25, 1.0, 1.0, 0.75, 0.125, 0.0, 0.0]
    assert replace(falls, updates=3).rate(5) == 0.0  # all of it was warm-up


def longer(batch: PolicyBatch, rng: np.random.Generator) -> PolicyBatch:
    """The same real steps, with rubbish where there is padding, and more of it."""
    arrays = {}
    for name in ("observations", "actions", "returns_to_go", "timesteps"):
        array = getattr(batch, name).copy()
        array[~batch.mask] = rng.integers(1, 5, array[~batch.mask].shape)
        arrays[name] = array
    return PolicyBatch(mask=batch.mask, **arrays)


@pytest.mark.parametrize("arch", names_with("policy"))
def test_padding_counts_in_nothing(arch):
    """Neither likelihood nor entropy nor gradients see it: the weights after two updates are the same bits."""
    batch, rng = make_batch(), np.random.default_rng(0)
    assert not batch.mask.all()
    ends = []
    for content in (batch, longer(batch, rng)):
        torch.manual_seed(0)
        learner = make_learner(arch)
        measures = [learner.update(content) for _ in range(2)]
        ends.append(({name: value.item() for name, value in measures[-1].items()}, learner.model.state_dict()))
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(ends[0][1][name], ends[1][1][name]) for name in ends[0][1])


def test_the_loss_is_likelihood_and_entropy_of_the_real_steps():
    learner, batch = make_learner(entropy_samples=5), make_batch()
    without_dropout(learner.model)
    distribution = learner.model(*tensors(batch))
    noise = torch.randn(5, *batch.actions.shape)
    actions = learner.model.normalizer.normalize_action(torch.from_numpy(batch.actions))
    likelihood = np.mean([distribution.log_prob(actions)[row, step].item() for row, step in np.argwhere(batch.mask)])
    entropies = distribution.entropy(noise)
    entropy = np.mean([entropies[row, step].item() for row, step in np.argwhere(batch.mask)])
    torch.manual_seed(SETTINGS.seed)
    expected = learner.model(*tensors(batch)).entropy(torch.randn(5, *batch.actions.shape))
    torch.manual_seed(SETTINGS.seed)
    found = {name: value.item() for name, value in learner.update(batch).items()}
    assert found["nll"] == pytest.approx(-likelihood, rel=1e-5)
    assert found["entropy"] == pytest.approx(expected[torch.from_numpy(batch.mask)].mean().item(), rel=1e-5)
    assert abs(found["entropy"] - entropy) < 1
    assert found["temperature"] == pytest.approx(0.1)
    assert found["loss"] == pytest.approx(found["nll"] - 0.1 * found["entropy"], rel=1e-5)
    assert found["learning_rate"] == pytest.approx(SETTINGS.learning_rate / 4)


def without_dropout(policy: Policy) -> Policy:
    for module in policy.modules():
        if isinstance(module, Dropout):
            module.p = 0.0
        if isinstance(module, Block):
            module.attention_dropout = 0.0
    return policy


@pytest.mark.parametrize("arch", names_with("policy"))
def test_a_batch_in_parts_gives_the_gradients_of_the_whole(arch, monkeypatch):
    ends = []
    for windows in (100, 3):
        monkeypatch.setattr(policy_learner, "CPU_STEPS", windows * CONTEXT)
        policy = without_dropout(make_policy(arch))
        learner = PolicyLearner(policy, replace(SETTINGS, optimizer="adamw", target_entropy=0.0))
        if arch == "odt":  # its entropy draws noise for each part, so look at the likelihood alone
            learner._dual._log.data.fill_(-1e9)
        measures = learner.update(make_batch(count=8))
        ends.append((measures["loss"].item(), policy.head.weight.detach().clone()))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-5)
    torch.testing.assert_close(ends[0][1], ends[1][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("target", "rises"), [(50.0, True), (-50.0, False)])
def test_the_temperature_follows_the_entropy(target, rises):
    learner = make_learner(target_entropy=target, temperature_rate=0.05)
    temperatures = [learner.update(make_batch())["temperature"].item() for _ in range(5)]
    assert temperatures[0] == pytest.approx(0.1)
    assert (np.diff(temperatures) > 0).all() if rises else (np.diff(temperatures) < 0).all()
    # Adam's first step is as long as its rate, in log space
    assert abs(math.log(temperatures[1] / temperatures[0])) == pytest.approx(0.05, rel=1e-3)


def test_the_target_is_minus_the_action_dimensions_by_default():
    """A temperature that is above its target falls, one that is below rises."""
    entropy = torch.tensor(-ACTION_DIM + 0.01)
    for offset, rises in ((0.0, False), (-0.02, True)):
        dual = DualTemperature(SETTINGS, -float(ACTION_DIM), torch.device("cpu"))
        dual.update(entropy + offset)
        assert (dual.value.item() > 0.1) is rises


@pytest.mark.parametrize("optimizer", ["lamb", "adamw"])
@pytest.mark.parametrize("arch", names_with("policy"))
def test_a_restored_learner_goes_on_with_the_same_bits(arch, optimizer):
    learner = make_learner(arch, optimizer=optimizer, temperature_rate=0.1)
    for seed in range(3):
        learner.update(make_batch(seed))
    saved = learner.checkpoint()
    saved = replace(
        saved,
        model={n: t.clone() for n, t in saved.model.items()},
        optimizer={n: t.clone() for n, t in saved.optimizer.items()},
    )
    first = [learner.update(make_batch(seed)) for seed in (3, 4)]
    again = make_learner(arch, optimizer=optimizer, temperature_rate=0.1)
    again.update(make_batch(9))  # whatever it did before is forgotten
    again.restore(saved)
    assert again.step == 3
    second = [again.update(make_batch(seed)) for seed in (3, 4)]
    assert [{n: v.item() for n, v in m.items()} for m in first] == [{n: v.item() for n, v in m.items()} for m in second]
    ours, theirs = learner.checkpoint(), again.checkpoint()
    for one, other in ((ours.model, theirs.model), (ours.optimizer, theirs.optimizer)):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert ours.state == theirs.state
    if arch == "odt":
        assert ours.optimizer["temperature.log"] != math.log(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("arch", names_with("policy"))
def test_it_learns_what_the_data_do(arch):
    learner = make_learner(arch, optimizer="adamw", learning_rate=1e-2, grad_clip=1.0)
    held_out = [make_batch(seed, 32) for seed in (100, 101)]
    before = learner.validation_loss(iter(held_out))
    for seed in range(80):
        learner.update(make_batch(seed, 32))
    after = learner.validation_loss(iter(held_out))
    assert after < (before - 0.5 if arch == "odt" else 0.5 * before)


def test_validation_is_the_mean_over_real_steps_however_they_are_batched():
    learner, batch = make_learner("odt"), make_batch(count=6)
    whole = learner.validation_loss(iter([batch]))
    names = ("observations", "actions", "returns_to_go", "timesteps", "mask")
    parts = [PolicyBatch(**{name: getattr(batch, name)[part] for name in names}) for part in (slice(0, 1), slice(1, 6))]
    assert learner.validation_loss(iter(parts)) == pytest.approx(whole, rel=1e-5)


def test_checkpoints_of_others_are_refused():
    learner = make_learner("odt")
    with pytest.raises(SeqrlError, match="is for adamw, not for lamb"):
        learner.restore(make_learner("odt", optimizer="adamw").checkpoint())
    with pytest.raises(SeqrlError, match="belongs to another model"):
        learner.restore(make_learner("dt").checkpoint())


def test_the_temperatures_moments_go_to_its_device_and_adams_step_stays():
    """A checkpoint is read to the CPU, whatever the model is on; ``meta`` stands in for a GPU."""
    scalar = torch.tensor(1.0)
    there = DualTemperature(SETTINGS, -float(ACTION_DIM), torch.device("meta"))
    there.load({"log": scalar, "step": scalar, "exp_avg": scalar, "exp_avg_sq": scalar})
    devices = {name: tensor.device.type for name, tensor in there.tensors().items()}
    assert devices == {"log": "meta", "step": "cpu", "exp_avg": "meta", "exp_avg_sq": "meta"}


@pytest.mark.parametrize("arch", names_with("policy"))
def test_choices_are_learnt_by_their_likelihood(arch):
    policy = without_dropout(make_policy(arch, action_dim=CHOICES, discrete=True))
    learner = PolicyLearner(policy, replace(SETTINGS, learning_rate=0.01))
    batch = make_batch(trajectories=make_choices())
    likelihood = policy(*tensors(batch)).logits.log_softmax(-1)
    expected = -np.mean(
        [likelihood[row, step, batch.actions[row, step]].item() for row, step in np.argwhere(batch.mask)]
    )
    first = learner.update(batch)
    assert first["nll" if arch == "odt" else "loss"].item() == pytest.approx(expected, rel=1e-5)
    for _ in range(40):
        last = learner.update(batch)
    assert last["loss"] < 0.7 * first["loss"]


def test_the_entropy_of_choices_stays_above_a_quarter_of_that_of_uniform_ones():
    choices = make_policy("odt", action_dim=CHOICES, discrete=True)
    assert usual_target_entropy(choices) == pytest.approx(0.25 * math.log(CHOICES))
    assert usual_target_entropy(make_policy("odt")) == -ACTION_DIM
