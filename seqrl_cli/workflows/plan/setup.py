"""Set-up of planning: a run's model, settings, environment and reference scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from seqrl_cli.artifacts.families import load_trained
from seqrl_cli.artifacts.policy import pin_target
from seqrl_cli.artifacts.run_environment import accept_named, environment_of_run, observation_size_of_run
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.artifacts.trained_run import SavedRun, TrainedRun, is_imported, warn_unfinished
from seqrl_cli.config.overrides import overridden
from seqrl_cli.config.owners import without_foreign_keys
from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.config.plan_names import plan_name
from seqrl_cli.config.presets import refuse_foreign_keys, validate
from seqrl_cli.config.recipe import recipe_of
from seqrl_cli.config.schema import Config
from seqrl_cli.envs.trust import require_accepted
from seqrl_cli.envs.vector.choice import open_backend
from seqrl_cli.envs.vector.subprocess import ANSWER_SECONDS
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.atomic import GONE_HINT
from seqrl_cli.models.device import choose_device
from seqrl_cli.planning.episode_files import PlanFacts
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.plan_check import check_plan
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import Rollout
from seqrl_cli.planning.target_return import check_return, warn_of_return
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import TaskRecord
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoints import weights_hash
from seqrl_cli.training.rng import SeedStream
from seqrl_cli.workflows.plan.agents import (
    AgentOptions,
    AgentSpec,
    BeamSearchSpec,
    check_options,
    make_agent_spec,
)
from seqrl_cli.workflows.plan.ensemble import described, load_others, without_hashes


@dataclass(frozen=True)
class PlanRequest:
    """Options of ``seqrl plan``.

    Attributes:
        store: the run directory.
        run: a run's path or name, or a dataset; None = the latest run.
        overrides: dotted keys below ``plan.``, over the run's configuration; ``data.env_id`` may repeat the
            environment.
        seed: seed of the environments and of sampling.
        checkpoint: updates of the checkpoint; None = the newest.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        max_memory: bytes that planning may take; None = half of what is free.
        mode: form of a RetNet's retention that encodes the past; None = as it was trained.
        force: replace existing episodes.
        env_timeout: seconds to wait for an environment in a process of its own.
        tasks: patterns of the tasks to play, joined by commas, for runs of many tasks; None = all.
        best_checkpoint: use the best checkpoint in place of ``checkpoint``.
        processes: how many share the episodes, for a dry run.
    """

    store: RunStore
    run: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    checkpoint: int | None = None
    device: str = "auto"
    threads: int | None = None
    max_memory: int | None = None
    mode: str | None = None
    force: bool = False
    env_timeout: float = ANSWER_SECONDS
    tasks: str | None = None
    best_checkpoint: bool = False
    processes: int = 1


@dataclass(frozen=True)
class PlanSession:
    """A loaded run with everything that its episodes share.

    Attributes:
        run: the run's folder.
        agent: the run's model, and how it chooses actions.
        config: the plan's settings.
        env_id: the environment that it plays.
        references: returns that score 0 and 1; None when they are not known.
        observation_size: how many leading dimensions of an observation the data have; None for all.
        seed: seed of the environments and of sampling.
        checkpoint: updates of the requested checkpoint; None = the newest.
        env_timeout: seconds to wait for an environment in a process of its own.
        on_warning: called when such a process dies and is started again.
        task: the task that it plays, for runs of many tasks.
        weights: first digits of the hash of the checkpoint's weights; None if they are not known.
    """

    run: RunFolder
    agent: AgentSpec
    config: PlanConfig
    env_id: str
    references: tuple[float, float] | None
    observation_size: int | None
    seed: int
    checkpoint: int | None = None
    env_timeout: float = ANSWER_SECONDS
    on_warning: Callable[[str], None] | None = None
    task: TaskRecord | None = None
    weights: str | None = None

    @property
    def trained(self) -> TrainedRun:
        """The run's model, its configuration and its record."""
        return self.agent.trained

    @property
    def others(self) -> tuple[TrainedModel, ...]:
        """The models whose predictions are averaged with the run's own."""
        return self.agent.others if isinstance(self.agent, BeamSearchSpec) else ()

    @property
    def folder(self) -> Path:
        """The folder of its episodes."""
        name = plan_name(self.config, self.trained.config.model.arch, self.seed, self.checkpoint)
        return self.run.plans / (f"{self.task.env_id.replace('/', '_')}-{name}" if self.task else name)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings that mean something to the run's architecture, as plain values."""
        arch = self.trained.config.model.arch
        plan: dict[str, Any] = without_foreign_keys({"plan": self.config.model_dump()}, arch)["plan"]
        return {**plan, "ensemble": described(self.others)} if self.others else plan

    @property
    def terminal_rewards(self) -> str | None:
        """What became of the rewards at terminals in the data that the model learned; None where it is not known."""
        if not isinstance(self.trained, TrainedModel):
            return None
        tokens = self.trained.tokens
        if tokens.terminal_rewards is None and tokens.termination_penalty is not None:  # of an earlier version
            return f"replaced by {tokens.termination_penalty:g}"
        return tokens.terminal_rewards

    def facts(self) -> PlanFacts:
        """What all episodes of the plan have in common."""
        record = self.trained.record
        return PlanFacts(
            dataset=self.task.dataset if self.task else record.dataset,
            env_id=self.env_id,
            run=self.run.path.name,
            arch=record.arch,
            seed=self.seed,
            settings={key: value for key, value in self.settings.items() if key not in ("episodes", "envs")},
            checkpoint_step=self.trained.step,
            parent=record.base.run if record.base else record.parent,
            learned=self.trained.config.finetune.label if record.base else None,
            recipe=recipe_of(self.trained.config, fine_tuned=record.parent is not None),
            weights=self.weights,
            engine=self.agent.engine,
        )

    def make_vector(self, num_envs: int, max_steps: int | None) -> SeededVectorEnv:
        """Environments to play in, with observations cut to the data's dimensions."""
        return SeededVectorEnv(
            self.env_id,
            num_envs,
            max_episode_steps=max_steps,
            observation_size=self.observation_size,
            goals=self.config.goals,
            backend=partial(open_backend, on_warning=self.on_warning, timeout=self.env_timeout),
        )

    def check_finite(self, record: EpisodeRecord) -> None:
        """Stop at an episode whose return and states are meaningless.

        Raises:
            SeqrlError: a number of the episode is not finite.
        """
        if found := record.not_finite:
            message = f"episode {record.episode} in {self.env_id} has {found} that are not finite: it diverged"
            raise SeqrlError(message, "another --seed plays other episodes, plan.max_steps shorter ones")

    def require_run(self) -> None:
        """Stop if the run is gone, rather than write episodes where it was.

        Raises:
            SeqrlError: it was removed or renamed.
        """
        if not self.run.record.exists():
            raise SeqrlError(f"{self.run.path} was removed or renamed while it was played", GONE_HINT)

    def rollout(self, vector: SeededVectorEnv, profile: Profile) -> Rollout:
        """A new closed loop in the given environments.

        Raises:
            SeqrlError: the environment has other sizes than the model, or one plan exceeds the memory limit.
        """
        hint = "name the right environment: seqrl download FILE data.env_id=… --force"
        if is_imported(self.run):
            hint = "import it again for the data that it was trained on: seqrl import FOLDER --dataset DATASET --force"
        vector.spaces.require_alike(self.env_id, self.trained.spaces, str(self.run.path), hint)
        agent = self.agent.make(len(vector), profile)
        return Rollout(agent, vector, seed=self.seed, purpose=[SeedStream.PLAN], profile=profile)


