"""Returns that a policy can be asked for: which are too large, and which are far from the data."""

from __future__ import annotations

from collections.abc import Callable

from seqrl_cli.config.plan_names import return_text
from seqrl_cli.errors import UsageError
from seqrl_cli.runs.record import RunRecord

FARTHEST_RETURN = 1e9
"""Largest distance of a target return from zero: there float32 numbers are 64 apart, more than most rewards."""


def check_return(key: str, asked: float | None, record: RunRecord) -> None:
    """Stop at a target return so large that subtracting a reward would not change it in float32.

    Args:
        key: name of the setting, for the error.
        asked: the target return; None = not set.
        record: of the run, with the range of returns in its data.

    Raises:
        UsageError: it is farther from zero than ``FARTHEST_RETURN`` and than ten times any return in the data.
    """
    in_data = record.return_range or ()
    farthest = max([FARTHEST_RETURN, *(10 * abs(one) for one in in_data)])
    if asked is None or abs(asked) <= farthest:
        return
    known = " to ".join(f"{one:,.6g}" for one in in_data)
    raise UsageError(
        f"{key} = {asked:.6g}, but beyond ±{farthest:.6g} float32 is too coarse to subtract rewards from it",
        f"the returns in {record.dataset} are {known}" if in_data else "choose a return that an episode can reach",
    )


def warn_of_return(
    what: str,
    asked: float | None,
    record: RunRecord,
    on_warning: Callable[[str], None] | None,
    *,
    explores: bool = False,
) -> None:
    """Warn of a target return far from all returns in the data.

    Args:
        what: name of the target, for the warning.
        asked: the target return; None = not set.
        record: of the run, with the range of returns in its data.
        on_warning: receives the warning.
        explores: whether the target is for exploration, which may aim at twice the best return.
    """
    in_data = record.return_range
    if asked is None or in_data is None or on_warning is None:
        return
    low, high = in_data
    span = (high - low) or abs(high) or 1.0
    reach = max(span, abs(low), abs(high)) if explores else span
    if not low - reach <= asked <= high + reach:
        known = f"the returns in {record.dataset}, which are {low:,.1f} to {high:,.1f}"
        on_warning(f"{what} {return_text(asked)} is far from {known}")
