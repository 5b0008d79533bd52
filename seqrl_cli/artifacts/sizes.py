"""How large a dataset is, or may be expected to be before it is here."""

from __future__ import annotations

from dataclasses import dataclass

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.sources import load_source, refuse_other_environment
from seqrl_cli.behaviour.library import load_behaviour
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.discretizer import token_dtype
from seqrl_cli.envs.fit import environment_sizes
from seqrl_cli.errors import SeqrlError

ASSUMED_TRANSITIONS = 1_000_000

# The usual sizes of D4RL's v2 sets: a million, or these. An expectation only; the file itself is what counts.
_D4RL_REPLAY = {"hopper": 402_000, "halfcheetah": 202_000, "walker2d": 302_000, "ant": 302_000}
_D4RL_USUAL = {"medium-expert": 2_000_000}


@dataclass(frozen=True)
class Sizes:
    """How large a dataset is, or will be.

    Attributes:
        transitions: rows; None when nobody can say before it is here.
        observation_dim, action_dim: None likewise.
        counted: whether this was read off the data, and not expected.
    """

    transitions: int | None
    observation_dim: int | None
    action_dim: int | None
    counted: bool

    @property
    def dims(self) -> int | None:
        """Tokens a transition: observation, action, reward, value."""
        if self.observation_dim is None or self.action_dim is None:
            return None
        return self.observation_dim + self.action_dim + 2

    @property
    def text(self) -> str:
        """The transitions for a person."""
        if self.transitions is None:
            return "unknown before it is here"
        return f"{self.transitions:,}" + ("" if self.counted else " (expected)")

    def dataset_bytes(self) -> int | None:
        """Of ``dataset.h5``: float32 arrays and two flags, not compressed."""
        if self.transitions is None or self.dims is None:
            return None
        return self.transitions * (4 * (self.dims - 1) + 2)

    def tokens_bytes(self, bins: int) -> int | None:
        """Of ``tokens.h5``: one small integer a number, and the bin edges."""
        if self.transitions is None or self.dims is None:
            return None
        return self.dims * (self.transitions * token_dtype(bins).itemsize + 8 * (bins + 1))


def estimate_sizes(located: DatasetRef, data: DataConfig, console: Console) -> Sizes:
    """Count a dataset that is here, or say what to expect of one that is not.

    A file of the user's is read and checked whole, as it would be when it is taken in.

    Raises:
        SeqrlError: it cannot be had, or is not the one asked for.
    """
    spec = located.spec
    if located.folder.dataset.exists():
        located.check(data)
        episodes = located.load_episodes()
    elif spec.source == "file":
        episodes, _ = load_source(spec, located.folder, data, console, located.store)
    else:
        refuse_other_environment(spec, data.env_id)
        observation_dim, action_dim = sizes_if_known(spec.env_id, spec.observation_size)
        return Sizes(_expected_transitions(located, data), observation_dim, action_dim, counted=False)
    return Sizes(episodes.transitions, episodes.observation_dim, episodes.action_dim, counted=True)


def _expected_transitions(located: DatasetRef, data: DataConfig) -> int | None:
    spec = located.spec
    if spec.source == "sim" and spec.family and spec.quality:
        return data.transitions or int(load_behaviour(spec.family).datasets[spec.quality]["transitions"])
    if not (spec.source == "d4rl" and spec.family and spec.id.endswith("-v2")):
        return None
    if spec.quality == "medium-replay":
        return _D4RL_REPLAY.get(spec.family or "")
    return _D4RL_USUAL.get(spec.quality or "", ASSUMED_TRANSITIONS)


def sizes_if_known(env_id: str | None, kept: int | None = None) -> tuple[int | None, int | None]:
    """As :func:`environment_sizes`; None where no environment is named, or there is none of that name here."""
    try:
        return environment_sizes(env_id, kept) if env_id else (None, None)
    except SeqrlError:
        return None, None
