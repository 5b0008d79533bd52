"""From ``dataset.h5`` to ``tokens.h5``."""

from __future__ import annotations

from collections.abc import Callable

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.tokens import TokenizedDataset, fingerprint, load_tokens, save_tokens, tokenize
from seqrl_cli.errors import SeqrlError, when_interrupted
from seqrl_cli.runs.lock import locked


def ensure_tokens(located: DatasetRef, data: DataConfig, console: Console, *, force: bool = False) -> TokenizedDataset:
    """The tokens of a dataset, made if they are missing.

    Raises:
        SeqrlError: the dataset cannot be had, or the tokens there were made with other settings.
    """
    located.ensure(data, console)
    if not force and (tokens := current_tokens(located, data)):
        return tokens
    path = located.folder.tokens
    with locked(located.folder.path, on_wait=console.note):
        if not force and (tokens := current_tokens(located, data, console.warn)):
            return tokens
        console.note(f"discretizing {located.id}: {data.bins} {data.discretizer} bins a dimension")
        stopped = when_interrupted(
            f"interrupted; no tokens of {located.id} were written", "the same command begins anew"
        )
        with stopped, console.progress(f"discretizing {located.id}", "dimensions") as update:
            tokens = tokenize(
                located.load_vectors(),
                dataset_id=located.id,
                env_id=located.env_id,
                bins=data.bins,
                strategy=data.discretizer,
                discount=data.discount,
                termination_penalty=data.termination_penalty,
                observation_slice=located.observation_slice,
                episodes_sha256=located.facts.episodes_sha256 if located.facts else None,
                progress=update,
            )
        save_tokens(path, tokens)
    return tokens


def current_tokens(
    located: DatasetRef, data: DataConfig, on_warning: Callable[[str], None] | None = None
) -> TokenizedDataset | None:
    """The tokens that are there, if they are those of the dataset that is there.

    Args:
        located: the dataset.
        data: settings that the tokens must have.
        on_warning: told when they are another dataset's.

    Raises:
        SeqrlError: they are damaged, or were made with other settings.
    """
    path = located.folder.tokens
    if not path.exists():
        return None
    tokens = load_tokens(path)
    _check_settings(located, tokens, data)
    # Times alone tell too little: a file that was copied, unpacked or synchronised keeps its own.
    same = located.facts is not None and located.facts.episodes_sha256 == tokens.episodes_sha256
    if same and located.modified_ns <= path.stat().st_mtime_ns:
        return tokens
    # The dataset is another, or was written after its tokens: made again, perhaps with the same content.
    content = fingerprint(
        located.load_vectors(),
        bins=tokens.bins,
        strategy=tokens.discretizer.strategy,
        discount=tokens.discount,
        termination_penalty=tokens.termination_penalty,
    )
    if content == tokens.fingerprint:
        return tokens
    if on_warning:
        on_warning(f"{located.id} has changed since it was discretized; runs trained on the old tokens cannot plan now")
    return None


def _check_settings(located: DatasetRef, tokens: TokenizedDataset, data: DataConfig) -> None:
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
