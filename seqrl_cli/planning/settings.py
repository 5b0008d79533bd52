"""The settings of a search, and whether a model's context is long enough for them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from seqrl_cli.config.faults import sentence
from seqrl_cli.config.plan import PlanConfig, SearchConfig
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decoding.interface import Window


class SearchSettings(SearchConfig):
    """The configuration keys of the search, checked together, and what follows from them.

    Raises:
        SeqrlError: a value is invalid for its key, or values contradict each other.
    """

    def __init__(self, **keys: Any) -> None:
        try:
            super().__init__(**keys)
        except ValidationError as error:
            hint = "`seqrl presets show base` prints every key with a valid value"
            raise SeqrlError(f"bad setting of a plan: {sentence(error)}", hint) from error
        self._check_percentile()
        if self.is_recurrent and not self.prefix_context:
            raise SeqrlError("context=recurrent needs the past, but prefix_context is off", "set prefix_context=true")
        if self.slides and self.max_context_transitions < 2 and self.horizon > 1:
            raise SeqrlError(
                f"a sliding window of 1 transition cannot plan {self.horizon} of them",
                "set max_context_transitions to 2 or more",
            )

    @property
    def is_recurrent(self) -> bool:
        """Whether the model keeps a recurrent state of the episode from step to step."""
        return self.context == "recurrent"

    @property
    def slides(self) -> bool:
        """Whether the model's window slides along the plan."""
        return self.window == "sliding" and not self.is_recurrent

    @property
    def model_window(self) -> Window | None:
        """The part of a sequence that the model sees; None if it sees all of it."""
        return None if self.is_recurrent else Window(self.max_context_transitions, self.slides)

    def check_fits(self, block_size: int | None, transition_dim: int) -> None:
        """Raise SeqrlError unless a model's context of ``block_size`` tokens is long enough; None is unlimited."""
        if block_size is None or self.is_recurrent:
            return
        needed = self.max_context_transitions
        if self.window == "growing":
            needed += self.horizon - 1
        available = (block_size + 1) // transition_dim
        if needed > available:
            raise SeqrlError(
                f"a {self.window} window of context {self.max_context_transitions} and horizon {self.horizon} needs "
                f"{needed} transitions, but the model's context holds {available}",
                "shorten plan.max_context_transitions or --horizon"
                + (", or use plan.window=sliding" if self.window == "growing" else ""),
            )

    def _check_percentile(self) -> None:
        if self.percentile != "mean" and not 0 < self.percentile < 1:
            raise SeqrlError(
                f"percentile is {self.percentile!r}, but must be 'mean' or a number between 0 and 1",
                "the papers use percentile=mean",
            )


def search_settings(config: PlanConfig) -> SearchSettings:
    """The settings of the beam search in a configuration."""
    return SearchSettings(**config.model_dump(include=set(SearchConfig.model_fields)))
