"""The section ``plan``: each key with its type, default, owners and place in the name of the plan's folder.

A key is declared only here. The planner's settings, the folder's name and the list of keys that an architecture has are
derived from the declarations.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from seqrl_cli.config.section import InName, NotInName, Owned, Section

_SEARCH = Owned("planner")

# The word of earlier versions, which is still accepted, and still used in names of folders so that old plans are found.
_EARLIER_WORDS = {"recurrent": "carry"}
_RECURRENT_IN_NAME = InName("", spelled=_EARLIER_WORDS)

WindowKind = Literal["sliding", "growing"]
ContextPolicy = Literal["window", "recurrent"]
Precision = Literal["float32", "bf16"]
Engine = Literal["auto", "native", "torch", "graph"]


def _current_word(value: object) -> object:
    return next((word for word, earlier in _EARLIER_WORDS.items() if earlier == value), value)


class SearchConfig(Section):
    """Settings of the search for plans; policies have only the context length.

    Beam search as in the Trajectory Transformer (Janner et al. 2021, algorithm 1), with its base preset as default.
    """

    horizon: Annotated[int, _SEARCH, InName("H", always=True)] = Field(
        15, ge=1, description="transitions planned ahead"
    )
    beam_width: Annotated[int, _SEARCH, InName("B", always=True)] = Field(128, ge=1, description="number of beams")
    n_expand: Annotated[int, _SEARCH, InName("expand")] = Field(2, ge=1, description="samples per beam and transition")
    k_obs: Annotated[int | None, _SEARCH, InName("kobs")] = Field(
        1, ge=1, description="sample from the top k observation tokens; 1 = greedy, null = from all"
    )
    k_act: Annotated[int | None, _SEARCH, InName("kact")] = Field(
        None, ge=1, description="sample from the top k action tokens; null = from all"
    )
    cdf_obs: Annotated[float | None, _SEARCH, InName("cdfobs")] = Field(
        None, ge=0.0, lt=1.0, description="probability of the least likely observation tokens to drop; null = none"
    )
    cdf_act: Annotated[float | None, _SEARCH, InName("cdfact")] = Field(
        0.6, ge=0.0, lt=1.0, description="probability of the least likely action tokens to drop; null = none"
    )
    percentile: Annotated[Literal["mean"] | float, _SEARCH, InName("p")] = Field(
        "mean", description="estimate of rewards and values: mean, or a percentile"
    )
    max_context_transitions: Annotated[int, InName("ctx", always=True)] = Field(
        5, ge=1, description="past transitions that the model sees"
    )
    prefix_context: Annotated[bool, _SEARCH, InName("prefix")] = Field(
        True, description="plan from past transitions, not from the observation alone"
    )
    elites: Annotated[int, _SEARCH, InName("elites")] = Field(
        1,
        ge=1,
        description="best plans whose actions are averaged, at most beam_width; discrete actions are the best plan's",
    )
    plan_freq: Annotated[int, _SEARCH, InName("freq")] = Field(1, ge=1, description="environment steps between plans")
    seconds_per_step: Annotated[float | None, _SEARCH, InName("within")] = Field(
        None,
        gt=0.0,
        description="time that the search may take per environment step; it plans fewer transitions where the horizon "
        "would take longer; null = no limit",
    )
    discount: Annotated[float, _SEARCH] = Field(0.99, gt=0.0, le=1.0, description="discount of a plan's rewards")
    window: Annotated[WindowKind, _SEARCH, InName("")] = Field(
        "sliding", description="what happens when the context is full"
    )
    context: Annotated[ContextPolicy, _SEARCH, _RECURRENT_IN_NAME, BeforeValidator(_current_word)] = Field(
        "window", description="window = the last transitions, encoded again; recurrent = a retnet's state"
    )
    precision: Annotated[Precision, _SEARCH, InName("")] = Field(
        "float32", description="precision of products with weights; bf16 plans differ in some tokens"
    )
    ensemble: Annotated[str | None, _SEARCH, InName("with_")] = Field(
        None,
        min_length=1,
        description="other runs on the same data, joined by +, whose predictions are averaged with the run's own",
    )
    engine: Annotated[Engine, _SEARCH, NotInName("engines differ in speed; an episode records its own")] = Field(
        "auto",
        description="native = C++ compiled for this processor (on a CPU); graph = CUDA graphs (a gpt on a GPU); "
        "auto = native, else torch",
    )

    @model_validator(mode="after")
    def _replan_within_the_plan(self) -> SearchConfig:
        if self.plan_freq > self.horizon:
            hint = f"--horizon {self.plan_freq} looks as far"
            raise ValueError(f"plan_freq {self.plan_freq} exceeds the horizon {self.horizon}; {hint}")
        return self

    @model_validator(mode="after")
    def _an_ensemble_has_no_memory(self) -> SearchConfig:
        if self.ensemble is not None and self.context == "recurrent":
            raise ValueError("an ensemble sees a window of transitions, but context is recurrent")
        return self

    @model_validator(mode="after")
    def _graphs_have_no_clock(self) -> SearchConfig:
        if self.seconds_per_step is not None and self.engine == "graph":
            raise ValueError("seconds_per_step needs another engine than graph, whose plans are of one length")
        return self


class PlanConfig(SearchConfig):
    """Closed-loop rollouts of a planner or a policy."""

    episodes: Annotated[int, NotInName("more episodes are added to those that exist")] = Field(
        15, ge=1, description="episodes to play"
    )
    envs: Annotated[int, NotInName("an episode does not depend on those played beside it")] = Field(
        4, ge=1, description="episodes planned at once"
    )
    target_return: Annotated[float | None, Owned("return-conditioned"), InName("RTG", always=True)] = Field(
        None, description="dt, odt: target return; null = the dataset's best, times plan.target_multiple"
    )
    targets: Annotated[Literal["data", "paper", "infer"], Owned("multi-task"), InName("")] = Field(
        "data",
        description="mddt: target returns: the best of each task's data, a paper's, or inferred at each step",
    )
    target_multiple: Annotated[float, Owned("return-conditioned", "multi-task"), InName("x")] = Field(
        1.0,
        gt=0.0,
        le=1000.0,
        description="where the target return is null: this times the best of the data; mddt: this times plan.targets",
    )
    decode: Annotated[Literal["mean", "argmax", "sample"], Owned("multi-task"), InName("")] = Field(
        "mean", description="mddt: an action is the mean over its bins, the likeliest bin, or a sampled one"
    )
    goals: Annotated[Literal["held-out", "seen"], InName("")] = Field(
        "held-out", description="metaworld: goals that no dataset made here contains, or those of the data"
    )
    max_steps: Annotated[int | None, InName("steps")] = Field(
        None, ge=1, description="step limit of an episode; null = the environment's"
    )
