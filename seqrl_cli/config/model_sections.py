"""The section ``model`` of each architecture: its own keys only, and the arguments of its constructor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.section import Section

if TYPE_CHECKING:
    from seqrl_cli.config.sections import PolicyConfig


PAPERS_RETURN_SCALE = 1e-3
"""Factor of returns-to-go in locomotion (arXiv 2106.01345 and 2202.05607); ``auto`` before the data are known."""


_ROUND_HEAD_WIDTH = 16  # the widths that are suggested give each head a multiple of this
_MAX_HEADS = 1024  # that are suggested

MAX_LAYERS = 1000
"""No one has trained more, and making a model takes time per layer."""


class UnfitValueError(ValueError):
    """Values that do not fit together.

    Args:
        message: names the keys and values.
        hint: values that fit.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class ModelSection(Section):
    """What every model has."""

    arch: str = Field(description="architecture")
    n_layer: int = Field(4, ge=1, le=MAX_LAYERS, description="layers")
    width: int = Field(128, ge=1, description="width of the embedding")
    residual_dropout: float = Field(0.1, ge=0.0, lt=1.0, description="dropout of each layer's output")


class AttentionSection(ModelSection):
    """Models with heads that see a window of the past."""

    n_head: int = Field(4, ge=1, description="attention heads")
    sequence_length: int = Field(10, ge=1, description="transitions per training window")
    embedding_dropout: float = Field(0.1, ge=0.0, lt=1.0, description="dropout of the embeddings")
    attention_dropout: float = Field(0.1, ge=0.0, lt=1.0, description="dropout of the attention weights")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> AttentionSection:
        self._check_divisible("width", self.width)
        return self

    def _check_divisible(self, key: str, width: int) -> None:
        if width % self.n_head:
            wrong = f"model.{key} = {width} is not divisible by model.n_head = {self.n_head}"
            raise UnfitValueError(wrong, self._divisible_hint(key, width))

    def _divisible_hint(self, key: str, width: int) -> str:
        """Widths near a given one that the heads can share, and a number of heads that can share the given one."""
        step = self.n_head * (_ROUND_HEAD_WIDTH if width >= _ROUND_HEAD_WIDTH * self.n_head else 2)
        below = width // step * step
        widths = [str(near) for near in (below, below + step, below + 2 * step) if near > 0]
        heads = [heads for heads in range(1, min(2 * self.n_head, _MAX_HEADS)) if width % (2 * heads) == 0]
        others = f", or model.n_head={min(heads, key=lambda number: abs(number - self.n_head))}" if heads else ""
        return f"use model.{key}={', '.join(widths[:-1])} or {widths[-1]}{others}"


class TokenModelSection(AttentionSection):
    """Token models."""

    mask_values: bool = Field(True, description="hide past value tokens from all tokens")
    stop_token: bool = Field(True, description="predict the end of an episode, too")
    head_frequencies: int = Field(
        0,
        ge=0,
        le=64,
        description="cosines over the bins in the output layer, by which neighbouring bins learn together",
    )

    def arguments(self, dims: int) -> dict[str, Any]:
        """Keyword arguments of the model's constructor, for transitions of ``dims`` tokens."""
        return self.model_dump(exclude={"arch", "sequence_length"})


class ImageReaderSection(ModelSection):
    """Models that read vectors and images."""

    image_encoder: Literal["impala", "nature"] = Field("impala", description="network that reads images")


class PolicySection(ImageReaderSection, ABC):
    """Models that predict actions."""

    @abstractmethod
    def arguments(self, policy: PolicyConfig) -> dict[str, Any]:
        """Keyword arguments of the model's constructor, some of them from the section ``policy``."""


class GPTSection(TokenModelSection):
    """The Trajectory Transformer."""

    arch: Literal["gpt"] = "gpt"

    def arguments(self, dims: int) -> dict[str, Any]:
        """See :meth:`TokenModelSection.arguments`; a gpt has one position per token of its window except the last."""
        return {**super().arguments(dims), "block_size": self.sequence_length * dims - 1}


