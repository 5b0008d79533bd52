"""The sections ``data``, ``train``, ``policy``, ``tasks`` and ``online``: keys with types, defaults and owners.

Defaults are the Trajectory Transformer's base values (Janner et al., arXiv 2106.02039, and the configuration file of
its release).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from seqrl_cli.config.limits import MAX_SEED, memory_bytes
from seqrl_cli.config.section import Owned, Section

Objective = Literal[
    "actions",
    "states",
    "returns",
    "actions+states",
    "actions+returns",
    "states+returns",
    "actions+states+returns",
]
"""Supervised (actions) and self-supervised pre-training, and both at once."""

_MIN_MEMORY = 4096  # bytes; less is an amount whose unit was forgotten

_PositiveFloat = Annotated[float, Field(gt=0.0)]

_PLANNER, _RETURNS, _EXPLORES = Owned("planner"), Owned("return-conditioned"), Owned("explores")
_TASKS = Owned("multi-task")


class DataConfig(Section):
    """From a source to tokens."""

    env_id: str | None = Field(None, min_length=1, description="gymnasium id, for a file that does not state one")
    dones: Literal["terminals", "ends"] | None = Field(
        None,
        description="what `dones` marks in a file: the environment's ends, or time limits, too; null = by the data",
    )
    reset_rows: bool | None = Field(
        None, description="whether the first row of a file's episodes is the reset, as in Dreamer's; null = by the data"
    )
    skip_damaged: bool | None = Field(
        None, description="leave out files of a folder that cannot be read; null = refuse the folder"
    )
    reference_min: float | None = Field(
        None,
        allow_inf_nan=False,
        description="return that scores 0, for a file of your own; null = by file or environment",
    )
    reference_max: float | None = Field(
        None, allow_inf_nan=False, description="return that scores 100; goes with reference_min"
    )
    transitions: int | None = Field(None, ge=1, description="size of a simulated dataset; null = its usual size")
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="seed of a simulated dataset; null = 0, or the existing one's"
    )
    bins: Annotated[int, _PLANNER] = Field(100, ge=2, le=65_000, description="bins per dimension")
    discretizer: Annotated[Literal["quantile", "uniform"], _PLANNER] = Field(
        "quantile", description="bins of equal mass or of equal width"
    )
    discount: Annotated[float, _PLANNER] = Field(0.99, gt=0.0, le=1.0, description="discount of the value targets")
    termination_penalty: Annotated[float | Literal["auto"] | None, _PLANNER] = Field(
        "auto", description="reward at a true terminal; null = the data's own, auto = -100 where terminals are falls"
    )


Recipe = Literal["paper", "modern"]


class TrainConfig(Section):
    """Optimisation."""

    n_epochs_ref: Annotated[int, _PLANNER] = Field(
        50, ge=1, description="epochs over a dataset of one million windows, which give the number of updates"
    )
    updates: int | None = Field(None, ge=1, description="number of updates; null = from n_epochs_ref")
    batch_size: int = Field(256, ge=1, description="windows per update")
    learning_rate: float = Field(6e-4, gt=0.0, description="highest learning rate; with muon, of all but the matrices")
    recipe: Annotated[Recipe, _PLANNER] = Field(
        "paper", description="where other values of train and model come from: the papers, or what learns faster"
    )
    optimizer: Annotated[Literal["adamw", "muon"], _PLANNER] = Field(
        "adamw", description="muon is for matrices of linear layers, with adamw for all else"
    )
    matrix_rate: Annotated[float, Owned("planner", "multi-task")] = Field(
        0.03, gt=0.0, description="highest learning rate of muon's matrices"
    )
    schedule: Annotated[Literal["clamped", "tt-exact", "linear"], _PLANNER] = Field(
        "clamped",
        description=(
            "cosine decay that stays at 10 % (clamped) or rises again as the original's (tt-exact), "
            "or linear decay to zero"
        ),
    )
    beta1: float = Field(0.9, ge=0.0, lt=1.0, description="decay of the optimizer's mean gradient")
    beta2: float = Field(0.95, ge=0.0, lt=1.0, description="decay of the optimizer's mean squared gradient")
    weight_decay: float = Field(0.1, ge=0.0, description="weight decay of the optimizer")
    grad_clip: float = Field(1.0, gt=0.0, description="largest norm of the gradient")
    action_weight: Annotated[float, _PLANNER] = Field(5.0, ge=0.0, description="weight of action tokens in the loss")
    reward_weight: Annotated[float, _PLANNER] = Field(1.0, ge=0.0, description="weight of reward tokens in the loss")
    value_weight: Annotated[float, _PLANNER] = Field(1.0, ge=0.0, description="weight of value tokens in the loss")
    return_emphasis: Annotated[float, _PLANNER] = Field(
        0.0,
        ge=0.0,
        le=100.0,
        description="train more on good episodes: a window is drawn in proportion to the fraction of all steps in "
        "episodes that earned less, to this power; 0 = all alike",
    )
    objective: Annotated[Objective, _TASKS] = Field(
        "actions", description="mddt: what the model learns to predict: actions, next states, returns-to-go"
    )
    state_weight: Annotated[_PositiveFloat, _TASKS] = Field(1.0, description="mddt: weight of next states in the loss")
    return_weight: Annotated[_PositiveFloat, _TASKS] = Field(
        1.0, description="mddt: weight of returns-to-go in the loss"
    )
    validation_share: float = Field(0.05, gt=0.0, lt=1.0, description="fraction of episodes held out")
    precision: Literal["auto", "float32", "bf16"] = Field("auto", description="auto = bf16 where it is faster")
    compile: bool = Field(False, description="torch.compile the model")
    log_every: int = Field(100, ge=1, description="updates between lines of metrics.jsonl")
    checkpoint_every: int = Field(1000, ge=1, description="updates between checkpoints and validations")
    keep_checkpoints: int = Field(3, ge=1, description="number of newest checkpoints to keep")
    eval_every: int | None = Field(None, ge=1, description="updates between evaluations; null = never evaluate")
    eval_episodes: int = Field(5, ge=1, description="episodes per evaluation, and per task")
    eval_tasks: Annotated[str | None, _TASKS] = Field(
        None, description="mddt: tasks to evaluate, such as metaworld/*,dmc/*; null = all"
    )


class PolicyConfig(Section):
    """Policies; defaults are the Online Decision Transformer's (arXiv 2202.05607)."""

    OWNER = "policy"

    optimizer: Literal["lamb", "adamw"] = Field("lamb", description="lamb decays all parameters, adamw only matrices")
    warmup_updates: int = Field(10_000, ge=0, description="updates over which the learning rate rises")
    curve: Literal["constant", "linear"] = Field(
        "constant", description="learning rate after the warm-up of an offline training: it stays, or falls to zero"
    )
    top_share: float = Field(1.0, gt=0.0, le=1.0, description="fraction of all steps to train on, best episodes first")
    return_scale: Annotated[_PositiveFloat | Literal["auto"], _RETURNS] = Field(
        "auto", description="dt, odt: factor of returns-to-go; auto = by the largest return of the data"
    )
    time_embedding: Annotated[bool, _RETURNS] = Field(False, description="dt, odt: embed the time step")
    stochastic_tanh: Annotated[bool, _EXPLORES] = Field(
        True, description="odt: squash the Gaussian into the action box"
    )
    entropy_samples: Annotated[int, _EXPLORES] = Field(
        1, ge=1, le=1000, description="odt: samples per step for the entropy estimate (k)"
    )
    target_entropy: Annotated[float | None, _EXPLORES] = Field(
        None,
        description=(
            "odt: lower bound of the entropy; null = minus the number of action dimensions, or a quarter of the "
            "entropy of uniform choices"
        ),
    )
    initial_temperature: Annotated[float, _EXPLORES] = Field(
        0.1, gt=0.0, description="odt: weight of the entropy at the start"
    )
    temperature_rate: Annotated[float, _EXPLORES] = Field(
        1e-4, gt=0.0, le=1e6, description="odt: learning rate of the temperature's logarithm"
    )


