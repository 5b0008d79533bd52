"""A checkpoint of any supported project, and the checks that all of them must pass."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqrl_cli.data.discretizer import Discretizer
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.gpt.model import visible_keys

MAX_SIZE = 65_000
MAX_LAYERS = 1_000

# What the projects call weights outside of their layers.
_NAMES = {"position_embedding": "pos_emb", "token_embedding.weight": "tok_emb.weight"}

_CONFIG_HINT = "the folder may mix files of different runs, or of another project"


@dataclass(frozen=True)
class ForeignCheckpoint:
    """Another project's checkpoint in our terms.

    Attributes:
        project: the project's name, as in its repository.
        weights: the file of the weights.
        epoch: number of the epoch in that file's name; 0 if it has none.
        model: our configuration of the model, with keys that lack ``model.``.
        bins: tokens per dimension.
        observation_dim: size of an observation.
        action_dim: size of an action.
        state: the weights, under our names.
        dataset: the project's name of the training dataset.
        discount: discount of the value targets.
        termination_penalty: reward at terminals; None if the data's own reward was kept.
        discretizer: the model's bins; None if the project fits quantiles to the dataset each time it loads the model.
        plan: our configuration of the planner, as far as the folder states it.
        names: the file's own names of the weights, by ours.
    """

    project: str
    weights: Path
    epoch: int
    model: dict[str, Any]
    bins: int
    observation_dim: int
    action_dim: int
    state: dict[str, Tensor]
    dataset: str
    discount: float
    termination_penalty: float | None
    discretizer: Discretizer | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def their_name(self, name: str) -> str:
        """The file's own name of one of our weights; of a missing one, what it is called in another layer."""
        if name in self.names:
            return self.names[name]
        pattern = re.sub(r"\\\.\d+\\\.", r"\\.(\\d+)\\.", re.escape(name))
        layer = re.search(r"\.(\d+)\.", name)
        for ours, theirs in self.names.items():
            if layer and re.fullmatch(pattern, ours):
                return re.sub(r"\.\d+\.", f".{layer[1]}.", theirs, count=1)
        return _NAMES.get(name, name)

    @property
    def transition_dim(self) -> int:
        """Tokens per transition."""
        return self.observation_dim + self.action_dim + 2


