"""``seqrl discretize``: make sure that a dataset's tokens exist, and summarize them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.disk import disk_text, missing_dataset_bytes, total_bytes
from seqrl_cli.artifacts.sizes import estimate_sizes
from seqrl_cli.artifacts.tokens import current_tokens, ensure_tokens
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console


@dataclass(frozen=True)
class DiscretizeRequest:
    """Options of ``seqrl discretize``.

    Attributes:
        dataset: the dataset; it is made or fetched first if it is missing.
        config: the dataset's configuration; only the section ``data`` matters.
        force: replace tokens that exist.
    """

    dataset: DatasetRef
    config: Config
    force: bool = False


@dataclass(frozen=True)
class TokensReport:
    """Result of ``discretize``."""

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
        return f"{self.dataset}: {size}, {self.bins} {self.discretizer} bins per dimension\n{self.path}"


def run(request: DiscretizeRequest, console: Console) -> TokensReport:
    """Make sure that ``tokens.h5`` exists and matches the configuration; makes or fetches the dataset first.

    Raises:
        SeqrlError: the dataset cannot be made or fetched, or the existing tokens were made with other settings.
    """
    dataset = request.dataset
    before = _stamp(dataset.folder.tokens)
    tokens = ensure_tokens(dataset, request.config.data, console, force=request.force)
    fresh = _stamp(dataset.folder.tokens) != before
    if not fresh:
        console.note(f"{dataset.id} is already discretized; --force discretizes it again")
    return TokensReport(
        dataset=dataset.id,
        path=str(dataset.folder.tokens),
        fresh=fresh,
        transitions=len(tokens.tokens),
        episodes=len(tokens.returns),
        dims=tokens.dims,
        bins=tokens.bins,
        discretizer=tokens.discretizer.strategy,
        fingerprint=tokens.fingerprint,
    )


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced; None if there is none."""
    with suppress(FileNotFoundError):
        facts = path.stat()
        return facts.st_ino, facts.st_mtime_ns
    return None


def dry_run(request: DiscretizeRequest, console: Console) -> None:
    """Print what ``discretize`` would do.

    Raises:
        SeqrlError: as :func:`run` before it writes.
    """
    dataset = request.dataset
    data = request.config.data
    sizes = estimate_sizes(dataset, data, console)
    exist = not request.force and current_tokens(dataset, data, console.warn) is not None
    needed = total_bytes([0 if exist else sizes.tokens_bytes(data.bins), missing_dataset_bytes(dataset, sizes)])
    facts = {
        "dataset": dataset.id,
        "dataset file": dataset.target,
        "dataset exists": dataset.exists,
        "tokens file": str(dataset.folder.tokens),
        "tokens are there": exist,
        "transitions": sizes.text,
        "tokens per transition": sizes.dims or "unknown",
        "disk": disk_text(dataset.folder.path, needed),
        **{f"data.{key}": value for key, value in data.model_dump().items()},
    }
    console.emit({**facts, "disk_bytes": needed})
    console.show_facts(facts)
