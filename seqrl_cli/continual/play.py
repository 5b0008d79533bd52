"""Plays tasks with what a learner has learned so far, and measures success, inference and the use of adapters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from seqrl_cli.continual.choosers import Chooser
from seqrl_cli.continual.run_files import TaskScore
from seqrl_cli.envs.vector.backend import EnvBackend, EnvSpec
from seqrl_cli.envs.vector.in_process import InProcessBackend
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.models.adapters.selection import NONE
from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer
from seqrl_cli.models.decision.multi_domain_decoder import Decode, MultiDomainDecoder
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.rollout import LiveEpisode, Rollout, play_together
from seqrl_cli.planning.task_agent import TaskAgent
from seqrl_cli.runs.record import TaskRecord

PURPOSE = 7
"""Random numbers of these episodes' agents, apart from those of ``seqrl plan``."""


class LearnedAgent(TaskAgent):
    """Plays one task; its decoder chooses an adapter before each action.

    Attributes:
        choices: the adapters of all steps of each finished episode; of several prompts, the nearest.
    """

    def __init__(self, decoder: MultiDomainDecoder, task: TaskRecord) -> None:
        super().__init__(decoder, task, task.best_return)
        self.choices: list[list[int]] = []

    def plans(self, episode: LiveEpisode) -> dict[str, np.ndarray]:
        """Called at the end of an episode; see :meth:`Agent.plans`."""
        chosen = episode.agent_state.history.chosen
        self.choices.append([one if isinstance(one, int) else one[0] for one in chosen])
        return {}


@contextmanager
def open_tasks(
    tasks: Sequence[TaskRecord],
    episodes: int,
    max_steps: int | None = None,
    backend: Callable[[EnvSpec], EnvBackend] = InProcessBackend,
) -> Iterator[list[SeededVectorEnv]]:
    """Environments of some tasks, closed when the block ends.

    Args:
        tasks: the tasks to play.
        episodes: number of environments per task.
        max_steps: step limit of an episode; None for the environments' own.
        backend: makes what runs them.

    Raises:
        SeqrlError: one cannot be made.
    """
    with ExitStack() as stack:
        vectors = []
        for task in tasks:
            vectors.append(
                SeededVectorEnv(task.env_id, episodes, max_episode_steps=max_steps, goals="held-out", backend=backend)
            )
            stack.callback(vectors[-1].close)
        yield vectors


def play_tasks(
    model: MultiDomainTransformer,
    chooser: Chooser,
    tasks: Sequence[TaskRecord],
    vectors: Sequence[SeededVectorEnv],
    *,
    context: int,
    decode: Decode,
    seed: int,
    members: Mapping[str, int] | None,
    on_step: Callable[[int, int], None] | None = None,
) -> list[TaskScore]:
    """Play one episode per environment, all tasks side by side.

    Args:
        model: the model with its adapters.
        chooser: sets the adapter of each step.
        tasks: the tasks to play.
        vectors: environments of each task.
        context: number of steps that the model sees.
        decode: how a continuous number is chosen.
        seed: seed of the episodes.
        members: the right adapter of each task, by dataset; tasks that are not in it have none. None if no adapter is
            right, because the method has none, or none of a task's own, or is told the task.
        on_step: called after each step with (episodes running, episodes finished).
    """
    decoder = MultiDomainDecoder(model.eval(), context, decode, chooser.choose)
    agents = [LearnedAgent(decoder, task) for task in tasks]
    rollouts = [
        Rollout(agent, vector, seed=seed, purpose=[PURPOSE]) for agent, vector in zip(agents, vectors, strict=True)
    ]
    records: list[list[EpisodeRecord]] = [[] for _ in tasks]
    play_together(
        rollouts,
        [range(len(vector)) for vector in vectors],
        lambda index, record: records[index].append(record),
        on_step,
    )
    return [_score(task, own, agent.choices, members) for task, own, agent in zip(tasks, records, agents, strict=True)]


def _score(
    task: TaskRecord,
    records: Sequence[EpisodeRecord],
    choices: Sequence[Sequence[int]],
    members: Mapping[str, int] | None,
) -> TaskScore:
    solved = [record.successes for record in records if record.successes is not None]
    counts = Counter(member for episode in choices for member in episode)
    steps = counts.total()
    right = None if members is None else members.get(task.dataset, NONE)
    return TaskScore(
        dataset=task.dataset,
        env_id=task.env_id,
        episodes=len(records),
        mean_return=float(np.mean([record.total_reward for record in records])),
        success=float(np.mean([one.any() for one in solved])) if solved else None,
        success_at_end=float(np.mean([one[-1] for one in solved])) if solved else None,
        inferred=None if right is None else counts[right] / steps,
        inferred_first=None if right is None else float(np.mean([episode[0] == right for episode in choices])),
        inferred_episodes=None if right is None else float(np.mean([episode[-1] == right for episode in choices])),
        used={member: count / steps for member, count in sorted(counts.items())},
    )
