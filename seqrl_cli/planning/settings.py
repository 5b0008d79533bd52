"""The settings of a plan, and whether a model can carry them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from seqrl_cli.errors import SeqrlError, unknown
from seqrl_cli.models.decoder import Window

WindowKind = Literal["sliding", "growing"]
ContextPolicy = Literal["window", "carry"]
Precision = Literal["float32", "bf16"]
Engine = Literal["auto", "native", "torch", "graph"]


@dataclass(frozen=True)
class PlanSettings:
    """Beam search as in the Trajectory Transformer (Janner et al. 2021, algorithm 1), with its base preset as default.

    Attributes:
        horizon: transitions a plan.
        beam_width: sequences kept after each transition.
        n_expand: continuations tried for each of them.
        k_obs: likeliest tokens from which observations are drawn; 1 is greedy, None all.
        k_act: the same for actions.
        cdf_obs: share of the mass, the least likely, that observations are not drawn from; None for all.
        cdf_act: the same for actions.
        percentile: how a reward or value is read from its distribution: ``"mean"``, or a share in (0, 1).
        max_context_transitions: transitions the model sees, the current one included.
        prefix_context: whether a plan starts from the past transitions or from the current observation alone.
        plan_freq: environment steps between plans.
        discount: weight of a reward one step later.
        window: whether what is seen slides with the plan or is cut once and then grows.
        context: whether the last transitions are encoded again at each step, or the model carries its own memory of the
            whole episode from step to step; then there is no window.
        precision: of the products with a model's weights; with bf16, plans differ in some tokens.
        engine: what decodes: C++ compiled for the processor, PyTorch, the first where it can, or on a GPU PyTorch with
            each plan as one CUDA graph.
    """

    horizon: int = 15
    beam_width: int = 128
    n_expand: int = 2
    k_obs: int | None = 1
    k_act: int | None = None
    cdf_obs: float | None = None
    cdf_act: float | None = 0.6
    percentile: str | float = "mean"
    max_context_transitions: int = 5
    prefix_context: bool = True
    plan_freq: int = 1
    discount: float = 0.99
    window: WindowKind = "sliding"
    context: ContextPolicy = "window"
    precision: Precision = "float32"
    engine: Engine = "auto"

    def __post_init__(self) -> None:
        for name in ("horizon", "beam_width", "n_expand", "max_context_transitions", "plan_freq"):
            _require_at_least_one(name, getattr(self, name))
        for name in ("k_obs", "k_act"):
            if getattr(self, name) is not None:
                _require_at_least_one(name, getattr(self, name))
        for name in ("cdf_obs", "cdf_act", "discount"):
            if getattr(self, name) is not None:
                _require_share(name, getattr(self, name))
        if self.window not in get_args(WindowKind):
            raise unknown("window", self.window, get_args(WindowKind))
        if self.context not in get_args(ContextPolicy):
            raise unknown("context", self.context, get_args(ContextPolicy))
        if self.precision not in get_args(Precision):
            raise unknown("precision", self.precision, get_args(Precision))
        if self.engine not in get_args(Engine):
            raise unknown("engine", self.engine, get_args(Engine))
        if self.carries and not self.prefix_context:
            raise SeqrlError("context=carry needs the past, but prefix_context is off", "set prefix_context=true")
        self._check_percentile()
        if self.plan_freq > self.horizon:
            raise SeqrlError(
                f"plan_freq {self.plan_freq} is longer than the horizon {self.horizon}",
                f"plan at least every {self.horizon} steps, or look further ahead",
            )
        if self.slides and self.max_context_transitions < 2 and self.horizon > 1:
            raise SeqrlError(
                f"a sliding window of 1 transition cannot plan {self.horizon} of them",
                "set max_context_transitions to 2 or more",
            )

    @property
    def carries(self) -> bool:
        """Whether the model carries its memory of an episode from step to step."""
        return self.context == "carry"

    @property
    def slides(self) -> bool:
        """Whether there is a window that slides with the plan."""
        return self.window == "sliding" and not self.carries

    @property
    def view(self) -> Window | None:
        """The part of a sequence that the model sees; None for all of it."""
        return None if self.carries else Window(self.max_context_transitions, self.slides)

    def check_fits(self, block_size: int | None, transition_dim: int) -> None:
        """Raise SeqrlError unless a model that holds ``block_size`` tokens, None for any, can see what a plan needs."""
        if block_size is None or self.carries:
            return
        needed = self.max_context_transitions
        if self.window == "growing":
            needed += self.horizon - 1
        holds = (block_size + 1) // transition_dim
        if needed > holds:
            raise SeqrlError(
                f"a {self.window} window of context {self.max_context_transitions} and horizon {self.horizon} needs "
                f"{needed} transitions, but the model holds {holds}",
                "shorten plan.max_context_transitions or --horizon"
                + (", or use plan.window=sliding" if self.window == "growing" else ""),
            )

    def _check_percentile(self) -> None:
        try:
            share = 0.5 if self.percentile == "mean" else float(self.percentile)
        except ValueError:
            share = -1.0
        if not 0 < share < 1:
            raise SeqrlError(
                f"percentile is {self.percentile!r}, but must be 'mean' or a share between 0 and 1",
                "the papers use percentile=mean",
            )


def _require_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise SeqrlError(f"{name} is {value}, but must be at least 1", f"set {name} to a positive number")


def _require_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise SeqrlError(f"{name} is {value}, but must lie between 0 and 1", f"set {name} to a share, for example 0.6")
