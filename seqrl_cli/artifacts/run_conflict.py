"""Settings in which a requested run differs from the run that exists under its name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from seqrl_cli.config.nested import differences, get_dotted
from seqrl_cli.config.recipe import BOOKKEEPING
from seqrl_cli.config.schema import Config
from seqrl_cli.config.value_text import value_text
from seqrl_cli.errors import RunConflictError, SeqrlError
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.training.checkpoint_folders import saved_steps

OTHER_NAME_HINT = "give this one another --name, or replace the other with --force"
_SHOWN = 3


def refuse_lost_files(run: RunFolder) -> None:
    """Stop if a run has checkpoints, but not the files that say how they were trained.

    Raises:
        SeqrlError: the record or the configuration is gone.
    """
    gone = [path.name for path in (run.record, run.config) if not path.exists()]
    if gone and saved_steps(run.checkpoints):
        message = f"{run.path} has checkpoints, but no {' and no '.join(gone)}, which would say how they were trained"
        raise SeqrlError(message, "bring that back, or start over with --force")


def changed_keys(existing: Config, requested: Config, *, without: Collection[str] = ()) -> list[str]:
    """Dotted keys with other values, except those that change no number.

    Args:
        existing: configuration of the run that exists.
        requested: configuration of the run that is wanted.
        without: sections and keys that may differ.
    """
    changed = differences(existing.model_dump(), requested.model_dump())
    return [key for key in changed if not {key, key.partition(".")[0]} & {*without, *BOOKKEEPING}]


def conflict_of_settings(
    run: RunFolder, existing: Config, requested: Config, changed: Sequence[str]
) -> RunConflictError:
    """The error for a run that exists with other settings; names the first few of them."""
    old, new = existing.model_dump(), requested.model_dump()
    pairs = ", ".join(
        f"{key} {value_text(get_dotted(old, key))} (asked: {value_text(get_dotted(new, key))})"
        for key in changed[:_SHOWN]
    )
    return RunConflictError(f"{run.path} has {pairs}", _hint(old, changed))


def _hint(existing: dict[str, Any], changed: Sequence[str]) -> str:
    """What to do about the conflict; where few keys differ, also the words that go on with the run's own values."""
    if len(changed) > _SHOWN or not all("." in key for key in changed):
        return OTHER_NAME_HINT
    words = " ".join(f"{key}={value_text(get_dotted(existing, key))}" for key in changed)
    return f"{OTHER_NAME_HINT}; `{words}` goes on with this one"
