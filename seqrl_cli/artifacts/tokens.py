"""Makes ``tokens.h5`` from ``dataset.h5``."""

from __future__ import annotations

from collections.abc import Callable

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.config.value_text import value_text
from seqrl_cli.console import Console, counted
from seqrl_cli.data.terminals import FALL_PENALTY, TerminalRule, is_locomotion, terminal_rule
from seqrl_cli.data.tokens import TokenizedDataset, fingerprint, tokenize
from seqrl_cli.data.tokens_file import load_tokens, save_tokens
from seqrl_cli.errors import SeqrlError, when_interrupted
from seqrl_cli.runs.lock import FOREVER, locked


def ensure_tokens(dataset: DatasetRef, data: DataConfig, console: Console, *, force: bool = False) -> TokenizedDataset:
    """The tokens of a dataset, made if they are missing.

    A ``termination_penalty`` of ``auto`` accepts existing tokens with any; for new ones :func:`terminal_rule` decides.

    Raises:
        SeqrlError: the dataset cannot be made, or the existing tokens were made with other settings.
    """
    dataset.ensure(data, console)
    if not force and (tokens := current_tokens(dataset, data)):
        _warn_of_old_penalty(dataset, data, tokens, console)
        if tokens.env_id is None and dataset.env_id is not None:
            hint = f"`seqrl discretize {dataset.id} --force` makes new ones"
            console.warn(f"{_before_its_environment(dataset)}; its runs need the old tokens, and {hint}")
        return tokens
    path = dataset.folder.tokens
    with locked(dataset.folder.path, console, FOREVER):
        if not force and (tokens := current_tokens(dataset, data, console.warn)):
            return tokens
        console.note(f"discretizing {dataset.id}: {data.bins} {data.discretizer} bins per dimension")
        stopped = when_interrupted(
            f"interrupted; no tokens of {dataset.id} were written", "the same command starts over"
        )
        episodes = dataset.load_readable(images=False)
        rule = terminal_rule(episodes, data.termination_penalty, dataset.env_id)
        _announce(dataset, rule, console)
        with stopped, console.progress(f"discretizing {dataset.id}", "dimensions") as update:
            tokens = tokenize(
                episodes,
                dataset_id=dataset.id,
                env_id=dataset.env_id,
                bins=data.bins,
                strategy=data.discretizer,
                discount=data.discount,
                termination_penalty=rule.penalty,
                observation_slice=dataset.observation_slice,
                episodes_sha256=dataset.facts.episodes_sha256 if dataset.facts else None,
                terminal_rewards=rule.reason if rule.terminals else None,
                progress=update,
            )
        save_tokens(path, tokens)
    return tokens


def tokens_like(known: TokenizedDataset, dataset: DatasetRef) -> TokenizedDataset:
    """An existing dataset as tokens of a model's own bins.

    Args:
        known: the tokens that the model was trained on.
        dataset: a dataset whose observations and actions have the same sizes.
    """
    return tokenize(
        dataset.load_readable(images=False),
        dataset_id=dataset.id,
        env_id=dataset.env_id,
        bins=known.bins,
        strategy=known.discretizer.strategy,
        discount=known.discount,
        termination_penalty=known.termination_penalty,
        observation_slice=dataset.observation_slice,
        episodes_sha256=dataset.facts.episodes_sha256 if dataset.facts else None,
        terminal_rewards=known.terminal_rewards,
        discretizer=known.discretizer,
    )


def _announce(dataset: DatasetRef, rule: TerminalRule, console: Console) -> None:
    """Say once what becomes of the rewards at terminals; nothing if there are none."""
    if not rule.terminals:
        return
    if rule.loses is not None:
        console.warn(
            f"the rewards at {counted(rule.terminals, 'terminal')} of {dataset.id}, {rule.loses}, are "
            f"{rule.reason.partition(':')[0]}; data.termination_penalty=null keeps them"
        )
        return
    other = f"{FALL_PENALTY:g} replaces" if rule.penalty is None else "null keeps"
    console.note(
        f"rewards at {counted(rule.terminals, 'terminal')} of {dataset.id} are {rule.reason}; "
        f"data.termination_penalty={other} them"
    )


