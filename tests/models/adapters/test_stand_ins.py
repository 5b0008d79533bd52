"""What stands in for a linear layer is trained like one and decoded like one."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.adapters import IA3Spec, LoRASpec, attach
from seqrl_cli.models.block import joined_parameters
from seqrl_cli.models.build import build_decoder, build_model
from seqrl_cli.models.decision.build import build_policy_decoder
from seqrl_cli.models.decision.decoder import History
from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.training.policy_learner import PolicyLearner, PolicySettings
from tests.models.adapters.adapted import shake
from tests.models.adapters.low_rank import LowRank, adapt
from tests.models.policies import make_batch, make_policy, tensors

SIZES = {"bins": 10, "observation_dim": 3, "action_dim": 2, "n_layer": 2, "n_head": 2, "width": 16}
NO_DROPOUT = {"embedding_dropout": 0.0, "residual_dropout": 0.0, "attention_dropout": 0.0}


def make_model(arch: str):
    sizes = {**SIZES, **NO_DROPOUT} | ({"block_size": 31} if arch == "gpt" else {})
    return build_model(arch, **sizes, generator=torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize("arch", ["gpt", "retnet"])
def test_gradients_reach_adapters_of_token_models(arch):
    model = make_model(arch)
    adapters = adapt(model)
    assert len(adapters) == (12 if arch == "gpt" else 8)
    model(torch.randint(0, 10, (2, 21), generator=torch.Generator().manual_seed(1))).square().sum().backward()
    assert all(adapter.up.grad is not None and adapter.up.grad.any() for adapter in adapters)


@pytest.mark.parametrize("arch", ["dt", "odt"])
def test_gradients_reach_adapters_of_decision_transformers(arch):
    policy = make_policy(arch)
    adapters = adapt(policy)
    policy(*tensors(make_batch())).mode.square().sum().backward()
    assert len(adapters) == 12
    assert all(adapter.up.grad is not None and adapter.up.grad.any() for adapter in adapters)


@pytest.mark.parametrize(("arch", "engine"), [("gpt", "torch"), ("gpt", "auto"), ("retnet", "torch")])
@torch.no_grad()
def test_decoders_of_token_models_see_adapters(arch, engine):
    model = make_model(arch)
    tokens = torch.randint(0, 10, (2, 21), generator=torch.Generator().manual_seed(1))
    without = model(tokens)[:, -1]
    adapt(model)
    expected = model(tokens)[:, -1]
    assert not torch.allclose(without, expected, atol=1e-2)
    logits, _ = build_decoder(model, Window(4, slides=True), engine=engine).prefill(tokens)
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("arch", ["dt", "odt"])
@torch.no_grad()
def test_the_decoder_of_a_policy_sees_adapters(arch):
    policy = make_policy(arch)
    observations, actions, returns_to_go, timesteps = (each[:, :1] for each in tensors(make_batch()))
    adapt(policy)
    expected = policy(observations, actions, returns_to_go, torch.zeros_like(timesteps)).mode[:, 0]
    histories = [History() for _ in observations]
    decided = build_policy_decoder(policy, 3).decide(histories, observations[:, 0], actions[:, 0], returns_to_go[:, 0])
    torch.testing.assert_close(decided.mode, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", [LoRASpec(), IA3Spec()], ids=["lora", "ia3"])
@torch.no_grad()
def test_behaviour_cloning_is_adapted_on_its_hidden_layers(spec):
    policy = make_policy("bc")
    observations, actions, returns_to_go, timesteps = (each[:, :1] for each in tensors(make_batch()))
    before = policy(observations, actions, returns_to_go, timesteps).mode[:, 0]
    adapters = attach(policy, spec)
    assert [*adapters.layers] == ["hidden.1.0"]  # the first one has no more rank than an observation has numbers
    shake(adapters)
    adapters.select(0)
    expected = policy(observations, actions, returns_to_go, timesteps).mode[:, 0]
    assert not torch.allclose(before, expected, atol=1e-2)
    histories = [History() for _ in observations]
    decided = build_policy_decoder(policy, 1).decide(histories, observations[:, 0], actions[:, 0], returns_to_go[:, 0])
    torch.testing.assert_close(decided.mode, expected, rtol=1e-4, atol=1e-5)


def test_layers_with_numbers_for_names_are_offered_by_their_whole_names():
    with pytest.raises(SeqrlError, match="'mlp'") as refused:
        attach(make_policy("bc"), LoRASpec(targets=("mlp",)))
    assert "head, hidden.0.0, hidden.1.0" in refused.value.hint


@pytest.mark.slow
def test_a_policy_learns_with_an_adapter_around_its_head():
    policy = make_policy("odt")
    policy.head = LowRank(policy.head, torch.Generator().manual_seed(0))
    before = policy.head.up.clone()
    learner = PolicyLearner(policy, PolicySettings(seed=0, learning_rate=1e-2, warmup_updates=0))
    learner.update(make_batch())
    assert not torch.equal(policy.head.up, before)
    assert {name for name in learner.trainable_parameters if name.startswith("head.")} == {"head.down", "head.up"}


def test_query_key_and_value_are_one_layer_to_layerwise_optimizers():
    policy = make_policy("dt")
    names = {parameter: name for name, parameter in policy.named_parameters()}
    joined = [[names[parameter] for parameter in together] for together in joined_parameters(policy)]
    assert joined[1] == [f"blocks.0.{part}.bias" for part in ("query", "key", "value")] and len(joined) == 4
