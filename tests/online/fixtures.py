"""A small fine-tuning job whose every part is real but the policy, which is linear with dropout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from seqrl_cli.data.policy_windows import PolicyBatch, Trajectory
from seqrl_cli.envs.vector import EpisodeVector
from seqrl_cli.online.buffer import ReplayBuffer, best_trajectories
from seqrl_cli.online.segments import SegmentFolder
from seqrl_cli.online.settings import OnlineSettings
from seqrl_cli.online.workplace import Evaluation, Play, Workplace
from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.generators import generator_states, restore_generators
from seqrl_cli.training.optimizer import load_optimizer_tensors, optimizer_tensors
from tests.online.trajectories import trajectory

SIZES = (11, 3)  # of Hopper
STEPS = 12


class LinearLearner:
    """Learns actions from observations; its dropout draws from PyTorch's own generator, as the transformer's does."""

    def __init__(self) -> None:
        self.model = nn.Linear(*SIZES)
        nn.init.zeros_(self.model.weight)
        nn.init.zeros_(self.model.bias)
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self._optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.step = 100
        self.device = torch.device("cpu")
        torch.manual_seed(0)

    def update(self, batch: PolicyBatch) -> Mapping[str, Tensor]:
        observations, actions = torch.from_numpy(batch.observations), torch.from_numpy(batch.actions)
        error = self.model(nn.functional.dropout(observations, 0.1)) - actions
        loss = (error.square().sum(dim=-1) * torch.from_numpy(batch.mask)).sum() / batch.mask.sum()
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self.step += 1
        zero = torch.zeros(())
        return {
            "loss": loss.detach(),
            "nll": loss.detach(),
            "entropy": zero,
            "temperature": zero,
            "learning_rate": zero,
        }

    def checkpoint(self) -> Checkpoint:
        tensors = optimizer_tensors(self._optimizer, self.model)
        state = {"generators": generator_states(self.device)}
        return Checkpoint(self.step, self.model.state_dict(), tensors, state)

    def restore(self, checkpoint: Checkpoint) -> None:
        self.model.load_state_dict(checkpoint.model)
        load_optimizer_tensors(self._optimizer, self.model, checkpoint.optimizer)
        restore_generators(checkpoint.state["generators"], self.device)
        self.step = checkpoint.step


def hopper(learner: LinearLearner, noise: float, episodes: int, seed: int) -> Play:
    """Episodes of at most STEPS steps, each by its own seed."""
    vector = EpisodeVector("Hopper-v4", 1, max_episode_steps=STEPS)

    def play(iteration: int, on_step) -> list[Trajectory]:
        return [one(seed + 100 * iteration + episode, on_step) for episode in range(episodes)]

    def one(number: int, on_step) -> Trajectory:
        rng = np.random.default_rng(number)
        observations, actions, rewards = [vector.start(0, number).astype(np.float32)], [], []
        while vector.active[0]:
            on_step()
            with torch.no_grad():
                mean = learner.model(torch.from_numpy(observations[-1])).numpy()
            actions.append(np.clip(mean + noise * rng.normal(size=3), -1, 1).astype(np.float32))
            step = vector.step(actions[-1][None])
            observations.append(step.observations[0].astype(np.float32))
            rewards.append(step.rewards[0])
        return Trajectory(np.stack(observations[:-1]), np.stack(actions), np.array(rewards, np.float32))

    return play


def score(trajectories: Sequence[Trajectory]) -> Evaluation:
    returns = [one.total_reward for one in trajectories]
    return Evaluation(float(np.mean(returns)), None, float(np.mean([len(one) for one in trajectories])))


def small_settings(iterations: int = 6, **changes) -> OnlineSettings:
    values = dict(seed=3, episodes=2, updates=4, batch_size=8, context=5)
    often = dict(evaluate_every=2, checkpoint_every=2, keep_checkpoints=2)
    return OnlineSettings(iterations=iterations, **{**values, **often, **changes})


def workplace(folder: Path, capacity: int = 5, **parts) -> Workplace:
    """A job in a folder; the buffer begins with four trajectories of six."""
    learner = LinearLearner()
    offline = [trajectory(length, length, sizes=SIZES) for length in (3, 7, 4, 9, 2, 6)]
    usual = dict(
        learner=learner,
        explore=hopper(learner, 0.3, 2, 10_000),
        evaluate=hopper(learner, 0.0, 1, 0),
        score=score,
        buffer=ReplayBuffer(capacity),
        offline=best_trajectories(offline, 4),
        segments=SegmentFolder(folder / "buffer", "Hopper-v4"),
        checkpoints=folder / "checkpoints",
        metrics=folder / "metrics.jsonl",
    )
    return Workplace(**{**usual, **parts})
