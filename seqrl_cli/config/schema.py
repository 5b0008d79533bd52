"""The typed configuration of a run: what config.yaml holds and what ``key=value`` may change.

Frozen pydantic at the boundary only; below it functions take plain arguments. Defaults are the Trajectory
Transformer's base values (Janner et al., arXiv 2106.02039, and the configuration file of its release).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from seqrl_cli.config.architectures import POLICIES, with_article
from seqrl_cli.config.owners import OWNERS, foreign_key
from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.config.section import Section

Size = Literal["paper", "laptop"]


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

    arch: Literal["gpt", "retnet", "dt", "odt", "bc"] = Field("gpt", description="architecture")
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
        for key in ("width", "value_width") if self.arch != "bc" else ():
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


class PolicyConfig(Section):
    """Policies that say actions themselves; defaults are the Online Decision Transformer's (arXiv 2202.05607)."""

    optimizer: Literal["lamb", "adamw"] = Field("lamb", description="lamb decays all parameters, adamw the matrices")
    warmup_updates: int = Field(10_000, ge=0, description="updates until the learning rate is reached")
    top_share: float = Field(1.0, gt=0.0, le=1.0, description="train on the best episodes, this share of all steps")
    return_scale: float = Field(1e-3, gt=0.0, description="dt, odt: what a return-to-go is multiplied by")
    time_embedding: bool = Field(False, description="dt, odt: tell the model how old an episode is")
    stochastic_tanh: bool = Field(True, description="odt: squash the Gaussian into the action box")
    entropy_samples: int = Field(1, ge=1, description="odt: samples a step that the entropy is estimated from (k)")
    target_entropy: float | None = Field(None, description="odt: what holds the entropy up; null = -action dimensions")
    initial_temperature: float = Field(0.1, gt=0.0, description="odt: weight of the entropy at the start")
    temperature_rate: float = Field(1e-4, gt=0.0, description="odt: learning rate of the temperature's logarithm")


class OnlineConfig(Section):
    """Online fine-tuning of an odt; other architectures have no use for it.

    Defaults are the Online Decision Transformer's (Zheng et al., arXiv 2202.05607, and the facts of its release).
    """

    seed: int | None = Field(None, ge=0, description="of exploring, learning and evaluating; null = the pretraining's")
    iterations: int = Field(1500, ge=1, description="rounds of exploring and learning; more may be added later")
    envs: int = Field(1, ge=1, description="exploration episodes an iteration, played at once")
    updates: int = Field(300, ge=1, description="gradient steps an iteration")
    capacity: int = Field(1000, ge=1, description="trajectories in the replay buffer, which begins with the best")
    exploration_return: float | None = Field(None, description="return aimed at when exploring; null = by its ratio")
    exploration_ratio: float = Field(2.0, gt=0.0, description="that return as a multiple of the evaluations' target")
    noise: float = Field(1.0, ge=0.0, description="deviation when exploring, in those of the policy; 1 = its own")
    learning_rate: float | None = Field(None, gt=0.0, description="null = that of the pretraining")
    eval_every: int = Field(10, ge=1, description="iterations between evaluations")
    eval_episodes: int = Field(10, ge=1, description="episodes an evaluation, by the policy's mode")
    checkpoint_every: int = Field(10, ge=1, description="iterations between checkpoints")
    max_steps: int | None = Field(None, ge=1, description="step limit of an episode; null = the environment's, or 1000")


class Config(Section):
    """Everything that makes a run repeatable."""

    dataset: str = Field(description="dataset id")
    size: Size = Field("paper", description="the papers' sizes, or one that two cores finish in minutes")
    preset: str = Field("base", description="preset the values come from")
    seed: int = Field(42, ge=0)
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    policy: PolicyConfig = PolicyConfig()
    plan: PlanConfig = PlanConfig()
    online: OnlineConfig = OnlineConfig()

    @model_validator(mode="after")
    def _a_policy_has_a_number_of_updates(self) -> Config:
        if self.model.arch in POLICIES and self.train.updates is None:
            raise ValueError(f"train.updates is null, but {with_article(self.model.arch)} needs a number of updates")
        return self

    @model_validator(mode="after")
    def _no_key_of_another_architecture(self) -> Config:
        changed = {}
        for dotted in OWNERS:
            section, key = dotted.split(".")
            part: Section = getattr(self, section)
            if getattr(part, key) != type(part).model_fields[key].default:
                changed[dotted] = getattr(part, key)
        if wrong := foreign_key(self.model.arch, changed):
            raise ValueError(wrong)
        return self
