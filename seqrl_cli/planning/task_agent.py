"""Agents that follow one model in several tasks, each with its own target return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from seqrl_cli.models.decision.multi_domain_decoder import MultiDomainDecoder
from seqrl_cli.models.decision.task_history import TaskHistory
from seqrl_cli.planning.inferred_return import expert_return
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import LiveEpisode
from seqrl_cli.runs.record import TaskRecord


@dataclass
class _TaskEpisode:
    """What an agent keeps of an episode."""

    task: TaskRecord
    target_return: float | None
    history: TaskHistory


@runtime_checkable
class PredictsReturns(Protocol):
    """A decoder whose model predicts returns-to-go."""

    def return_distribution(
        self, histories: Sequence[TaskHistory], observations: Sequence[Tensor]
    ) -> Sequence[tuple[Tensor, Tensor]]:
        """For each episode the probabilities (bins,) of returns-to-go, and these scaled returns (bins,)."""


class TaskAgent:
    """Plays one task; agents with the same decoder can decide for each other's episodes, all in one batch.

    Args:
        decoder: decoder of the model that all tasks share.
        task: the task to play.
        target_return: return-to-go at the start of an episode; it decreases by each reward and never rises above. None
            to infer it at each step, which needs a model that predicts returns.
        profile: adds up the time spent in each part.
    """

    def __init__(
        self, decoder: MultiDomainDecoder, task: TaskRecord, target_return: float | None, profile: Profile | None = None
    ) -> None:
        self.decoder = decoder
        self.task = task
        self.target_return = target_return
        self.profile = profile or Profile()
        self.device = decoder.device

    def reset(self, episode: LiveEpisode) -> None:
        """See :meth:`Agent.reset`."""
        task = self.task
        body = self.decoder.model.bodies(task.input).index(task.body)
        history = TaskHistory(task.input, task.action_dim, task.choices, body, task=task.dataset)
        episode.agent_state = _TaskEpisode(task, self.target_return, history)

    def plans(self, episode: LiveEpisode) -> dict[str, np.ndarray]:
        """The model does not look ahead."""
        return {}

    def decide(self, episodes: Sequence[LiveEpisode]) -> Sequence[np.ndarray]:
        """See :meth:`Agent.decide`; the episodes may be of any tasks of the decoder's model."""
        states: list[_TaskEpisode] = [episode.agent_state for episode in episodes]
        with self.profile.measure("decode"):
            self._earn(episodes)
            observations = [torch.from_numpy(episode.observations[-1]).to(self.device) for episode in episodes]
            histories = [state.history for state in states]
            inferred = self._inferred(episodes, histories, observations)
            left = [
                _left(state.task, state.target_return, episode.total_reward)
                if state.target_return is not None
                else inferred[id(episode)]
                for state, episode in zip(states, episodes, strict=True)
            ]
            returns_to_go = torch.tensor(left, dtype=torch.float32, device=self.device)
            actions = self.decoder.decide(histories, observations, returns_to_go, self._draws(episodes))
        return [_unscaled(state.task, action.cpu().numpy()) for state, action in zip(states, actions, strict=True)]

    def _earn(self, episodes: Sequence[LiveEpisode]) -> None:
        """Tell the decoder the rewards of the steps since its last decision."""
        played = [episode for episode in episodes if episode.rewards]
        if played:
            scaled = [episode.rewards[-1] / episode.agent_state.task.reward_scale for episode in played]
            rewards = torch.tensor(scaled, dtype=torch.float32, device=self.device)
            self.decoder.earn([episode.agent_state.history for episode in played], rewards)

    def _inferred(
        self, episodes: Sequence[LiveEpisode], histories: Sequence[TaskHistory], observations: Sequence[Tensor]
    ) -> dict[int, float]:
        """The scaled returns-to-go of the episodes without a target return, by the identity of the episode."""
        rows = [row for row, episode in enumerate(episodes) if episode.agent_state.target_return is None]
        if not rows:
            return {}
        assert isinstance(self.decoder, PredictsReturns)
        found = self.decoder.return_distribution([histories[row] for row in rows], [observations[row] for row in rows])
        inferred = {}
        for row, (weights, returns) in zip(rows, found, strict=True):
            draw = episodes[row].generator.random()
            inferred[id(episodes[row])] = expert_return(weights.cpu().numpy(), returns.cpu().numpy(), draw)
        return inferred

    def _draws(self, episodes: Sequence[LiveEpisode]) -> list[Tensor] | None:
        """Uniform random numbers from each episode's own generator, if actions are sampled."""
        if self.decoder.choice.decode != "sample":
            return None
        return [
            torch.from_numpy(episode.generator.random(episode.agent_state.task.action_dim)).to(self.device)
            for episode in episodes
        ]


def _left(task: TaskRecord, target_return: float, earned: float) -> float:
    """The scaled return that is left of a target, at most the target."""
    return min(target_return - earned, target_return) / task.reward_scale


def _unscaled(task: TaskRecord, action: np.ndarray) -> np.ndarray:
    """An action of the model in the units of the environment."""
    if task.choices is not None:
        return np.asarray(round(float(action[0])), np.int64)
    low, high = np.array(task.action_low), np.array(task.action_high)
    return np.asarray(low + (action + 1) * ((high - low) / 2), np.float32)
