"""Which keys of the configuration change the numbers of a trained model, and a hash of them.

Each key of the configuration is in ``NUMBERS``, ``SEEDS`` or ``BOOKKEEPING``, or belongs to ``plan``, whose keys are
part of the name of the plan's folder.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from seqrl_cli.config.nested import get_dotted
from seqrl_cli.config.owners import has_key
from seqrl_cli.config.schema import Config

VERSION = 1
"""Version of the list. Only values that differ from the listed defaults are hashed, so a new key needs no new version
if old runs used its default. A removed key or a changed default does need one."""

NUMBERS: dict[str, Any] = {
    "dataset": None,
    "data.env_id": None,
    "data.dones": None,
    "data.reset_rows": None,
    "data.skip_damaged": None,
    "data.transitions": None,
    "data.seed": None,
    "data.bins": 100,
    "data.discretizer": "quantile",
    "data.discount": 0.99,
    "data.termination_penalty": -100.0,
    "model.arch": "gpt",
    "model.n_layer": 4,
    "model.n_head": 4,
    "model.width": 128,
    "model.sequence_length": 10,
    "model.embedding_dropout": 0.1,
    "model.residual_dropout": 0.1,
    "model.attention_dropout": 0.1,
    "model.mask_values": True,
    "model.stop_token": True,
    "model.value_width": None,
    "model.ffn_width": None,
    "model.head_frequencies": 0,
    "model.embedding_deviation": 1.0,
    "model.dimension_embedding": False,
    "model.mode": "parallel",
    "model.chunk_size": 64,
    "train.n_epochs_ref": 50,
    "train.updates": None,
    "train.batch_size": 256,
    "train.learning_rate": 6e-4,
    "train.optimizer": "adamw",
    "train.matrix_rate": 0.03,
    "train.schedule": "clamped",
    "train.beta1": 0.9,
    "train.beta2": 0.95,
    "train.weight_decay": 0.1,
    "train.grad_clip": 1.0,
    "train.action_weight": 5.0,
    "train.reward_weight": 1.0,
    "train.value_weight": 1.0,
    "train.return_emphasis": 0.0,
    "train.objective": "actions",
    "train.state_weight": 1.0,
    "train.return_weight": 1.0,
    "train.validation_share": 0.05,
    "train.precision": "auto",
    "policy.optimizer": "lamb",
    "policy.warmup_updates": 10_000,
    "policy.curve": "constant",
    "policy.top_share": 1.0,
    "policy.return_scale": 1e-3,
    "policy.time_embedding": False,
    "policy.stochastic_tanh": True,
    "policy.entropy_samples": 1,
    "policy.target_entropy": None,
    "policy.initial_temperature": 0.1,
    "policy.temperature_rate": 1e-4,
    "model.named_size": None,
    "model.scale": "linear",
    "model.hide_actions": True,
    "model.image_encoder": "impala",
    "model.bins": 64,
    "tasks.mixing": "joined",
    "tasks.weights": {},
    "tasks.image_batch": None,
    "tasks.sampling": "length",
    "tasks.top_share": 1.0,
    "tasks.optimizer": "adamw",
    "tasks.curve": "cosine",
    "tasks.warmup_updates": 100,
    "tasks.final_rate": 0.05,
    "tasks.accumulate": 1,
    "tasks.label_smoothing": 0.0,
    "tasks.mean_weight": 0.0,
    "tasks.early_starts": 0.0,
    "model.periodic": False,
    "model.time_embedding": True,
    "tasks.patience": 3,
    "tasks.plateau_every": 200,
    "tasks.augmentation": "none",
    "finetune.parent_recipe": None,
    "finetune.adapter": "none",
    "finetune.groups": (),
    "finetune.rank": 8,
    "finetune.alpha": 16.0,
    "finetune.dropout": 0.0,
    "finetune.targets": (),
    "finetune.reduction": 16,
    "finetune.length": 25,
    "finetune.reparametrize": False,
    "online.iterations": 1500,
    "online.envs": 1,
    "online.updates": 300,
    "online.capacity": 1000,
    "online.exploration_return": None,
    "online.exploration_ratio": 2.0,
    "online.noise": 1.0,
    "online.learning_rate": None,
    "online.eval_episodes": 10,
    "online.max_steps": None,
}
"""The keys that define a method, each with the default that it had when it was listed."""

SEEDS = ("seed", "online.seed", "finetune.parent")
"""Keys that change numbers but not the method: runs that differ only in them are seeds of one experiment."""

BOOKKEEPING = (
    "size",
    "preset",
    "train.recipe",
    "data.reference_min",
    "data.reference_max",
    "train.compile",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.eval_every",
    "train.eval_episodes",
    "train.eval_tasks",
    "tasks.max_memory",
    "online.eval_every",
    "online.checkpoint_every",
)
"""Where values come from, how often something is measured or saved, and how fast it is computed.

A run may resume with other values."""


def recipe_of(config: Config, *, fine_tuned: bool = False) -> str:
    """A hash of everything but the seed that determines a model, equal for all seeds of one experiment.

    It is prefixed with the version of the list.

    Args:
        config: the run's configuration.
        fine_tuned: whether the run was fine-tuned online, so that the settings of ``online`` count, too.
    """
    numbers = numbers_of(config, fine_tuned=fine_tuned)
    counted = {key: value for key, value in numbers.items() if value != NUMBERS[key]}
    text = json.dumps(counted, sort_keys=True)
    return f"{VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def numbers_of(config: Config, *, fine_tuned: bool = False) -> dict[str, Any]:
    """The values of all keys that determine a model, but for the seed; arguments as for :func:`recipe_of`."""
    values, arch = config.model_dump(), config.model.arch
    own = [key for key in NUMBERS if has_key(arch, key) and (fine_tuned or not key.startswith("online."))]
    return {key: get_dotted(values, key) for key in own}


def is_current(recipe: str) -> bool:
    """Whether a recipe was made by this version of the list; the oldest recipes have no version."""
    return recipe.startswith(f"{VERSION}-")
