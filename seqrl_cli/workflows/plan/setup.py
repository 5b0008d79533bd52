"""A trained run made ready to play: model, settings, environment, reference scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from seqrl_cli.artifacts.policy import TrainedPolicy, load_policy, pin_target
from seqrl_cli.artifacts.run_environment import environment_of_run, observation_size_of_run
from seqrl_cli.artifacts.token_model import TrainedModel, available_memory, choose_device, load_model, warn_unfinished
from seqrl_cli.config.architectures import POLICIES, with_article
from seqrl_cli.config.overrides import merge, nest
from seqrl_cli.config.owners import meaningful
from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.config.plan_names import plan_name
from seqrl_cli.config.presets import load_config, refuse_foreign_keys, validate
from seqrl_cli.config.recipe import recipe_of
from seqrl_cli.config.schema import Config
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.models.build import build_decoder, device_of
from seqrl_cli.models.decision.decoder import check_context
from seqrl_cli.models.retnet.model import RetNet
from seqrl_cli.models.retnet.retention import check_mode
from seqrl_cli.planning.episode_files import PlanFacts
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import EpisodeRecord, Rollout
from seqrl_cli.planning.settings import plan_settings
from seqrl_cli.planning.target_return import check_return, warn_of_return
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import read_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.rng import SeedStream
from seqrl_cli.workflows.plan.agents import BeamSearch, Mind, PolicyMind


@dataclass(frozen=True)
class PlanRequest:
    """Options of ``seqrl plan``.

    Attributes:
        store: the run directory.
        run: a run's path or name, or a dataset; None = the latest run.
        overrides: dotted keys below ``plan.``, over the run's configuration.
        seed: of environments and samples.
        checkpoint: updates of the checkpoint; None = the newest.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        max_memory: bytes that planning may take; None = half of what is free.
        mode: form of a RetNet's retention in which the past is encoded; None = as it was trained.
        force: play episodes again that exist.
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


@dataclass(frozen=True)
class Planner:
    """A run made ready to play: everything that does not change from episode to episode.

    Attributes:
        run: the run's folder.
        mind: its model, and how it decides.
        config: the plan's settings.
        env_id: where it plays.
        references: returns that score 0 and 1; None when they are not known.
        observation_size: how many dimensions of a longer observation the data keep; None for all.
        seed: of environments and samples.
        checkpoint: the one that was asked for; None = the newest.
    """

    run: RunFolder
    mind: Mind
    config: PlanConfig
    env_id: str
    references: tuple[float, float] | None
    observation_size: int | None
    seed: int
    checkpoint: int | None = None

    @property
    def trained(self) -> TrainedModel | TrainedPolicy:
        """The run's model, its configuration and its record."""
        return self.mind.trained

    @property
    def folder(self) -> Path:
        """Where the episodes go."""
        return self.run.plans / plan_name(self.config, self.trained.config.model.arch, self.seed, self.checkpoint)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that mean something to the run's architecture, as plain values."""
        plan: dict[str, Any] = meaningful({"plan": self.config.model_dump()}, self.trained.config.model.arch)["plan"]
        return plan

    def facts(self) -> PlanFacts:
        """What all episodes of the plan have in common."""
        record = self.trained.record
        return PlanFacts(
            dataset=record.dataset,
            env_id=self.env_id,
            run=self.run.path.name,
            arch=record.arch,
            seed=self.seed,
            settings={key: value for key, value in self.settings.items() if key not in ("episodes", "envs")},
            checkpoint_step=self.trained.step,
            parent=record.parent,
            recipe=recipe_of(self.trained.config, fine_tuned=record.parent is not None),
            engine=self.mind.engine,
        )

    def make_vector(self, slots: int, max_steps: int | None) -> SeededVectorEnv:
        """Environments to play in, their observations cut as those of the data."""
        return SeededVectorEnv(self.env_id, slots, max_episode_steps=max_steps, observation_size=self.observation_size)

    def refuse_broken(self, record: EpisodeRecord) -> None:
        """Stop at an episode of which neither the return nor a state means anything.

        Raises:
            SeqrlError: it has a number that is not finite.
        """
        if broken := record.not_finite:
            message = f"episode {record.episode} in {self.env_id} has {broken} that are not finite: it blew up"
            raise SeqrlError(message, "another --seed plays other episodes, plan.max_steps shorter ones")

    def rollout(self, vector: SeededVectorEnv, profile: Profile) -> Rollout:
        """A fresh closed loop over some environments.

        Raises:
            SeqrlError: the environment is not the one that the model knows, or memory is short.
        """
        hint = "name the right environment: seqrl download FILE data.env_id=… --force"
        vector.spaces.require_fit(self.env_id, Spaces.of_vectors(*self.mind.sizes), self.trained.record.dataset, hint)
        agent = self.mind.agent(len(vector), profile)
        return Rollout(agent, vector, seed=self.seed, purpose=[SeedStream.PLAN], profile=profile)


