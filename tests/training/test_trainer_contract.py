"""Every architecture's trainer keeps the contract of trainers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqrl_cli.data.task_data import TaskMixture
from seqrl_cli.models.decision.multi_domain import Input, MultiDomainTransformer
from seqrl_cli.models.retnet.model import RetNet
from seqrl_cli.training.policy_trainer import PolicyTrainer
from seqrl_cli.training.rates import RateSchedule
from seqrl_cli.training.task_settings import TaskTrainSettings
from seqrl_cli.training.task_trainer import TaskTrainer
from seqrl_cli.training.token_trainer import TokenTrainer
from seqrl_cli.training.trainer import Trainer
from tests.contracts.trainer import CHECKS, TrainerCase
from tests.models.policies import CHOICES, IMAGE
from tests.training.fixtures import (
    ACTION_DIM,
    BINS,
    OBSERVATION_DIM,
    choice_windows,
    pattern_windows,
    policy_windows,
    tiny_gpt,
    tiny_policy,
    tiny_policy_settings,
    tiny_settings,
    tiny_task,
)


def tiny_retnet() -> RetNet:
    sizes = {"n_layer": 2, "n_head": 2, "width": 16, "generator": torch.Generator().manual_seed(0)}
    return RetNet(bins=BINS, observation_dim=OBSERVATION_DIM, action_dim=ACTION_DIM, **sizes)


def freeze(model: nn.Module, prefixes: tuple[str, ...]) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(prefixes))


def token_trainer(model: nn.Module, prefixes: tuple[str, ...], **changes) -> Trainer:
    freeze(model, prefixes)
    return TokenTrainer(model, pattern_windows(), pattern_windows(2, 9), tiny_settings(10, **changes))


def policy_trainer(arch: str, prefixes: tuple[str, ...]) -> Trainer:
    policy = tiny_policy(arch)
    freeze(policy, prefixes)
    return PolicyTrainer(policy, policy_windows(), policy_windows(seed=1), tiny_policy_settings(10))


def choice_trainer(arch: str, shape: tuple[int, ...], prefixes: tuple[str, ...]) -> Trainer:
    policy = tiny_policy(arch, observation_shape=shape, action_dim=CHOICES, discrete=True)
    freeze(policy, prefixes)
    windows = (choice_windows(seed=seed, shape=shape) for seed in (0, 1))
    return PolicyTrainer(policy, *windows, tiny_policy_settings(10))


def task_trainer(prefixes: tuple[str, ...]) -> Trainer:
    sizes = {"n_layer": 2, "n_head": 2, "width": 16, "bins": 8, "context": 2, "max_timestep": 10, "choices": 0}
    generator = torch.Generator().manual_seed(0)
    model = MultiDomainTransformer(
        inputs={name: Input((3,), (name,)) for name in ("A-v0", "B-v0")}, **sizes, generator=generator
    )
    freeze(model, prefixes)
    tasks = [tiny_task("A-v0", 1), tiny_task("B-v0", 3)]
    settings = TaskTrainSettings(10, 0, RateSchedule("cosine", 2, 10), batch_size=6)
    return TaskTrainer(model, TaskMixture(tasks), TaskMixture([tiny_task("A-v0", 1, seed=1)]), settings)


CASES = {
    "gpt": TrainerCase(lambda prefixes: token_trainer(tiny_gpt(), prefixes), "blocks.0."),
    "gpt with muon": TrainerCase(lambda prefixes: token_trainer(tiny_gpt(), prefixes, optimizer="muon"), "blocks.0."),
    "retnet": TrainerCase(lambda prefixes: token_trainer(tiny_retnet(), prefixes), "blocks.0."),
    "dt": TrainerCase(lambda prefixes: policy_trainer("dt", prefixes), "blocks.0."),
    "odt": TrainerCase(lambda prefixes: policy_trainer("odt", prefixes), "blocks.0."),
    "mddt": TrainerCase(task_trainer, "blocks.0."),
    "bc": TrainerCase(lambda prefixes: policy_trainer("bc", prefixes), "hidden.0."),
    "dt of choices": TrainerCase(lambda prefixes: choice_trainer("dt", (4,), prefixes), "blocks.0."),
    "odt of images": TrainerCase(lambda prefixes: choice_trainer("odt", IMAGE, prefixes), "embed_observation."),
    "bc of images": TrainerCase(lambda prefixes: choice_trainer("bc", (*IMAGE, 3), prefixes), "encoder."),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("arch", CASES)
def test_trainers_keep_their_contract(arch, check):
    check(CASES[arch])
