"""``seqrl discretize``: make sure that a dataset's tokens are there, and sum them up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.tokens import ensure_tokens
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console


@dataclass(frozen=True)
class TokensReport:
    """What ``discretize`` says."""

    dataset: str
    path: str
    fresh: bool
    transitions: int
    episodes: int
    dims: int
    bins: int
    discretizer: str
    fingerprint: str

    def text(self) -> str:
        """Two lines for a person."""
        size = f"{self.transitions:,} transitions of {self.dims} tokens"
        return f"{self.dataset}: {size}, {self.bins} {self.discretizer} bins a dimension\n{self.path}"

    def as_dict(self) -> dict[str, Any]:
        """The same for --json."""
        return asdict(self)


def discretize(located: DatasetRef, config: Config, console: Console, *, force: bool = False) -> TokensReport:
    """Make sure ``tokens.h5`` is there and fits the configuration; gets the dataset first.

    Raises:
        SeqrlError: the dataset cannot be had, or the tokens there were made with other settings.
    """
    fresh = force or not located.folder.tokens.exists()
    tokens = ensure_tokens(located, config.data, console, force=force)
    if not fresh:
        console.note(f"{located.id} is already discretized; --force does it again")
    return TokensReport(
        dataset=located.id,
        path=str(located.folder.tokens),
        fresh=fresh,
        transitions=len(tokens.tokens),
        episodes=len(tokens.returns),
        dims=tokens.dims,
        bins=tokens.bins,
        discretizer=tokens.discretizer.strategy,
        fingerprint=tokens.fingerprint,
    )
