"""The process beside training that plays the model: ``beside.py`` starts it and sends it weights."""

from __future__ import annotations

import math
import pickle
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from seqrl_cli.artifacts.families import family_of
from seqrl_cli.artifacts.run_environment import environment_of_run, observation_size_of_run
from seqrl_cli.config.schema import Config
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.envs.scores import percent_score
from seqrl_cli.envs.trust import accept
from seqrl_cli.envs.vector.messages import pack_failure
from seqrl_cli.envs.vector.streams import serve_parent
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import Rollout, play_together
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import Values
from seqrl_cli.training.rng import SeedStream
from seqrl_cli.workflows.plan.agents import AgentOptions, make_agent_spec
from seqrl_cli.workflows.plan.setup import PlanSession
from seqrl_cli.workflows.plan.tasks import task_sessions


@dataclass(frozen=True)
class Setup:
    """What the process is sent first.

    Attributes:
        folder: the run's folder.
        record: the run's record.
        config: the run's complete configuration.
        store: the run directory that holds the run's dataset.
        model: the model with any weights, on the device where it plays.
        tokens: how a token model's tokens are read, without the tokens themselves; None for policies.
        accepted: environments whose modules the user trusts.
        threads: CPU threads to play with.
    """

    folder: RunFolder
    record: RunRecord
    config: Config
    store: RunStore
    model: nn.Module
    tokens: TokenizedDataset | None
    accepted: Sequence[str]
    threads: int


@dataclass(frozen=True)
class Answer:
    """What the process answers to weights; one of the first three is set.

    Attributes:
        values: the numbers of the evaluation.
        failure: a user's mistake or an environment's failure, packed.
        fault: the traceback of any other error.
        warnings: the warnings in order.
    """

    values: Values | None = None
    failure: bytes | None = None
    fault: str | None = None
    warnings: tuple[str, ...] = ()


def main(_argument: str) -> None:
    """Play the weights that arrive at stdin until it ends."""
    requests, answers = serve_parent()
    with suppress(EOFError, BrokenPipeError), ExitStack() as opened:
        player: Player | None = None
        setup: Setup = pickle.load(requests)
        torch.set_num_threads(setup.threads)
        for env_id in setup.accepted:
            accept(env_id)
        player = Player(setup, opened)
        while True:
            weights: dict[str, Tensor] = pickle.load(requests)
            answers.write(pickle.dumps(_answer(player, weights)))
            answers.flush()


def _answer(player: Player, weights: dict[str, Tensor]) -> Answer:
    try:
        values = player.play(weights)
    except SeqrlError as error:
        return Answer(failure=pack_failure(error), warnings=player.take_warnings())
    except Exception:  # the parent reports it, as it would its own
        return Answer(fault=traceback.format_exc(), warnings=player.take_warnings())
    return Answer(values, warnings=player.take_warnings())


@dataclass
class Player:
    """Plays the model of a run; its environments stay open from one evaluation to the next."""

    setup: Setup
    opened: ExitStack
    vectors: list[SeededVectorEnv] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def take_warnings(self) -> tuple[str, ...]:
        """The warnings since the last call, which are then forgotten."""
        warnings = tuple(self.warnings)
        self.warnings.clear()
        return warnings

    def play(self, weights: dict[str, Tensor], on_step: Callable[[int, int], None] | None = None) -> Values:
        """The numbers of the model with these weights.

        Raises:
            SeqrlError: it cannot play, or an environment broke.
        """
        start = time.perf_counter()
        setup = self.setup
        setup.model.load_state_dict(weights)
        sessions = self._sessions(setup.model.eval())
        if not self.vectors:
            self.vectors = [self._open(session) for session in sessions]
        profile = Profile()
        rollouts = [
            Rollout(session.agent.make(len(vector), profile), vector, seed=session.seed, purpose=[SeedStream.PLAN])
            for session, vector in zip(sessions, self.vectors, strict=True)
        ]
        records: list[list[EpisodeRecord]] = [[] for _ in rollouts]
        episodes = [range(setup.config.train.eval_episodes)] * len(rollouts)
        play_together(rollouts, episodes, lambda index, record: records[index].append(record), on_step)
        return {**summarized(sessions, records), "evaluation_seconds": time.perf_counter() - start}

    def _sessions(self, model: nn.Module) -> list[PlanSession]:
        """How each task is played; one session for a run of one task."""
        setup, warn = self.setup, self.warnings.append
        record, config = setup.record, setup.config
        trained = family_of(config.model.arch).as_run(model, setup.tokens, config, record)
        spec = make_agent_spec(trained, config.plan, AgentOptions(), warn)
        if record.tasks:
            env_id, references, size, task = record.tasks[0].env_id, None, None, record.tasks[0]
        else:
            env_id, references = environment_of_run(setup.store, record, config.data)
            size, task = observation_size_of_run(setup.store, trained), None
        seed = int(np.random.SeedSequence([config.seed, SeedStream.EPISODES]).generate_state(1)[0])
        base = PlanSession(setup.folder, spec, config.plan, env_id, references, size, seed, on_warning=warn, task=task)
        return task_sessions(base, config.train.eval_tasks) if record.tasks else [base]

    def _open(self, session: PlanSession) -> SeededVectorEnv:
        config = self.setup.config
        vector = session.make_vector(min(config.plan.envs, config.train.eval_episodes), config.plan.max_steps)
        self.opened.callback(vector.close)
        if session.task is None:
            hint = "train without --eval-every"
            vector.spaces.require_alike(session.env_id, session.trained.spaces, session.trained.record.dataset, hint)
        return vector


def summarized(sessions: Sequence[PlanSession], records: Sequence[Sequence[EpisodeRecord]]) -> dict[str, float | None]:
    """The numbers of an evaluation: means over tasks, and those of each task if there are several."""
    tasks = {session.env_id: _of_task(session, played) for session, played in zip(sessions, records, strict=True)}
    names = list(dict.fromkeys(name for values in tasks.values() for name in values))
    found: dict[str, float | None] = {"evaluation_episodes": sum(map(len, records))}
    for name in names:
        values = [task[name] for task in tasks.values() if task.get(name) is not None]
        found[f"evaluation_{name}"] = float(np.mean([value for value in values if value is not None]))
    if len(tasks) > 1:
        found |= {f"evaluation_{name}/{task}": value for task, own in tasks.items() for name, value in own.items()}
    return found


def _of_task(session: PlanSession, played: Sequence[EpisodeRecord]) -> dict[str, float | None]:
    """Means over the episodes of a task; None where an episode diverged."""
    mean = float(np.mean([record.total_reward for record in played]))
    values: dict[str, float | None] = {"return": mean if math.isfinite(mean) else None}
    if session.references is not None:
        values["score"] = None if values["return"] is None else percent_score(mean, session.references)
    successes = [record.successes for record in played if record.successes is not None]
    if successes:
        values["success"] = float(np.mean([one.any() for one in successes]))
        values["success_at_end"] = float(np.mean([one[-1] for one in successes]))
    return values
