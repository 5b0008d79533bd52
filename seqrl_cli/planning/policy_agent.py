"""An agent that follows a policy, asking it for a return that the rewards earned are taken off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from seqrl_cli.models.decision.build import build_policy_decoder
from seqrl_cli.models.decision.decoder import History, Policy
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import Playing


class PolicyAgent:
    """Does what a policy says, in all episodes at once.

    Args:
        policy: on its device; as it is now, since its weights are copied.
        target_return: what is asked for at the start; the rewards that were earned are taken off (Chen et al. 2021,
            algorithm 1).
        context: steps that the policy sees.
        stochastic: whether actions are sampled, with noise from each episode's own generator, or the policy's mode.
        noise: what a sample's distance from the mean is multiplied by; 1 samples from the policy itself.
        profile: where time is added up.

    Raises:
        SeqrlError: the policy was made for fewer steps.
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
        self.target_return, self.stochastic, self.noise = target_return, stochastic, noise
        self.device = policy.head.weight.device
        self.profile = profile or Profile()

    def begin(self, episode: Playing) -> None:
        """See :meth:`Agent.begin`."""
        episode.memory = History()

    def plans(self, episode: Playing) -> dict[str, np.ndarray]:
        """A policy does not look ahead."""
        return {}

    def decide(self, episodes: Sequence[Playing]) -> Sequence[np.ndarray]:
        """See :meth:`Agent.decide`."""
        observations = self._tensor([episode.observations[-1] for episode in episodes])
        blank = np.zeros(len(self.normalizer.action_low), np.float32)
        actions = self._tensor([episode.actions[-1] if episode.actions else blank for episode in episodes])
        returns_to_go = self._tensor([np.float32(self.target_return - episode.earned) for episode in episodes])
        with self.profile.measure("decode"):
            histories = [episode.memory for episode in episodes]
            distribution = self.decoder.decide(histories, observations, actions, returns_to_go)
            chosen = distribution.sample(self.noise * self._draws(episodes)) if self.stochastic else distribution.mode
            decided: np.ndarray = self.normalizer.denormalize_action(chosen).cpu().numpy()
        return list(decided)

    def _draws(self, episodes: Sequence[Playing]) -> torch.Tensor:
        size = len(self.normalizer.action_low)
        return self._tensor([episode.generator.standard_normal(size, dtype=np.float32) for episode in episodes])

    def _tensor(self, rows: Sequence[np.ndarray | np.float32]) -> torch.Tensor:
        return torch.from_numpy(np.stack(rows)).to(self.device)