class OnlineConfig(Section):
    """Online fine-tuning.

    Defaults are the Online Decision Transformer's (Zheng et al., arXiv 2202.05607, and the facts of its release).
    """

    OWNER = "explores"

    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="seed of exploration, learning and evaluation; null = the pretraining's"
    )
    iterations: int = Field(1500, ge=1, description="rounds of exploring and learning; more may be added later")
    envs: int = Field(1, ge=1, description="exploration episodes per iteration, played at once")
    updates: int = Field(300, ge=1, description="gradient steps per iteration")
    capacity: int = Field(1000, ge=1, description="trajectories in the replay buffer, which starts with the best")
    exploration_return: float | None = Field(None, description="target return when exploring; null = from the ratio")
    exploration_ratio: float = Field(2.0, gt=0.0, description="the same as a multiple of the evaluations' target")
    noise: float = Field(
        1.0,
        ge=0.0,
        description="standard deviation when exploring, as a multiple of the policy's; temperature of choices",
    )
    learning_rate: float | None = Field(None, gt=0.0, description="learning rate; null = the pretraining's highest")
    eval_every: int = Field(10, ge=1, description="iterations between evaluations")
    eval_episodes: int = Field(10, ge=1, description="episodes per evaluation, by the policy's mode")
    checkpoint_every: int = Field(10, ge=1, description="iterations between checkpoints")
    max_steps: int | None = Field(None, ge=1, description="step limit of an episode; null = the environment's, or 1000")


