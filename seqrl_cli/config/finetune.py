"""The settings of ``seqrl finetune``: what learns of a trained model, and where that model is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from seqrl_cli.config.limits import MAX_PARTS
from seqrl_cli.config.section import Section

AdapterName = Literal["none", "lora", "ia3", "houlsby", "prompt", "prefix"]


class FinetuneConfig(Section):
    """What learns when a trained model is fine-tuned."""

    parent: str | None = Field(None, description="the run that was fine-tuned; null = trained from scratch")
    parent_recipe: str | None = Field(None, description="recipe of that run")
    adapter: AdapterName = Field("none", description="what is added to the model and learns")
    groups: tuple[str, ...] = Field(
        (), description="groups of the model's own parameters that learn, too; without an adapter, none means all"
    )
    rank: int = Field(8, description="lora: rank of the added matrices")
    alpha: float = Field(16.0, gt=0.0, description="lora: the product is multiplied by alpha / rank")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="lora: fraction of inputs dropped in training")
    targets: tuple[str, ...] = Field((), description="lora, ia3: adapted parts of a block, or layers; none = the usual")
    reduction: int = Field(16, description="houlsby: width of the model divided by that of the bottleneck")
    length: int = Field(25, le=MAX_PARTS, description="prompt, prefix: tokens, or keys and values per block")
    reparametrize: bool = Field(False, description="prefix: learn it through a small network")

    @property
    def label(self) -> str:
        """What learns, in one word: ``lora``, ``head``, ``lora+head``, or ``full``."""
        parts = ([] if self.adapter == "none" else [self.adapter]) + list(self.groups)
        return "+".join(parts) or "full"
