"""Scripted policies: Meta-World's own, written controllers, and repeated actions in two games."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from seqrl_cli.behaviour.collect import Part, collect
from seqrl_cli.behaviour.controllers import CHOOSERS, CONTROLLERS
from seqrl_cli.behaviour.policies import Policy, PolicyFactory, uniform_factory
from seqrl_cli.behaviour.qualities import Collected, describe
from seqrl_cli.data.domains import Task, task_of

NOISES = (0.0, 0.1, 0.3)
"""Standard deviations of the noise in a dataset's equal parts, in units of the action box.

Demonstrations without noise show no way back to the path, so a model that imitates them leaves it for good.
"""


@dataclass(frozen=True)
class NoisyPolicy:
    """A scripted policy with Gaussian noise; actions ``(action_dim,)`` are clipped to [-1, 1] before and after.

    Attributes:
        act_on: the scripted action for an observation.
        noise_std: standard deviation of the noise.
    """

    act_on: Callable[[np.ndarray], np.ndarray]
    noise_std: float = 0.0

    def act(self, observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """An action ``(action_dim,)`` for one observation."""
        action = np.clip(self.act_on(observation), -1.0, 1.0)
        noise = self.noise_std * rng.standard_normal(action.shape)
        return np.clip(action + noise, -1.0, 1.0)


@dataclass
class PushedPolicy:
    """A policy that is pushed off its path now and then: one random action, held for some steps.

    Noise of single steps averages out, so all episodes take nearly one path. After a push the data show the way back,
    from as far as a model's own errors may lead.

    Attributes:
        policy: the policy that acts between pushes.
        rate: probability that a push begins in a step.
        steps: length of a push in steps.
    """

    policy: Policy
    rate: float = 0.004
    steps: int = 10
    _left: int = 0
    _push: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def act(self, observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """An action ``(action_dim,)`` for one observation."""
        action = self.policy.act(observation, rng)
        if self._left == 0 and rng.random() < self.rate:
            self._left, self._push = self.steps, rng.uniform(-1.0, 1.0, action.shape)
        if self._left == 0:
            return action
        self._left -= 1
        return self._push


@dataclass(frozen=True)
class RepeatedAction:
    """One discrete action most of the time, and another at random moments.

    Attributes:
        usual: the usual action.
        other: the other action.
        probability: probability of the other action in each step.
    """

    usual: int
    other: int
    probability: float

    def act(self, observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The index of an action ``()``."""
        return np.asarray(self.other if rng.random() < self.probability else self.usual)


@dataclass(frozen=True)
class NoisyChoice:
    """A scripted policy of discrete actions that sometimes acts at random.

    Attributes:
        choose: the scripted action for an observation.
        choices: number of actions.
        probability: probability of a random action in each step.
    """

    choose: Callable[[np.ndarray], int]
    choices: int
    probability: float

    def act(self, observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The index of an action ``()`` for one observation."""
        if rng.random() < self.probability:
            return np.asarray(rng.integers(self.choices))
        return np.asarray(self.choose(observation))


_UP, _DOWN = 2, 5  # Atari's
_RIGHT, _RIGHT_JUMP = 7, 8  # ProcGen's

_REPEATED: dict[str, Sequence[RepeatedAction]] = {
    "atari/Freeway": [RepeatedAction(_UP, _DOWN, probability) for probability in (0.0, 0.1, 0.3)],
    "procgen/coinrun": [RepeatedAction(_RIGHT, _RIGHT_JUMP, probability) for probability in (0.9, 0.6, 0.3)],
}


def collect_task(
    task: Task,
    *,
    transitions: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Collected:
    """Collect ``sim/<domain>/<task>``: by the scripted policy with noise, or by random actions where there is none.

    Args:
        task: the task to play.
        transitions: rows; by default the domain's usual number.
        seed: seed of the collection, see :func:`~seqrl_cli.behaviour.collect.collect`.
        workers: number of processes.
        progress: called with (rows so far, total rows).
        on_warning: called when a worker died and is started again.

    Raises:
        SeqrlError: the domain's package is not installed, or a worker died.
    """
    parts = scripted_parts(task.env_id)
    rows = transitions or task.transitions
    episodes = collect(task.env_id, parts, rows, seed, workers=workers, progress=progress, on_warning=on_warning)
    lowest, highest = task.references or (None, None)
    attributes: dict[str, str | int | float] = {
        "source": "seqrl",
        "dataset_id": f"sim/{task.domain}/{task.name}",
        "policy": policy_text(task.env_id),
        **describe(episodes, task.env_id, seed, lowest, highest),
    }
    if episodes.successes is not None:
        solved = np.logical_or.reduceat(episodes.successes, episodes.offsets[:-1])
        attributes["success_rate"] = float(solved.mean())
        attributes["success_rate_at_end"] = float(episodes.successes[episodes.offsets[1:] - 1].mean())
    return Collected(episodes, attributes)


def policy_text(env_id: str) -> str:
    """The behaviour of a task's simulated dataset, in words."""
    if env_id in _REPEATED:
        return "one action, and another at random moments"
    if not has_scripted_policy(env_id):
        return "uniform random actions"
    if env_id in CHOOSERS:
        shares = ", ".join(map(str, CHOOSERS[env_id].random_shares))
        return f"scripted, with random actions of probability {shares} in equal parts"
    pushed = "; pushed now and then where there is noise" if env_id in CONTROLLERS else ""
    return f"scripted, with noise of {', '.join(map(str, NOISES))} in equal parts{pushed}"


def has_scripted_policy(env_id: str) -> bool:
    """Whether a scripted policy ships for an environment."""
    task = task_of(env_id)
    written = env_id in CONTROLLERS or env_id in _REPEATED or env_id in CHOOSERS
    return written or (task is not None and task.domain == "metaworld")


def scripted_parts(env_id: str) -> list[Part]:
    """Scripted policies with increasing noise, in equal shares; of environments without one, the random policy.

    Args:
        env_id: the environment.
    """
    factories = _factories(env_id)
    return [Part(factory, 1 / len(factories)) for factory in factories]


def _factories(env_id: str) -> list[PolicyFactory]:
    task = task_of(env_id)
    if task is not None and task.domain == "metaworld":
        return [partial(_metaworld_policy, task, noise) for noise in NOISES]
    if env_id in CONTROLLERS:
        return [partial(_controller, env_id, noise) for noise in NOISES]
    if env_id in CHOOSERS:
        chooser = CHOOSERS[env_id]
        return [partial(NoisyChoice, chooser.choose, chooser.choices, share) for share in chooser.random_shares]
    if env_id in _REPEATED:
        return [partial(_same, policy) for policy in _REPEATED[env_id]]
    return [uniform_factory(env_id)]


def _same(policy: Policy) -> Policy:
    return policy


def _controller(env_id: str, noise: float) -> Policy:
    """A written controller, which is pushed where it is noisy."""
    policy = NoisyPolicy(CONTROLLERS[env_id], noise)
    return PushedPolicy(policy) if noise else policy


def _metaworld_policy(task: Task, noise: float) -> NoisyPolicy:
    """Meta-World's scripted policy of a task, which was written for the goal in the observation."""
    from metaworld.policies import ENV_POLICY_MAP

    # Its policies multiply errors by large constants on purpose and warn of that in every step.
    warnings.filterwarnings("ignore", message="Constant", module="metaworld")
    make: Any = ENV_POLICY_MAP[task.arguments["task"]]
    return NoisyPolicy(make().get_action, noise)
