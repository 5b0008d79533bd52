"""An agent that follows a policy, conditioned on the return-to-go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from seqrl_cli.models.decision.action_distribution import draw_noise
from seqrl_cli.models.decision.build import build_policy_decoder
from seqrl_cli.models.decision.decoder import History, Policy
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import LiveEpisode


class PolicyAgent:
    """Executes a policy's actions, for all episodes in one batch.

    Args:
        policy: the policy, on its device. After its weights change, make another agent: some of them are copied.
        target_return: return-to-go at the start of an episode; it decreases by each reward (Chen et al. 2021,
            algorithm 1).
        context: number of steps that the policy sees.
        stochastic: sample actions, with noise from each episode's own generator, instead of taking the mode.
        noise: factor of a sample's distance from the mean, or temperature of a sampled choice; 1 samples from the
            policy itself.
        profile: adds up the time spent in each part.

    Raises:
        SeqrlError: the policy was trained with a shorter context.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        target_return: float,
        context: int = 5,
        stochastic: bool = False,
        noise: float = 1.0,
        profile: Profile | None = None,
    ) -> None:
        self.normalizer = policy.normalizer
        self.decoder = build_policy_decoder(policy, context)
        self.target_return = target_return
        self.stochastic = stochastic
        self.noise = noise
        self.device = policy.head.weight.device
        self.profile = profile or Profile()

    def reset(self, episode: LiveEpisode) -> None:
        """See :meth:`Agent.reset`."""
        episode.agent_state = History()

    def plans(self, episode: LiveEpisode) -> dict[str, np.ndarray]:
        """A policy does not look ahead."""
        return {}

    def decide(self, episodes: Sequence[LiveEpisode]) -> Sequence[np.ndarray]:
        """See :meth:`Agent.decide`."""
        observations = self._tensor([episode.observations[-1] for episode in episodes])
        form = self.normalizer
        no_action = np.zeros((), np.int64) if form.discrete else np.zeros(form.action_dim, np.float32)
        actions = self._tensor([episode.actions[-1] if episode.actions else no_action for episode in episodes])
        returns_to_go = self._tensor([np.float32(self.target_return - episode.total_reward) for episode in episodes])
        with self.profile.measure("decode"):
            histories = [episode.agent_state for episode in episodes]
            distribution = self.decoder.decide(histories, observations, actions, returns_to_go)
            chosen = distribution.sample(self.noise * self._noise(episodes)) if self.stochastic else distribution.mode
            decided: np.ndarray = self.normalizer.denormalize_action(chosen).cpu().numpy()
        return list(decided)

    def _noise(self, episodes: Sequence[LiveEpisode]) -> torch.Tensor:
        """Noise for a sample of each episode's actions, (episodes, action_dim)."""
        form = self.normalizer
        return self._tensor([draw_noise(one.generator, form.action_dim, discrete=form.discrete) for one in episodes])

    def _tensor(self, rows: Sequence[np.ndarray | np.float32]) -> torch.Tensor:
        return torch.from_numpy(np.stack(rows)).to(self.device)