def make_planner(store: RunStore, request: PlanRequest, on_warning: Callable[[str], None]) -> Planner:
    """Find the run, load its model and settle the plan's settings.

    Raises:
        UsageError: a key that is not about planning, or a bad value.
        SeqrlError: there is no such run, or the model cannot hold the plan.
    """
    run = store.find(request.run, on_warning)
    config = _plan_config(load_config(run.config), request.overrides)
    if config.plan.target_return is None and config.model.arch in POLICIES:
        config = pin_target(config, read_record(run.record).return_range, run.record)
    mind = _mind(run, config, request, on_warning)
    if request.checkpoint is None:
        warn_unfinished(run, mind.trained.record, mind.trained.step, on_warning)
    env_id, references = environment_of_run(store, mind.trained.record)
    kept = observation_size_of_run(store, mind.trained)
    return Planner(run, mind, config.plan, env_id, references, kept, request.seed, request.checkpoint)


def _mind(
    run: RunFolder, config: Config, request: PlanRequest, on_warning: Callable[[str], None] | None
) -> BeamSearch | PolicyMind:
    """The run's way to decide.

    Raises:
        SeqrlError: its model cannot be loaded, or cannot hold the plan.
    """
    device = choose_device(request.device)
    _check_mode(config.model.arch, request.mode)
    if config.model.arch in POLICIES:
        if request.max_memory is not None:
            what = with_article(config.model.arch)
            raise UsageError(f"--max-memory bounds a search for plans, but {run.path} is {what}", "leave it out")
        policy = load_policy(run, device, request.checkpoint, on_warning)
        check_return("plan.target_return", config.plan.target_return, policy.record)
        mind = PolicyMind(policy, config.plan.target_return, config.plan.max_context_transitions)
        check_context(policy.model, mind.context)
        warn_of_return("the target return", mind.target_return, policy.record, on_warning)
        return mind
    trained = load_model(run, device, request.checkpoint, on_warning)
    if request.mode is not None and isinstance(trained.model, RetNet):
        check_mode(request.mode, trained.model.chunk_size)
        trained.model.mode = request.mode
    settings = plan_settings(config.plan)
    settings.check_fits(trained.model.block_size, trained.model.transition_dim)
    max_memory = request.max_memory or available_memory(device_of(trained.model)) // 2
    build = partial(
        build_decoder, trained.model, settings.model_window, settings.precision, settings.engine, on_warning
    )
    return BeamSearch(trained, build(), settings, max_memory, build if settings.engine == "graph" else None)


def _check_mode(arch: str, mode: str | None) -> None:
    """Stop at a form of retention for a model that has none."""
    if mode is not None and arch != "retnet":
        raise UsageError(f"--mode {mode}: only a retnet has it, not {with_article(arch)}", "leave out --mode")


def _plan_config(config: Config, overrides: Mapping[str, Any]) -> Config:
    foreign = [key for key in overrides if not key.startswith("plan.")]
    if foreign:
        raise UsageError(f"{foreign[0]!r} cannot be changed when planning", "keys that plan takes start with plan.")
    planned = validate(merge(config.model_dump(), nest(overrides)))
    refuse_foreign_keys(config.model.arch, overrides)
    return planned
