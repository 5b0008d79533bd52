"""Checks of target returns: too large for float32, or far from the data."""

from __future__ import annotations

from collections.abc import Callable

from seqrl_cli.config.plan_names import return_text
from seqrl_cli.console import amount
from seqrl_cli.errors import UsageError
from seqrl_cli.runs.record import RunRecord

FARTHEST_RETURN = 1e9
"""Largest distance of a target return from zero: there float32 numbers are 64 apart, more than most rewards."""


def check_return(key: str, target: float | None, record: RunRecord) -> None:
    """Stop at a target return so large that subtracting a reward would not change it in float32.

    Args:
        key: name of the setting, for the error.
        target: the target return; None = not set.
        record: the run's record, with the range of returns in its data.

    Raises:
        UsageError: its magnitude exceeds ``FARTHEST_RETURN`` and ten times any return in the data.
    """
    in_data = record.return_range or ()
    farthest = max([FARTHEST_RETURN, *(10 * abs(bound) for bound in in_data)])
    if target is None or abs(target) <= farthest:
        return
    known = " to ".join(f"{bound:,.6g}" for bound in in_data)
    raise UsageError(
        f"{key} = {target:.6g}, but beyond ±{farthest:.6g} float32 is too coarse to subtract rewards from it",
        f"the returns in {record.dataset} are {known}" if in_data else "choose a return that an episode can reach",
    )


def warn_of_return(
    what: str, target: float | None, record: RunRecord, on_warning: Callable[[str], None] | None
) -> None:
    """Warn of a target return far from all returns in the data.

    Args:
        what: name of the target, for the warning.
        target: the target return; None = not set.
        record: the run's record, with the range of returns in its data.
        on_warning: receives the warning.
    """
    in_data = record.return_range
    if target is None or in_data is None or on_warning is None:
        return
    low, high = in_data
    span = (high - low) or abs(high) or 1.0
    above = max(span, 1.01 * abs(high))  # policies are asked for twice the best return, rounded
    if not low - span <= target <= high + above:
        known = f"the returns in {record.dataset}, which are {amount(low)} to {amount(high)}"
        on_warning(f"{what} {return_text(target)} is far from {known}")
