"""The typed configuration of a run: what config.yaml holds and what ``key=value`` may change.

Frozen pydantic at the boundary only; below it functions take plain arguments. Defaults are the Trajectory
Transformer's base values (Janner et al., arXiv 2106.02039, and the configuration file of its release).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Size = Literal["paper", "laptop"]
RETNET_KEYS = ("value_width", "ffn_width", "mode", "chunk_size")


class Section(BaseModel):
    """A part of the configuration: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """From a source to tokens."""

    env_id: str | None = Field(None, description="gymnasium id, for a file that does not state one")
    transitions: int | None = Field(None, ge=1, description="size of a simulated dataset; null = its usual size")
    seed: int | None = Field(None, ge=0, description="seed of a simulated dataset; null = 0, or that of the one here")
    bins: int = Field(100, ge=2, le=65_000, description="bins a dimension")
    discretizer: Literal["quantile", "uniform"] = Field("quantile", description="bins of equal mass or of equal width")
    discount: float = Field(0.99, gt=0.0, le=1.0, description="discount of the value targets")
    termination_penalty: float | None = Field(-100.0, description="reward at a true terminal; null keeps the reward")


class ModelConfig(Section):
    """The sequence model."""

    arch: Literal["gpt", "retnet"] = Field("gpt", description="architecture")
    n_layer: int = Field(4, ge=1, description="layers")
    n_head: int = Field(4, ge=1, description="attention heads")
    width: int = Field(128, ge=1, description="width of the embedding")
    sequence_length: int = Field(10, ge=1, description="transitions in a training window")
    embedding_dropout: float = Field(0.1, ge=0.0, lt=1.0)
    residual_dropout: float = Field(0.1, ge=0.0, lt=1.0)
    attention_dropout: float = Field(0.1, ge=0.0, lt=1.0)
    mask_values: bool = Field(True, description="no token sees a value token of the past")
    stop_token: bool = Field(True, description="the end of an episode is predicted, too")
    value_width: int | None = Field(None, ge=1, description="retnet: width of all heads' values; null = width")
    ffn_width: int | None = Field(
        None,
        ge=1,
        description="retnet: inner width of the gated networks; null = 7/3 x width, which makes it as large as a gpt",
    )
    mode: Literal["parallel", "chunkwise", "recurrent"] = Field("parallel", description="retnet: form of retention")
    chunk_size: int = Field(64, ge=1, description="retnet: tokens a chunk of the chunkwise form")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> ModelConfig:
        for key in ("width", "value_width"):
            width = getattr(self, key)
            if width is not None and width % self.n_head:
                raise ValueError(f"model.{key} = {width} is not divisible by model.n_head = {self.n_head}")
        if self.arch == "retnet" and self.width // self.n_head % 2:
            each = self.width // self.n_head
            raise ValueError(
                f"model.width = {self.width} gives each of model.n_head = {self.n_head} heads {each} dimensions; "
                "a retnet turns them in pairs and needs an even number"
            )
        return self

    @model_validator(mode="after")
    def _only_a_retnet_has_retention(self) -> ModelConfig:
        for key in RETNET_KEYS if self.arch != "retnet" else ():
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"model.{key} = {getattr(self, key)!r}, but only a retnet has it, not a {self.arch}")
        return self


class TrainConfig(Section):
    """Optimisation."""

    n_epochs_ref: int = Field(50, ge=1, description="epochs over a dataset of one million windows; fixes the updates")
    updates: int | None = Field(None, ge=1, description="number of updates; null = from n_epochs_ref")
    batch_size: int = Field(256, ge=1, description="windows an update")
    learning_rate: float = Field(6e-4, gt=0.0)
    schedule: Literal["clamped", "tt-exact"] = Field("clamped", description="cosine that stays at 10 %, or rises again")
    beta1: float = Field(0.9, ge=0.0, lt=1.0)
    beta2: float = Field(0.95, ge=0.0, lt=1.0)
    weight_decay: float = Field(0.1, ge=0.0)
    grad_clip: float = Field(1.0, gt=0.0)
    action_weight: float = Field(5.0, ge=0.0, description="weight of action tokens in the loss")
    reward_weight: float = Field(1.0, ge=0.0)
    value_weight: float = Field(1.0, ge=0.0)
    validation_share: float = Field(0.05, gt=0.0, lt=1.0, description="share of episodes held out")
    precision: Literal["auto", "float32", "bf16"] = Field("auto", description="auto = bf16 where it is faster")
    compile: bool = Field(False, description="torch.compile the model")
    log_every: int = Field(100, ge=1, description="updates between lines of metrics.jsonl")
    checkpoint_every: int = Field(1000, ge=1, description="updates between checkpoints and validations")
    keep_checkpoints: int = Field(3, ge=1, description="newest checkpoints kept")


class PlanConfig(Section):
    """Closed-loop beam search."""

    episodes: int = Field(15, ge=1, description="episodes to play")
    envs: int = Field(4, ge=1, description="episodes planned at once")
    horizon: int = Field(15, ge=1, description="transitions planned ahead")
    beam_width: int = Field(128, ge=1)
    n_expand: int = Field(2, ge=1, description="samples a beam and transition")
    k_obs: int | None = Field(1, ge=1, description="observation tokens sampled from; 1 = greedy")
    k_act: int | None = Field(None, ge=1, description="action tokens sampled from")
    cdf_obs: float | None = Field(None, ge=0.0, lt=1.0, description="least likely observation mass dropped")
    cdf_act: float | None = Field(0.6, ge=0.0, lt=1.0, description="least likely action mass dropped")
    percentile: Literal["mean"] | float = Field("mean", description="reward and value estimate: mean, or a percentile")
    max_context_transitions: int = Field(5, ge=1, description="transitions the model sees")
    prefix_context: bool = Field(True, description="plan from past transitions, not from the observation alone")
    context: Literal["window", "carry"] = Field(
        "window", description="window = the last transitions, encoded again; carry = a retnet's memory of the episode"
    )
    plan_freq: int = Field(1, ge=1, description="environment steps between plans")
    discount: float = Field(0.99, gt=0.0, le=1.0)
    window: Literal["sliding", "growing"] = Field("sliding", description="what happens when the context is full")
    max_steps: int | None = Field(None, ge=1, description="step limit of an episode; null = the environment's")

    @model_validator(mode="after")
    def _replan_within_the_plan(self) -> PlanConfig:
        if self.plan_freq > self.horizon:
            raise ValueError(f"plan_freq {self.plan_freq} exceeds the horizon {self.horizon}")
        return self


class Config(Section):
    """Everything that makes a run repeatable."""

    dataset: str = Field(description="dataset id")
    size: Size = Field("paper", description="the papers' sizes, or one that two cores finish in minutes")
    preset: str = Field("base", description="preset the values come from")
    seed: int = Field(42, ge=0)
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    plan: PlanConfig = PlanConfig()
