"""The settings of ``seqrl continual``, which learns the tasks of a suite one after the other."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from seqrl_cli.config.limits import MAX_PARTS, MAX_SEED
from seqrl_cli.config.section import Section


class ContinualConfig(Section):
    """How tasks are learned one after the other; the sizes are for two cores, the rest is L2M's and HiDe's.

    L2M: Schmied et al. 2023, arXiv 2306.14884. HiDe: Wang et al. 2023, arXiv 2310.07234.
    """

    method: str = Field("hide-lora", description="what learns, and how the adapter is chosen in play")
    seed: int = Field(42, ge=0, le=MAX_SEED, description="seed of adapters, windows and statistics")
    updates: int = Field(400, ge=1, description="optimizer steps per task")
    batch_size: int = Field(64, ge=1, description="windows per update")
    learning_rate: float | None = Field(None, gt=0.0, description="learning rate; null = the method's own")
    weight_decay: float = Field(0.0, ge=0.0, description="weight decay of matrices")
    grad_clip: float = Field(1.0, gt=0.0, description="largest norm of the gradient")
    precision: Literal["auto", "float32", "bf16"] = Field("auto", description="auto = bf16 where it is faster")
    warmup_updates: int = Field(20, ge=0, description="updates of each task over which the learning rate rises")
    rank: int = Field(8, ge=1, description="rank of LoRA")
    alpha: float = Field(16.0, gt=0.0, description="LoRA: its product is multiplied by alpha / rank")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="LoRA: fraction of inputs dropped in training")
    targets: tuple[str, ...] = Field(
        ("query", "value", "feed-forward"), min_length=1, description="parts of a block that have adapters"
    )
    pool: int = Field(30, ge=1, le=MAX_PARTS, description="l2m: number of adapters with a key each")
    keys: Literal["windows", "tasks"] = Field(
        "windows",
        description="l2m: each window chooses an adapter by its key, or a task's windows choose one together, and play "
        "infers the task",
    )
    pull: float = Field(0.5, ge=0.0, description="l2m: weight of the loss that pulls a chosen key to its windows")
    prompt_length: int = Field(
        5, ge=1, le=MAX_PARTS, description="l2p: keys and values that a prefix adds to each block"
    )
    head: Literal["frozen", "shared"] = Field(
        "frozen", description="hide-lora: the action head of adapted steps is the backbone's, or learns with all tasks"
    )
    contrast: float = Field(0.01, ge=0.0, description="hide-lora: weight of the contrastive loss")
    temperature: float = Field(0.8, gt=0.0, description="hide-lora: temperature of the contrastive loss")
    penalty: float | None = Field(None, ge=0.0, description="l2, ewc: weight of the penalty; null = the method's own")
    fisher_windows: int = Field(200, ge=1, description="ewc: windows that the Fisher information is estimated with")
    replay_share: float = Field(0.5, gt=0.0, lt=1.0, description="replay: fraction of windows from earlier tasks")
    replay_transitions: int = Field(2000, ge=1, description="replay: transitions kept per task, whole episodes")
    inference: Literal["gaussian", "head"] = Field(
        "gaussian", description="hide-lora: tasks by the densities of their features, or by a head trained on samples"
    )
    evidence: Literal["episode", "step"] = Field(
        "episode", description="hide-lora: steps that decide on the task, all since the start or the latest"
    )
    task_id: Literal["inferred", "oracle"] = Field(
        "inferred", description="hide-lora, l2m: whether play infers the task or is told"
    )
    none_of_these: bool | None = Field(
        None,
        description="hide-lora, l2m: whether steps that look like a task of the pretraining keep the backbone; null = "
        "yes, but not for l2m",
    )
    episodes: int = Field(5, ge=1, description="evaluation episodes per task and stage")
    eval_every: int | None = Field(
        None,
        ge=1,
        description="updates between evaluations of the present task; null = only once it is learned",
    )
    retention_episodes: int = Field(2, ge=0, description="evaluation episodes per task of the pretraining")
    max_steps: int | None = Field(None, ge=1, description="step limit of an episode; null = the environment's, or 1000")
    decode: Literal["mean", "argmax", "sample"] = Field("mean", description="how a continuous number is chosen in play")
    checkpoint_every: int = Field(200, ge=1, description="updates between checkpoints")
    log_every: int = Field(50, ge=1, description="updates between lines of metrics.jsonl")
