"""The typed configuration of a run: what config.yaml contains and what ``key=value`` may change.

Pydantic is used only at this boundary; functions below take plain arguments. The section ``model`` is a union: its key
``arch`` decides which other keys it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field, model_validator

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.finetune import FinetuneConfig
from seqrl_cli.config.limits import MAX_SEED
from seqrl_cli.config.model_sections import GPTSection, ModelSection, model_sections
from seqrl_cli.config.owners import describe_foreign_key, own_model_keys, owned_keys
from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.config.section import Section
from seqrl_cli.config.sections import DataConfig, OnlineConfig, PolicyConfig, TasksConfig, TrainConfig

if TYPE_CHECKING:
    AnyModelSection = ModelSection
else:
    AnyModelSection = Annotated[Union[tuple(model_sections().values())], Field(discriminator="arch")]  # noqa: UP007

Size = Literal["paper", "laptop"]

_FORMER_DEFAULTS = {"data.termination_penalty": -100.0, "policy.return_scale": 1e-3}
"""Configurations of earlier versions may state them for architectures that do not have the key."""


class Config(Section):
    """Everything that makes a run repeatable."""

    dataset: str = Field(description="dataset id")
    size: Size = Field("paper", description="paper = the papers' sizes; laptop = trains in minutes on two cores")
    preset: str = Field("base", description="preset that the values come from")
    seed: int = Field(42, ge=0, le=MAX_SEED, description="seed of weights, batches and held-out episodes")
    data: DataConfig = DataConfig()
    model: AnyModelSection = GPTSection()
    train: TrainConfig = TrainConfig()
    policy: PolicyConfig = PolicyConfig()
    tasks: TasksConfig = TasksConfig()
    plan: PlanConfig = PlanConfig()
    online: OnlineConfig = OnlineConfig()
    finetune: FinetuneConfig = FinetuneConfig()

    @model_validator(mode="before")
    @classmethod
    def _model_section_of_its_architecture(cls, values: Any) -> Any:
        model = values.get("model", {}) if isinstance(values, Mapping) else None
        return {**values, "model": own_model_keys(model)} if isinstance(model, Mapping) else values

    @model_validator(mode="after")
    def _a_policy_has_a_number_of_updates(self) -> Config:
        architecture = ARCHITECTURES[self.model.arch]
        if not architecture.kind.paper_schedule and self.train.updates is None:
            raise ValueError(f"train.updates is null, but {architecture} needs a number of updates")
        return self

    @model_validator(mode="after")
    def _no_key_of_another_architecture(self) -> Config:
        changed = {}
        for dotted in owned_keys():
            section, key = dotted.split(".")
            part: Section = getattr(self, section)
            value = getattr(part, key)
            default = type(part).model_fields[key].default
            if value not in (default, _FORMER_DEFAULTS.get(dotted, default)):
                changed[dotted] = value
        if wrong := describe_foreign_key(self.model.arch, changed):
            raise ValueError(wrong)
        return self