def _warn_of_old_penalty(dataset: DatasetRef, data: DataConfig, tokens: TokenizedDataset, console: Console) -> None:
    """Warn of tokens of earlier versions in which a penalty replaced rewards that would now be kept.

    Runs that were trained on them need them as they are.
    """
    if data.termination_penalty != "auto" or tokens.terminal_rewards is not None or tokens.termination_penalty is None:
        return
    if is_locomotion(dataset.env_id):
        return
    episodes = dataset.load_readable(images=False)
    rule = terminal_rule(episodes, "auto", dataset.env_id)
    if rule.terminals and rule.penalty is None:
        loses = terminal_rule(episodes, tokens.termination_penalty, dataset.env_id).loses
        rewards = f"the rewards at {counted(rule.terminals, 'terminal')}{f', {loses}' if loses else ''}"
        console.warn(
            f"in the old {dataset.folder.tokens}, {tokens.termination_penalty:g} takes the place of {rewards}; its "
            f"runs go on with that, and for new ones `seqrl discretize {dataset.id} --force` keeps them"
        )


def current_tokens(
    dataset: DatasetRef, data: DataConfig, on_warning: Callable[[str], None] | None = None
) -> TokenizedDataset | None:
    """The existing tokens, if they were made from the existing dataset.

    Args:
        dataset: the dataset.
        data: settings that the tokens must have.
        on_warning: called with a message if they were made from another dataset.

    Raises:
        SeqrlError: they are damaged, or were made with other settings.
    """
    path = dataset.folder.tokens
    if not path.exists():
        return None
    tokens = load_tokens(path, dataset.id)
    _check_settings(dataset, tokens, data)
    if tokens.env_id is None and dataset.env_id is not None and not _has_runs(dataset):
        if on_warning:
            on_warning(f"{_before_its_environment(dataset)}, and needs new tokens")
        return None
    # Times alone prove nothing: a file that was copied, unpacked or synchronized keeps its own.
    same = dataset.facts is not None and dataset.facts.episodes_sha256 == tokens.episodes_sha256
    if same and dataset.modified_ns <= path.stat().st_mtime_ns:
        return tokens
    # The dataset is another one, or was made again after its tokens, perhaps with the same content.
    content = fingerprint(
        dataset.load_readable(images=False),
        bins=tokens.bins,
        strategy=tokens.discretizer.strategy,
        discount=tokens.discount,
        termination_penalty=tokens.termination_penalty,
    )
    if content == tokens.fingerprint:
        return tokens
    if on_warning:
        on_warning(f"{dataset.id} has changed since it was discretized; runs trained on the old tokens cannot plan now")
    return None


def _before_its_environment(dataset: DatasetRef) -> str:
    return f"{dataset.id} was discretized before it was known to be of {dataset.env_id}"


def _has_runs(dataset: DatasetRef) -> bool:
    """Whether a run was trained on a dataset, and so needs its tokens as they are."""
    return any(dataset.id in record.datasets for _, record in dataset.store.runs())


def _check_settings(dataset: DatasetRef, tokens: TokenizedDataset, data: DataConfig) -> None:
    pairs: dict[str, tuple[object, object]] = {
        "bins": (tokens.bins, data.bins),
        "discretizer": (tokens.discretizer.strategy, data.discretizer),
        "discount": (tokens.discount, data.discount),
    }
    if data.termination_penalty != "auto":
        pairs["termination_penalty"] = (tokens.termination_penalty, data.termination_penalty)
    for key, (existing, asked) in pairs.items():
        if existing != asked:
            now, then = value_text(asked), value_text(existing)
            hint = f"`seqrl discretize {dataset.id} data.{key}={now} --force` makes them again"
            raise SeqrlError(f"{dataset.folder.tokens} was made with {key} {then}, not {now}", hint)