class TasksConfig(Section):
    """Training on many tasks; defaults are L2M's (arXiv 2306.14884), at a size for two cores."""

    OWNER = "multi-task"

    mixing: Literal["joined", "alternating", "weighted", "sized"] = Field(
        "joined", description="domains of an update: all, one after the other, or one drawn by weight, or also by size"
    )
    weights: dict[str, float] = Field({}, description="weights of domains, for example {dmc: 2}; 1 where not given")
    image_batch: int | None = Field(
        None, ge=1, description="windows per update of tasks that observe images; null = train.batch_size"
    )
    sampling: Literal["length", "uniform", "return", "success"] = Field(
        "length", description="probability of an episode: by length, equal, by return, or equal among successes"
    )
    early_starts: float = Field(
        0.0, ge=0.0, le=1.0, description="fraction of windows that start early in an episode, on a logarithmic scale"
    )
    top_share: float = Field(1.0, gt=0.0, le=1.0, description="fraction of each task's steps, best episodes first")
    optimizer: Literal["adamw", "adam", "lamb", "lion", "muon"] = Field(
        "adamw", description="lamb decays all parameters, the others only matrices; muon = muon for linear layers"
    )
    curve: Literal["constant", "linear", "cosine", "restarts", "step", "exponential", "plateau"] = Field(
        "cosine", description="learning rate after the warm-up; plateau drops it when the validation loss stalls"
    )
    warmup_updates: int = Field(100, ge=0, description="updates over which the learning rate rises")
    final_rate: float = Field(0.05, ge=0.0, le=1.0, description="last learning rate, as a fraction of the highest")
    accumulate: int = Field(1, ge=1, description="batches whose gradients make one update")
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0, description="probability that targets give to all tokens alike")
    mean_weight: float = Field(
        0.0, ge=0.0, description="weight of the squared error of the mean over bins, for plan.decode=mean"
    )
    patience: int = Field(3, ge=0, description="plateau: measurements without improvement before the rate drops")
    plateau_every: int = Field(200, ge=1, description="plateau: updates between measurements of the validation loss")
    augmentation: Literal["none", "crop", "rotate", "crop+rotate"] = Field(
        "none", description="of images: shifts by up to four pixels, turns by up to 30 degrees"
    )
    max_memory: int | None = Field(
        None, ge=1, description="most memory for the data, for example 2GiB; null = half of what is free"
    )

    @field_validator("max_memory", mode="before")
    @classmethod
    def _memory_has_a_unit(cls, value: object) -> object:
        try:
            size = memory_bytes(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError(f"tasks.max_memory = {value!r:.120}: {error}") from error
        if isinstance(size, int) and 0 < size < _MIN_MEMORY:
            raise ValueError(f"tasks.max_memory = {value!r} is {size:,} bytes; write 2GiB or 500MB")
        return size

    @field_validator("weights")
    @classmethod
    def _weights_are_positive(cls, weights: dict[str, float]) -> dict[str, float]:
        for name, weight in weights.items():
            if weight <= 0:
                raise ValueError(f"tasks.weights: the weight of {name} is {weight:g}, not above 0")
        return weights
