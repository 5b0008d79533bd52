"""Muon and AdamW step as one optimizer: each as it would alone, with one state and one rate."""

from __future__ import annotations

import copy

import pytest
import torch

from seqrl_cli.errors import SeqrlError
from seqrl_cli.training.optimizer import (
    load_optimizer_tensors,
    make_muon,
    optimizer_tensors,
    set_learning_rate,
    trainable_parameters,
)
from seqrl_cli.training.token_trainer import TokenTrainer
from tests.training.fixtures import pattern_windows, tiny_gpt, tiny_settings

MATRIX_RATE, RATE = 0.03, 4e-3


def optimizer_of(model: torch.nn.Module) -> torch.optim.Optimizer:
    return make_muon(model, MATRIX_RATE, RATE, (0.9, 0.95), weight_decay=0.1)


def set_gradients(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_each_part_steps_as_it_would_alone():
    model, alone = tiny_gpt(), tiny_gpt()
    parameters = dict(alone.named_parameters())
    layers = [name for name in parameters if "blocks" in name and name.endswith(".weight") and "norm" not in name]
    assert len(layers) == 12  # six layers in two blocks
    matrices = [parameters[name] for name in layers]
    muon = torch.optim.Muon(matrices, lr=MATRIX_RATE / 2, weight_decay=0.1)
    rest = {name: parameter for name, parameter in parameters.items() if name not in layers}
    decayed = {"params": [rest["head.weight"]], "weight_decay": 0.1}
    plain = {"params": [parameter for name, parameter in rest.items() if name != "head.weight"], "weight_decay": 0.0}
    adamw = torch.optim.AdamW([decayed, plain], lr=RATE / 2, betas=(0.9, 0.95))
    optimizer = optimizer_of(model)
    set_learning_rate(optimizer, RATE / 2)
    for _ in range(3):
        for each in (model, alone):
            set_gradients(each)
        for each in (optimizer, muon, adamw):
            each.step()
    for name in parameters:
        torch.testing.assert_close(dict(model.named_parameters())[name], parameters[name], atol=1e-6, rtol=1e-5)


def load_by_name(optimizers, models) -> None:
    parameters = [trainable_parameters(model) for model in models]
    load_optimizer_tensors(optimizers[1], parameters[1], optimizer_tensors(optimizers[0], parameters[0]))


def load_as_pytorch(optimizers, models) -> None:
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))


@pytest.mark.parametrize("load", [load_by_name, load_as_pytorch])
def test_state_goes_out_and_in(load):
    models = [tiny_gpt(), tiny_gpt()]
    optimizers = [optimizer_of(model) for model in models]
    set_gradients(models[0])
    optimizers[0].step()
    models[1].load_state_dict(models[0].state_dict())
    load(optimizers, models)
    for model, optimizer in zip(models, optimizers, strict=True):
        set_gradients(model)
        optimizer.step()
    for ours, theirs in zip(models[1].parameters(), models[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    still = [parameter.clone() for parameter in models[1].parameters()]
    set_learning_rate(optimizers[1], 0.0)
    set_gradients(models[1])
    optimizers[1].step()
    assert all(torch.equal(one, other) for one, other in zip(models[1].parameters(), still, strict=True))


def test_without_a_matrix_that_learns_adamw_does_all():
    model = tiny_gpt()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name == "head.weight")
    assert isinstance(optimizer_of(model), torch.optim.AdamW)


def test_a_checkpoint_of_the_other_optimizer_is_refused():
    def trainer(optimizer: str) -> TokenTrainer:
        return TokenTrainer(tiny_gpt(), pattern_windows(), pattern_windows(2), tiny_settings(10, optimizer=optimizer))

    checkpoint = trainer("muon").checkpoint()
    with pytest.raises(SeqrlError, match="is for muon, not for adamw"):
        trainer("adamw").restore(checkpoint)
    del checkpoint.state["optimizer"]  # as before there was a choice
    with pytest.raises(SeqrlError, match="is for adamw, not for muon"):
        trainer("muon").restore(checkpoint)
