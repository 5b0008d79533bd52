"""A trained run as an agent for a loop of your own: ``agent.act(observation, reward)``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.artifacts.locate import find_stored
from seqrl_cli.artifacts.run_environment import observation_size_of_run
from seqrl_cli.artifacts.trained_run import TrainedRun
from seqrl_cli.cli.options import default_store
from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.owners import has_key
from seqrl_cli.console import Console
from seqrl_cli.data.space import BoxSpace, DiscreteSpace, Space, has_colours_first
from seqrl_cli.data.states import state_vectors
from seqrl_cli.envs.guard import Environment
from seqrl_cli.envs.make import make_env
from seqrl_cli.envs.probe import layout_of
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.models.device import use_threads
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import LiveEpisode, environment_seed
from seqrl_cli.runs.record import TaskRecord
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.task_choice import chosen_tasks, require_tasks
from seqrl_cli.scripting.keys import PathLike, below
from seqrl_cli.training.rng import SeedStream
from seqrl_cli.workflows.plan.agents import AgentSpec, TaskAgentSpec
from seqrl_cli.workflows.plan.setup import LoadedAgent, PlanRequest, load_agent
from seqrl_cli.workflows.plan.targets import target_returns

Action = NDArray[Any] | int


def load(
    run: PathLike | None = None,
    *,
    task: str | None = None,
    checkpoint: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    runs_dir: PathLike | None = None,
    **settings: Any,
) -> Agent:
    """Load a trained run, of any architecture, as an agent.

    Args:
        run: path or name of the run, or a dataset for its latest run; None = the latest run of all.
        task: the task to play, for a run of many tasks, such as ``metaworld/hammer``.
        checkpoint: updates of the checkpoint; None = the newest.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads for PyTorch; None leaves them as they are.
        runs_dir: the run directory; None = ``$SEQRL_RUNS``, else ``runs``.
        **settings: keys of planning, such as ``horizon=5``, ``beam_width=32`` or ``target_return=3000.0``, in place of
            the run's own.

    Raises:
        UsageError: there is no such setting or task.
        SeqrlError: there is no such run, or it cannot be loaded.
    """
    store = default_store(runs_dir)
    if threads is not None:
        use_threads(threads)
    request = PlanRequest(
        store, None if run is None else str(run), below("plan", settings), checkpoint=checkpoint, device=device
    )
    loaded = load_agent(request, Console(quiet=True).warn)
    record = loaded.saved.record
    if not record.tasks:
        if task is not None:
            require_tasks((), str(loaded.saved.folder.path), "task")
        return Agent(loaded, loaded.agent, loaded.agent.trained.spaces.observation, *_environment(store, loaded))
    chosen = _chosen_task(record.tasks, task)
    (target,) = target_returns([chosen], loaded.config.plan)
    spec = cast(TaskAgentSpec, loaded.agent).for_task(chosen, target)
    shape, dtype = chosen.shape, "float32" if len(chosen.shape) == 1 else "uint8"
    return Agent(loaded, spec, BoxSpace(shape, dtype), chosen.env_id, _task_actions(chosen), task=chosen)


def _chosen_task(tasks: tuple[TaskRecord, ...], task: str | None) -> TaskRecord:
    """The one task that a pattern names.

    Raises:
        UsageError: it names none or several, or several are there to choose from.
    """
    found = chosen_tasks(tasks, task)
    if len(found) > 1:
        names = ", ".join(one.env_id for one in found[:6])
        raise UsageError(f"the run has {len(found)} tasks to choose from: {names}", f"task={found[0].env_id!r}")
    return found[0]


def _task_actions(task: TaskRecord) -> Space:
    if task.choices is not None:
        return DiscreteSpace(task.choices)
    return BoxSpace.bounded((task.action_dim,), "float32", np.array(task.action_low), np.array(task.action_high))


def _environment(store: RunStore, loaded: LoadedAgent) -> tuple[str | None, Space, int | None]:
    """Id of the run's environment, its actions, and how many dimensions of an observation are kept (None: all).

    The dataset states the actions' bounds, else the environment itself; if neither can be asked, there are none.
    """
    record, trained = loaded.saved.record, loaded.agent.trained
    dataset = find_stored(store, record.dataset)
    facts = dataset.facts if dataset is not None and len(dataset.datasets) == 1 else None
    env_id = (dataset.env_id if facts and dataset else None) or record.env_id
    size = observation_size_of_run(store, trained)
    if facts is not None and facts.spaces is not None and env_id is not None:
        return env_id, facts.spaces.action, size
    if env_id is not None:
        try:
            return env_id, layout_of(env_id).spaces.action, size
        except SeqrlError:  # it is not installed here, or its module is not trusted
            pass
    return env_id, trained.spaces.action, size


class Agent:
    """A trained run that chooses actions, one episode at a time: :func:`load` makes it.

    ``reset`` begins an episode. ``act`` takes the observation and the reward that the previous action earned, because
    return-conditioned models subtract rewards from their target and planners have them in their context. With the
    same seed and the same environment, the actions are those of ``seqrl plan``.

    Attributes:
        run: the run's folder.
        arch: the run's architecture.
        checkpoint: updates of the run's checkpoint.
        env_id: gymnasium id of its environment; None if it is not known.
        task: the dataset of the task that it plays, for runs of many tasks; else None.
        target_return: return that it asks for; None if it imitates, plans or infers one.
    """

    def __init__(
        self,
        loaded: LoadedAgent,
        spec: AgentSpec,
        observation_space: Space,
        env_id: str | None,
        action_space: Space,
        observation_size: int | None = None,
        task: TaskRecord | None = None,
    ) -> None:
        self.run: Path = loaded.saved.folder.path
        self.arch: str = loaded.saved.config.model.arch
        self.checkpoint: int = spec.trained.step
        self.env_id = env_id
        self.task: str | None = task.dataset if task else None
        self.target_return: float | None = getattr(spec, "target_return", None)
        self._agent = spec.make(1, Profile())
        self._trained = spec.trained
        self._observations = observation_space
        self._bounds = action_space.bounds if isinstance(action_space, BoxSpace) else None
        self._size = observation_size
        is_policy = ARCHITECTURES[self.arch].kind.name == "policy"
        self._needs_rewards = not is_policy or has_key(self.arch, "plan.target_return")
        self._episode: LiveEpisode | None = None

    def __repr__(self) -> str:
        """The agent in one line."""
        where = f" in {self.env_id}" if self.env_id else ""
        return f"Agent({str(self.run)!r}: {self.arch}, {self.checkpoint:,} updates{where})"

    @property
    def trained(self) -> TrainedRun:
        """The run's model, configuration and record, for what this class does not offer."""
        return self._trained

    def reset(self, seed: int = 0, episode: int = 0) -> None:
        """Begin an episode.

        Args:
            seed: seed of the agent's random numbers.
            episode: number of the episode, as in ``seqrl plan``, whose episodes of one seed differ.
        """
        generator = np.random.default_rng([seed, SeedStream.PLAN, episode])
        self._episode = LiveEpisode(episode, environment_seed(seed, episode), generator, [], [])
        self._agent.reset(self._episode)

    def act(self, observation: Any, reward: float | None = None) -> Action:
        """Choose the next action.

        Args:
            observation: the observation as the environment gives it.
            reward: what the previous action earned; not needed for the first action, nor for ``bc``.

        Returns:
            A vector (action_dim,) of float32 within the environment's bounds, or the number of a choice.

        Raises:
            SeqrlError: the observation has another size or is not finite, or the reward is missing.
        """
        if self._episode is None:
            self.reset()
        episode = self._episode
        assert episode is not None
        if len(episode.actions):
            self._earn(episode, reward)
        episode.observations.append(self._observation(observation))
        (decided,) = self._agent.decide([episode])
        if self._bounds is None:
            action = np.asarray(decided, np.int64 if np.ndim(decided) == 0 else np.float32)
        else:
            action = np.asarray(np.clip(decided, *self._bounds), np.float32)
        episode.actions.append(action)
        return int(action) if action.ndim == 0 else action.copy()

    def environment_seed(self, seed: int = 0, episode: int = 0) -> int:
        """The seed with which ``seqrl plan --seed`` resets the environment of an episode."""
        return environment_seed(seed, episode)

    def make_env(self, render_mode: str | None = None) -> Environment:
        """The agent's environment, as ``seqrl plan`` plays it.

        Raises:
            SeqrlError: it is not known, or cannot be made here.
        """
        if self.env_id is None:
            raise SeqrlError(f"{self.run} does not state its environment", "make the environment with gymnasium.make")
        return make_env(self.env_id, render_mode=render_mode)

    def _earn(self, episode: LiveEpisode, reward: float | None) -> None:
        """Note what the previous action earned.

        Raises:
            SeqrlError: the reward is missing or not finite.
        """
        if reward is None and self._needs_rewards:
            message = f"the {self.arch} of {self.run} needs the reward of its previous action"
            raise SeqrlError(message, "agent.act(observation, reward); agent.reset() begins a new episode")
        earned = 0.0 if reward is None else float(reward)
        if not np.isfinite(earned):
            raise SeqrlError(f"the reward is {earned}, not a finite number", "check the environment")
        episode.rewards.append(earned)
        episode.total_reward += earned

    def _observation(self, observation: Any) -> NDArray[Any]:
        """An observation as the model reads it.

        Raises:
            SeqrlError: it has another size, or is not finite.
        """
        shape = self._observations.shape
        if isinstance(observation, Mapping):  # gymnasium's order of a dictionary's keys
            observation = np.concatenate([np.ravel(observation[key]) for key in sorted(observation)])
        found = np.asarray(observation)
        if found.dtype == np.uint8 and found.shape != shape and has_colours_first(found.shape):
            found = np.moveaxis(found, 0, 2)
        if found.ndim == 0 and found.dtype.kind in "iu" and len(shape) == 1 and shape[0] > 1:
            found = state_vectors(found.reshape(1), shape[0], "the observation")[0]
        if self._size is not None and found.ndim == 1:
            found = found[: self._size]
        if found.shape != shape:
            message = f"the observation has shape {found.shape}, but {self.run} reads {shape}"
            raise SeqrlError(message, f"play in {self.env_id}" if self.env_id else "play in the data's environment")
        kept = found.astype(np.uint8 if found.dtype == np.uint8 else np.float32)
        if not np.isfinite(kept).all():
            raise SeqrlError("the observation contains numbers that are not finite", "check the environment")
        return kept