class RetNetSection(TokenModelSection):
    """The retentive network."""

    arch: Literal["retnet"] = "retnet"
    value_width: int | None = Field(None, ge=1, description="retnet: total width of all heads' values; null = width")
    ffn_width: int | None = Field(
        None,
        ge=1,
        description="retnet: inner width of the gated networks; null = 7/3 x width, for as many parameters as a gpt",
    )
    embedding_deviation: float = Field(
        1.0, gt=0.0, description="retnet: standard deviation of the initial token embeddings"
    )
    dimension_embedding: bool = Field(
        False, description="retnet: add an embedding of each token's dimension, with which it learns faster"
    )
    mode: Literal["parallel", "chunkwise", "recurrent"] = Field("parallel", description="retnet: form of retention")
    chunk_size: int = Field(64, ge=1, description="retnet: tokens per chunk of the chunkwise form")

    @model_validator(mode="after")
    def _heads_turn_in_pairs(self) -> RetNetSection:
        if self.value_width is not None:
            self._check_divisible("value_width", self.value_width)
        head_width = self.width // self.n_head
        if head_width % 2:
            raise UnfitValueError(
                f"model.width = {self.width} gives each of model.n_head = {self.n_head} heads {head_width} dimensions; "
                "a retnet rotates them in pairs and needs an even number",
                self._divisible_hint("width", self.width),
            )
        return self


class DecisionTransformerSection(AttentionSection, PolicySection):
    """The Decision Transformer."""

    arch: Literal["dt"] = "dt"

    def arguments(self, policy: PolicyConfig) -> dict[str, Any]:
        """See :meth:`PolicySection.arguments`."""
        own = self.model_dump(exclude={"arch", "sequence_length"})
        scale = PAPERS_RETURN_SCALE if policy.return_scale == "auto" else policy.return_scale
        conditioning = {"squash": policy.stochastic_tanh, "return_scale": scale}
        return {**own, **conditioning, "context": self.sequence_length}


class OnlineDecisionTransformerSection(DecisionTransformerSection):
    """The Online Decision Transformer."""

    arch: Literal["odt"] = "odt"  # type: ignore[assignment]


class BehaviourCloningSection(PolicySection):
    """A multilayer perceptron."""

    arch: Literal["bc"] = "bc"

    def arguments(self, policy: PolicyConfig) -> dict[str, Any]:
        """See :meth:`PolicySection.arguments`."""
        sizes = {"n_layer": self.n_layer, "width": self.width, "dropout": self.residual_dropout}
        return {**sizes, "image_encoder": self.image_encoder}


# Layers, heads and width of the sizes that L2M's release names, where several exist the one with heads of 64 numbers.
SIZES = {
    "tiny": (1, 2, 128),
    "small": (3, 4, 256),
    "medium": (4, 8, 512),
    "mediumplus": (6, 12, 768),
    "large": (8, 12, 768),
    "larger": (6, 16, 1024),
    "largeplus": (8, 16, 1024),
    "huge": (10, 20, 1280),
    "hugeplus": (24, 16, 1024),
}


class MultiDomainSection(AttentionSection, ImageReaderSection):
    """The multi-domain Decision Transformer."""

    arch: Literal["mddt"] = "mddt"
    named_size: Literal[tuple(SIZES)] | None = Field(  # type: ignore[valid-type]
        None, description="mddt: layers, heads and width by name; null = as given"
    )
    bins: int = Field(64, ge=2, le=4096, description="mddt: bins per action dimension")
    scale: Literal["linear", "mu-law"] = Field("linear", description="mddt: bins of equal width, or finer near 0")
    hide_actions: bool = Field(True, description="mddt: hide past actions, which the model would copy")
    periodic: bool = Field(False, description="mddt: read sines and cosines of observed numbers, which may be angles")
    time_embedding: bool = Field(True, description="mddt: tell the model how many steps an episode has had")

    @model_validator(mode="before")
    @classmethod
    def _sizes_by_name(cls, values: Any) -> Any:
        name = values.get("named_size") if isinstance(values, dict) else None
        if name not in SIZES:
            return values
        return {**values, **dict(zip(("n_layer", "n_head", "width"), SIZES[name], strict=True))}

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the model's constructor that do not depend on the data."""
        left_out = {"arch", "sequence_length", "named_size", "time_embedding"}
        return {**self.model_dump(exclude=left_out), "context": self.sequence_length}


def section_of(arch: str) -> type[ModelSection]:
    """The class of an architecture's section ``model``."""
    module, _, name = ARCHITECTURES[arch].section.partition(":")
    section: type[ModelSection] = getattr(import_module(module), name)
    return section


@cache
def model_sections() -> dict[str, type[ModelSection]]:
    """The classes of all architectures, in the registry's order."""
    return {name: section_of(name) for name in ARCHITECTURES}
