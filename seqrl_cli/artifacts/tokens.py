"""From ``dataset.h5`` to ``tokens.h5``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from seqrl_cli.config.schema import Config, DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.tokens import TokenizedDataset, fingerprint, load_tokens, save_tokens, tokenize
from seqrl_cli.errors import SeqrlError, when_interrupted
from seqrl_cli.runs.lock import locked
from seqrl_cli.workflows.datasets import Located, ensure_dataset, environment_or_none, load_episodes, observation_slice


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


def discretize(located: Located, config: Config, console: Console, *, force: bool = False) -> TokensReport:
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


def ensure_tokens(located: Located, data: DataConfig, console: Console, *, force: bool = False) -> TokenizedDataset:
    """The tokens of a dataset, made if they are missing.

    Raises:
        SeqrlError: the dataset cannot be had, or the tokens there were made with other settings.
    """
    ensure_dataset(located, data, console)
    if not force and (tokens := current_tokens(located, data, console)):
        return tokens
    path = located.folder.tokens
    with locked(located.folder.path, on_wait=console.note):
        if not force and (tokens := current_tokens(located, data, console)):
            return tokens
        console.note(f"discretizing {located.id}: {data.bins} {data.discretizer} bins a dimension")
        stopped = when_interrupted(
            f"interrupted; no tokens of {located.id} were written", "the same command begins anew"
        )
        with stopped, console.progress(f"discretizing {located.id}", "dimensions") as update:
            tokens = tokenize(
                load_episodes(located),
                dataset_id=located.id,
                env_id=environment_or_none(located),
                bins=data.bins,
                strategy=data.discretizer,
                discount=data.discount,
                termination_penalty=data.termination_penalty,
                observation_slice=observation_slice(located),
                progress=update,
            )
        save_tokens(path, tokens)
    return tokens


def current_tokens(located: Located, data: DataConfig, console: Console) -> TokenizedDataset | None:
    """The tokens that are there, if they are those of the dataset that is there.

    Raises:
        SeqrlError: they are damaged, or were made with other settings.
    """
    path, source = located.folder.tokens, located.folder.dataset
    if not path.exists():
        return None
    tokens = load_tokens(path)
    _check_settings(located, tokens, data)
    if source.stat().st_mtime_ns <= path.stat().st_mtime_ns:
        return tokens
    # The dataset was written after its tokens: made again, perhaps with the same content.
    content = fingerprint(
        load_episodes(located),
        bins=tokens.bins,
        strategy=tokens.discretizer.strategy,
        discount=tokens.discount,
        termination_penalty=tokens.termination_penalty,
    )
    if content == tokens.fingerprint:
        return tokens
    console.warn(f"{located.id} has changed since it was discretized; runs trained on the old tokens cannot plan now")
    return None


def _check_settings(located: Located, tokens: TokenizedDataset, data: DataConfig) -> None:
    pairs = {
        "bins": (tokens.bins, data.bins),
        "discretizer": (tokens.discretizer.strategy, data.discretizer),
        "discount": (tokens.discount, data.discount),
        "termination_penalty": (tokens.termination_penalty, data.termination_penalty),
    }
    for key, (there, asked) in pairs.items():
        if there != asked:
            hint = f"`seqrl discretize {located.id} data.{key}={asked} --force` makes them anew"
            raise SeqrlError(f"{located.folder.tokens} was made with {key} {there}, not {asked}", hint)