@dataclass(frozen=True)
class LoadedAgent:
    """A run that can choose actions, whatever is known of its environment.

    Attributes:
        saved: the run.
        config: the run's configuration with the plan's settings.
        agent: the run's model, and how it chooses actions.
    """

    saved: SavedRun
    config: Config
    agent: AgentSpec


def load_agent(request: PlanRequest, on_warning: Callable[[str], None]) -> LoadedAgent:
    """Find the run, load its model and resolve the plan's settings; no environment is needed.

    Raises:
        UsageError: a key that planning does not accept, or a bad value.
        SeqrlError: there is no such run, or the model cannot hold the plan.
    """
    saved = SavedRun.read(request.store.find(request.run, on_warning))
    config = _resolve_config(saved, request)
    options = AgentOptions(request.mode, request.max_memory)
    device = choose_device(request.device)
    check_options(saved, options)
    wanted = saved.best_checkpoint() if request.best_checkpoint else request.checkpoint
    trained = load_trained(saved, device, wanted, on_warning)
    _check_plan(trained, config, on_warning)
    others = load_others(saved, config, device, partial(check_options, options=options), on_warning)
    plan = config.plan.model_copy(update={"ensemble": without_hashes(config.plan.ensemble)})
    config = config.model_copy(update={"plan": plan})
    agent = make_agent_spec(trained, config.plan, replace(options, others=others), on_warning)
    if wanted is None:
        warn_unfinished(saved.folder, saved.record, trained.step, on_warning)
    return LoadedAgent(saved, config, agent)


def open_session(request: PlanRequest, on_warning: Callable[[str], None]) -> PlanSession:
    """Load a run as :func:`load_agent` does, with the run's environment.

    Raises:
        UsageError: likewise.
        SeqrlError: likewise, or the environment is not known.
    """
    loaded = load_agent(request, on_warning)
    saved, config, agent = loaded.saved, loaded.config, loaded.agent
    store, trained = request.store, agent.trained
    checkpoint = trained.step if request.best_checkpoint else request.checkpoint
    weights = weights_hash(saved.folder.checkpoints, trained.step)
    if saved.record.tasks:
        first = saved.record.tasks[0]
        return PlanSession(
            saved.folder,
            agent,
            config.plan,
            first.env_id,
            None,
            None,
            request.seed,
            checkpoint,
            request.env_timeout,
            on_warning,
            first,
            weights,
        )
    env_id, references = environment_of_run(store, saved.record, saved.config.data)
    require_accepted(env_id)
    size = observation_size_of_run(store, trained)
    return PlanSession(
        saved.folder,
        agent,
        config.plan,
        env_id,
        references,
        size,
        request.seed,
        checkpoint,
        request.env_timeout,
        on_warning,
        weights=weights,
    )


def _resolve_config(saved: SavedRun, request: PlanRequest) -> Config:
    """The run's configuration with the plan's overrides, and with its target return as a number."""
    overrides = accept_named(request.overrides, saved.record, request.store)
    foreign = [key for key in overrides if not key.startswith("plan.")]
    if foreign:
        raise UsageError(f"{foreign[0]!r} cannot be changed when planning", "plan accepts keys that start with plan.")
    planned = validate(overridden(saved.config.model_dump(), overrides))
    refuse_foreign_keys(saved.config.model.arch, overrides)
    return pin_target(planned, saved.record.return_range, saved.folder.record)


def _check_plan(trained: TrainedRun, config: Config, on_warning: Callable[[str], None]) -> None:
    """Raise SeqrlError unless the model can hold the plan and the target return is usable."""
    target = config.plan.target_return
    check_return("plan.target_return", target, trained.record)
    check_plan(trained.model, config)
    warn_of_return("the target return", target, trained.record, on_warning)
