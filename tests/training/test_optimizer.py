from __future__ import annotations

import torch

from seqrl_cli.training.optimizer import (
    decayed_parameters,
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
    trainable_parameters,
)
from tests.training.fixtures import tiny_gpt


def test_only_matrices_of_linear_layers_and_the_head_decay():
    decayed = decayed_parameters(tiny_gpt())
    layers = ("query", "key", "value", "projection", "mlp_in", "mlp_out")
    assert decayed == {f"blocks.{block}.{layer}.weight" for block in range(2) for layer in layers} | {"head.weight"}


def test_decay_shrinks_its_group_alone():
    model = tiny_gpt()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = make_optimizer(model, learning_rate=0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    decayed = decayed_parameters(model)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, before[name] * (0.95 if name in decayed else 1.0))


def test_state_goes_out_and_in():
    torch.manual_seed(0)
    models = [tiny_gpt(), tiny_gpt()]
    optimizers = [make_optimizer(model, 1e-2) for model in models]
    gradients = [torch.randn_like(parameter) for parameter in models[0].parameters()]

    def step(which: int) -> None:
        for parameter, gradient in zip(models[which].parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizers[which].step()

    step(0)
    models[1].load_state_dict(models[0].state_dict())
    parameters = [trainable_parameters(model) for model in models]
    load_optimizer_tensors(optimizers[1], parameters[1], optimizer_tensors(optimizers[0], parameters[0]))
    for which in (0, 1):
        set_learning_rate(optimizers[which], 1e-3)
        step(which)
    for ours, theirs in zip(models[1].parameters(), models[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)
