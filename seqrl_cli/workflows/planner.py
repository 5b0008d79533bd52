"""A trained run made ready to plan: model, settings, environment, reference scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqrl_cli.config.overrides import merge, nest
from seqrl_cli.config.presets import validate
from seqrl_cli.config.schema import PlanConfig
from seqrl_cli.envs.vector import EpisodeVector
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.models.build import build_decoder, device_of
from seqrl_cli.models.decoder import Decoder
from seqrl_cli.models.retention import check_mode
from seqrl_cli.models.retnet import RetNet
from seqrl_cli.planning.beam_agent import BeamAgent
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import Rollout
from seqrl_cli.planning.settings import PlanSettings
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.datasets import environment_of, locate, reference_scores
from seqrl_cli.workflows.models import TrainedModel, available_memory, choose_device, load_model
from seqrl_cli.workflows.sources import scores_of_environment

# How a setting that differs from the default is written in a plan folder's name.
SHORT_NAMES = {
    "n_expand": "expand",
    "k_obs": "kobs",
    "k_act": "kact",
    "cdf_obs": "cdfobs",
    "cdf_act": "cdfact",
    "percentile": "p",
    "prefix_context": "prefix",
    "plan_freq": "freq",
    "discount": "discount",
    "window": "",
    "context": "",
    "max_steps": "steps",
}


@dataclass(frozen=True)
class PlanRequest:
    """What ``seqrl plan`` was asked for.

    Attributes:
        run: a run's path or name, or a dataset; None = the latest run.
        overrides: dotted keys below ``plan.``, over the run's configuration.
        seed: of environments and samples.
        checkpoint: updates of the checkpoint; None = the newest.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        max_memory: bytes that planning may take; None = half of what is free.
        mode: form of a RetNet's retention in which the past is encoded; None = as it was trained.
    """

    run: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    checkpoint: int | None = None
    device: str = "auto"
    threads: int | None = None
    max_memory: int | None = None
    mode: str | None = None


@dataclass(frozen=True)
class Planner:
    """A model made ready to plan: everything that does not change from episode to episode."""

    run: RunFolder
    trained: TrainedModel
    decoder: Decoder
    config: PlanConfig
    settings: PlanSettings
    env_id: str
    references: tuple[float, float] | None
    seed: int
    max_memory: int
    checkpoint: int | None = None

    @property
    def folder(self) -> Path:
        """Where the episodes go."""
        return self.run.plans / plan_name(self.config, self.seed, self.checkpoint)

    def make_vector(self, slots: int, max_steps: int | None) -> EpisodeVector:
        """Environments to plan in, their observations cut as those of the data."""
        kept = self.trained.tokens.observation_slice
        return EpisodeVector(self.env_id, slots, max_episode_steps=max_steps, observation_size=kept)

    def rollout(self, vector: EpisodeVector, profile: Profile) -> Rollout:
        """A fresh closed loop over some environments.

        Raises:
            SeqrlError: the environment is not the one that the model knows, or memory is short.
        """
        tokens = self.trained.tokens
        sizes = (vector.observation_dim, vector.action_dim)
        if sizes != (tokens.observation_dim, tokens.action_dim):
            raise SeqrlError(
                f"{self.env_id} has observations and actions of sizes {sizes}, "
                f"{tokens.dataset_id} {(tokens.observation_dim, tokens.action_dim)}",
                "name the right environment: seqrl download FILE data.env_id=… --force",
            )
        agent = BeamAgent(
            self.decoder,
            tokens.discretizer,
            self.settings,
            episodes=len(vector),
            profile=profile,
            max_memory=self.max_memory,
        )
        return Rollout(agent, vector, seed=self.seed, profile=profile)


def make_planner(store: RunStore, request: PlanRequest, on_warning: Callable[[str], None] | None = None) -> Planner:
    """Find the run, load its model and settle the plan's settings.

    Raises:
        UsageError: a key that is not about planning, or a bad value.
        SeqrlError: there is no such run, or the model cannot hold the plan.
    """
    run = store.find(request.run)
    trained = load_model(run, choose_device(request.device), request.checkpoint, on_warning)
    _choose_mode(trained, request.mode)
    config = _plan_config(trained, request.overrides)
    settings = plan_settings(config)
    settings.check_fits(trained.model.block_size, trained.model.transition_dim)
    env_id, references = _environment(store, trained)
    return Planner(
        run=run,
        trained=trained,
        decoder=build_decoder(trained.model, settings.view),
        config=config,
        settings=settings,
        env_id=env_id,
        references=references,
        seed=request.seed,
        max_memory=request.max_memory or available_memory(device_of(trained.model)) // 2,
        checkpoint=request.checkpoint,
    )


def _environment(store: RunStore, trained: TrainedModel) -> tuple[str, tuple[float, float] | None]:
    """Environment and reference scores, by the dataset; where it is gone, by the run's own record.

    Raises:
        SeqrlError: neither says which environment to plan in.
    """
    dataset, recorded = trained.record.dataset, trained.record.env_id
    if store.dataset(dataset).dataset.exists() or recorded is None:
        located = locate(store, dataset)
        return environment_of(located), reference_scores(located)
    return recorded, scores_of_environment(recorded)


def _choose_mode(trained: TrainedModel, mode: str | None) -> None:
    """Set the form of a RetNet's retention, unless None."""
    if mode is None:
        return
    model = trained.model
    if not isinstance(model, RetNet):
        raise UsageError(f"--mode {mode}: only a retnet has it, not a {trained.record.arch}", "leave out --mode")
    check_mode(mode, model.chunk_size)
    model.mode = mode


def _plan_config(trained: TrainedModel, overrides: Mapping[str, Any]) -> PlanConfig:
    foreign = [key for key in overrides if not key.startswith("plan.")]
    if foreign:
        raise UsageError(f"{foreign[0]!r} cannot be changed when planning", "keys that plan takes start with plan.")
    return validate(merge(trained.config.model_dump(), nest(overrides))).plan


def plan_settings(config: PlanConfig) -> PlanSettings:
    """The planner's settings out of the configuration."""
    return PlanSettings(**config.model_dump(exclude={"episodes", "envs", "max_steps"}))


def plan_name(config: PlanConfig, seed: int, checkpoint: int | None = None) -> str:
    """The plan folder's name: ``H15-B128-ctx5-s0``, with every other setting that is not the default in between."""
    parts = [f"H{config.horizon}", f"B{config.beam_width}", f"ctx{config.max_context_transitions}"]
    for key, short in SHORT_NAMES.items():
        value = getattr(config, key)
        if value != PlanConfig.model_fields[key].default:
            parts.append(f"{short}{_short(value)}")
    if checkpoint is not None:
        parts.append(f"step{checkpoint}")
    return "-".join([*parts, f"s{seed}"])


def _short(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "on", False: "off"}[value]
    return str(value)