@dataclass(frozen=True)
class Fields:
    """Values of a foreign configuration, each checked as it is taken.

    Attributes:
        source: the configuration's name in errors.
        values: values by name; each may be missing or of any type.
    """

    source: str
    values: Mapping[Any, Any]

    def section(self, name: str) -> Fields:
        """A nested section of the configuration."""
        return Fields(f"{self.source}, {name}", self._take(name, dict, "a section"))

    def size(self, name: str, limit: int = MAX_SIZE) -> int:
        """An integer from 1 to ``limit``."""
        value: int = self._take(name, int, "a size")
        if isinstance(value, bool) or not 1 <= value <= limit:
            raise SeqrlError(f"{self.source} has {name} {value}, which is not a valid size", _CONFIG_HINT)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number; ``default`` if it is missing."""
        if default is not None and name not in self.values:
            return default
        return float(self._take(name, (int, float), "a number"))

    def text(self, name: str) -> str:
        """A string."""
        value: str = self._take(name, str, "a string")
        return value

    def expect(self, name: str, expected: Any) -> None:
        """Check that a value is the expected one.

        Raises:
            SeqrlError: the value is missing or differs.
        """
        value = self._take(name, type(expected), f"{expected}")
        if value != expected:
            raise SeqrlError(f"{self.source} has {name} {value!r:.80}, not {expected!r}", _CONFIG_HINT)

    def _take(self, name: str, kinds: Any, what: str) -> Any:
        if name not in self.values:
            raise SeqrlError(f"{self.source} has no {name}", _CONFIG_HINT)
        value = self.values[name]
        if not isinstance(value, kinds):
            raise SeqrlError(f"{self.source} has a {name} of type {type(value).__name__}, not {what}", _CONFIG_HINT)
        return value


def dimensions(fields: Fields) -> tuple[int, int]:
    """The sizes of an observation and an action; a transition also contains a reward and a value.

    Raises:
        SeqrlError: one is missing, or they do not add up.
    """
    observation_dim, action_dim = fields.size("observation_dim"), fields.size("action_dim")
    fields.expect("transition_dim", observation_dim + action_dim + 2)
    return observation_dim, action_dim


def whole_transitions(source: str, tokens: int, transition_dim: int) -> int:
    """Whole transitions in a window of ``tokens`` inputs; the last token of a window is only predicted.

    Raises:
        SeqrlError: not even one transition fits.
    """
    if tokens + 1 < transition_dim:
        message = f"{source} has windows of {tokens} tokens, less than a transition's {transition_dim}"
        raise SeqrlError(message, _CONFIG_HINT)
    return (tokens + 1) // transition_dim


def masks_values(source: str, state: Mapping[str, Tensor], pattern: str, transition_dim: int) -> bool:
    """Whether the model's attention masks hide value tokens.

    Args:
        source: the file's name in errors.
        state: the original's weights and masks; a mask is true or nonzero where a key is visible.
        pattern: regular expression of the masks' names.
        transition_dim: tokens per transition.

    Raises:
        SeqrlError: a mask is neither the published one nor a plain causal one.
    """
    found = {name: tensor for name, tensor in state.items() if re.fullmatch(pattern, name)}
    answers = set()
    for name, tensor in found.items():
        visible = tensor.bool().flatten(0, -2) if tensor.dim() > 1 else tensor
        for hides in (True, False):
            if torch.equal(visible, visible_keys(len(visible), transition_dim, hides)):
                answers.add(hides)
                break
        else:
            raise SeqrlError(f"{source} has an attention mask {name!r:.80} that is not causal", _CONFIG_HINT)
    if len(answers) > 1:
        raise SeqrlError(f"{source} hides values in some of its layers only", "such a model cannot be imported")
    return answers != {False}


def check_shapes(checkpoint: ForeignCheckpoint, expected: Mapping[str, Tensor]) -> None:
    """Check that the weights are those of the model that the configuration describes.

    Args:
        checkpoint: the checkpoint.
        expected: tensors of the right shapes, by our names.

    Raises:
        SeqrlError: a tensor is missing, unexpected, or of another shape.
    """
    state, source = checkpoint.state, checkpoint.weights
    for name in sorted(expected.keys() ^ state.keys()):
        verb = "lacks" if name in expected else "has weights that its configuration does not describe:"
        raise SeqrlError(f"{source} {verb} {checkpoint.their_name(name)!r:.80}", _CONFIG_HINT)
    for name, tensor in expected.items():
        shape, actual = tuple(tensor.shape), tuple(state[name].shape)
        if actual != shape:
            message = (
                f"{source} has {checkpoint.their_name(name)} of shape {actual}, but its configuration requires {shape}"
            )
            raise SeqrlError(message, _CONFIG_HINT)
        if not state[name].is_floating_point() or not bool(torch.isfinite(state[name]).all()):
            theirs = checkpoint.their_name(name)
            raise SeqrlError(f"{source} has values in {theirs} that are not finite numbers", "take another checkpoint")


def require_names(state: Mapping[str, Tensor], names: Iterable[str], source: str, kind: str) -> None:
    """Check that a file has the weights that every model of its kind has.

    Args:
        state: the file's weights by their own names.
        names: names that must be among them.
        source: the file's name in errors.
        kind: name of the kind of model.

    Raises:
        SeqrlError: one is missing; the message lists what the file contains instead.
    """
    missing = [name for name in names if name not in state]
    if missing:
        listing = ", ".join(f"{name:.60}" for name in list(state)[:4])
        message = f"{source} does not contain a complete {kind}: it has no {', '.join(missing)} (it has {listing} …)"
        raise SeqrlError(message, "take another checkpoint")


def rename(name: str, patterns: Mapping[str, str]) -> str:
    """Our name of another project's parameter.

    Args:
        name: the project's name.
        patterns: regular expressions in its names, and their replacements in ours, applied in order.
    """
    for pattern, replacement in patterns.items():
        name = re.sub(pattern, replacement, name)
    return name
