"""A small multi-domain model and episodes that it plays, for the tests of its decoder and of its adapters."""

from __future__ import annotations

import numpy as np
import torch

from seqrl_cli.models.decision.multi_domain import Input, MultiDomainTransformer, TaskWindows
from seqrl_cli.models.decision.multi_domain_decoder import MultiDomainDecoder
from seqrl_cli.models.decision.task_history import TaskHistory

CHOICES = 5
EPISODES = (("vector", 3, None, 0), ("vector", 2, None, 1), ("image", 1, CHOICES, 0), ("vector", 3, None, 1))
SHAPES = {"vector": (7,), "image": (12, 12)}
INPUTS = {"vector": Input((7,), ("one", "other")), "image": Input((12, 12), ("all",))}


def make_model(context: int, *, hide_actions: bool = True, scale: str = "linear", **changes) -> MultiDomainTransformer:
    model = MultiDomainTransformer(
        inputs=INPUTS,
        context=context,
        bins=16,
        choices=CHOICES,
        scale=scale,
        max_action_dim=3,
        hide_actions=hide_actions,
        width=32,
        n_layer=3,
        **changes,
        generator=torch.Generator().manual_seed(0),
    ).eval()
    model.encoders["vector"].fit("other", np.full(7, 0.3), np.linspace(0, 2, 7))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # or all actions would be nearly alike
    return model


def observation(name: str, generator: torch.Generator) -> torch.Tensor:
    if name == "image":
        return torch.randint(0, 256, SHAPES[name], generator=generator, dtype=torch.uint8)
    return torch.randn(SHAPES[name], generator=generator)


class Playing:
    """Some episodes that are decided step by step, with all that the plain form needs."""

    def __init__(self, model: MultiDomainTransformer, context: int, decode: str, episodes=EPISODES) -> None:
        self.model = model
        self.decoder = MultiDomainDecoder(model, context, decode)
        self.context = context
        self.histories = [TaskHistory(*episode) for episode in episodes]
        self.log: list[list[tuple]] = [[] for _ in episodes]

    def step(self, generators: list[torch.Generator], draws=None) -> list[torch.Tensor]:
        pairs = list(zip(self.histories, generators, strict=True))
        observations = [observation(history.name, generator) for history, generator in pairs]
        returns = torch.stack([torch.randn((), generator=generator) for generator in generators])
        rewards = torch.stack([torch.randn((), generator=generator) for generator in generators])
        actions = self.decoder.decide(self.histories, observations, returns, draws)
        for index, log in enumerate(self.log):
            log.append((observations[index], returns[index], self.histories[index].actions, rewards[index]))
        self.decoder.earn(self.histories, rewards)
        return actions

    def logits(self, index: int) -> torch.Tensor:
        """The plain form's logits of an episode's latest action, (K, ids) of those that its task may use."""
        steps = len(self.log[index])
        window = self.log[index][-self.context :]
        columns = [torch.stack(column)[None] for column in zip(*window, strict=True)]
        times = torch.arange(steps)[-self.context :][None]
        history = self.histories[index]
        windows = TaskWindows(columns[0], columns[1], columns[2], columns[3], times, torch.tensor([history.body]))
        with torch.no_grad():
            logits = self.model(history.name, windows)
        return logits[0, -1][:, self.model.tokens.allowed(history.choices)]


def generators(count: int = len(EPISODES)) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]
