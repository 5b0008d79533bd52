"""Dry run of ``demo``: what it would write, and how long it would take on this machine."""

from __future__ import annotations

import math
from contextlib import closing
from typing import cast

from seqrl_cli.artifacts.families import family_of
from seqrl_cli.artifacts.sizes import estimate_sizes
from seqrl_cli.artifacts.train_job import TrainJob, estimate_seconds
from seqrl_cli.config.plan_names import plan_name
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console, duration
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.models.build import TokenModel, build_decoder
from seqrl_cli.models.device import choose_device, use_threads
from seqrl_cli.planning.beam_agent import BeamAgent
from seqrl_cli.planning.episode_files import episode_paths
from seqrl_cli.planning.rollout import Rollout
from seqrl_cli.planning.settings import search_settings
from seqrl_cli.planning.timing import seconds_per_step
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.workflows.demo.setup import PLAN_SEED, DemoRequest, configure
from seqrl_cli.workflows.train.dry_run import placeholder_data
from seqrl_cli.workflows.train.setup import TrainRequest


def dry_run(request: DemoRequest, console: Console) -> None:
    """Print what ``demo`` would do.

    Raises:
        UsageError: the dataset is not simulated.
    """
    use_threads(request.threads)
    dataset, config = configure(request)
    run = TrainRequest(dataset, config).run
    family = family_of(config.model.arch)
    data = family.current(dataset, config, console)
    data = data or placeholder_data(dataset, config, estimate_sizes(dataset, config.data, console))
    assert isinstance(data, TokenizedDataset), "the sizes of simulated datasets are known"
    job = family.prepare(config, data, dataset.step_limit, choose_device("auto"))
    console.note("measuring a few updates, and a few steps of planning …")
    training = estimate_seconds(job, 0 if request.force else max(saved_steps(run.checkpoints), default=0))
    planning = _planning_seconds(
        job, data, config, dataset.step_limit, 0 if request.force else _existing_episodes(run, config)
    )
    facts = {
        "dataset": dataset.target,
        "tokens": str(dataset.folder.tokens),
        "run": str(run.path),
        "updates": config.train.updates,
        "episodes": config.plan.episodes,
        "videos": str(run.videos),
        "estimated time": f"{duration(training)} to train and at most {duration(planning)} to plan, as measured now; "
        "data, tokens and video take about a minute more",
    }
    console.emit({**facts, "training_seconds": training, "planning_seconds": planning})
    console.show_facts(facts)


def _existing_episodes(run: RunFolder, config: Config) -> int:
    folder = run.plans / plan_name(config.plan, config.model.arch, PLAN_SEED)
    return len(episode_paths(folder))


def _planning_seconds(job: TrainJob, data: TokenizedDataset, config: Config, step_limit: int, existing: int) -> float:
    """Seconds for the missing episodes on this machine if all of them last to the step limit."""
    missing = max(0, config.plan.episodes - existing)
    if not missing or data.env_id is None:
        return 0.0
    rounds = math.ceil(missing / config.plan.envs)
    steps = config.plan.max_steps or step_limit
    return rounds * steps * _seconds_per_step(cast(TokenModel, job.model), data, config, data.env_id)


def _seconds_per_step(model: TokenModel, data: TokenizedDataset, config: Config, env_id: str) -> float:
    """Median seconds to plan and execute one step of all environments, with an untrained model."""
    settings = search_settings(config.plan)
    num_envs = min(config.plan.envs, config.plan.episodes)
    decoder = build_decoder(model.eval(), settings.model_window, settings.precision, settings.engine)
    with closing(SeededVectorEnv(env_id, num_envs)) as vector:
        agent = BeamAgent(decoder, data.discretizer, settings, episodes=num_envs)
        rollout = Rollout(agent, vector, seed=PLAN_SEED)
        return seconds_per_step(rollout, settings.max_context_transitions, settings.plan_freq)
