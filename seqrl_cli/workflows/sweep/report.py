"""What ``seqrl sweep`` and ``seqrl sweep status`` report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqrl_cli.console import Console, amount
from seqrl_cli.runs.sweeps import SweepMember
from seqrl_cli.workflows.sweep.states import MemberState, states_text


@dataclass(frozen=True)
class SweepReport:
    """Result of ``sweep``.

    Attributes:
        sweep: name of the sweep.
        members: how far each is now.
        failed: reasons by run, for the members that this command could not finish.
        script: the script of a job array, if one was written.
        job: the job array that the scheduler made of it.
        seconds: time that this command took, in seconds.
    """

    sweep: str
    members: tuple[MemberState, ...]
    failed: Mapping[str, str]
    script: str | None = None
    job: str | None = None
    seconds: float = 0.0

    def text(self) -> str:
        """A line for a person, and how to see the results."""
        lines = [f"{self.sweep}: {states_text(self.members)}"]
        if self.script is not None:
            lines.append(f"submitted as {self.job}" if self.job else f"to submit it: {self.script}")
        elif not self.failed:
            played = any(state.wanted for state in self.members)
            compare = f"seqrl table {self.sweep}"
            lines.append(f"to compare them: {compare}" if played else f"to play: seqrl plan {self.sweep} && {compare}")
        return "\n".join(lines)


def show_states(members: Sequence[SweepMember], states: Sequence[MemberState], console: Console) -> None:
    """Print a table with one row per member; columns that would be empty are left out."""
    rows = [state_row(index, state) for index, state in enumerate(states)]
    folders = {member.run.rpartition("/")[0] for member in members}
    title = folders.pop() if len(folders) == 1 else None
    if title:
        rows = [{**row, "run": row["run"].removeprefix(f"{title}/")} for row in rows]
    header = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    console.show_rows(header, [["–" if row[name] is None else row[name] for name in header] for row in rows], title)


def state_row(index: int, state: MemberState) -> dict[str, Any]:
    """A member's state as a row of a table."""
    score, mean = state.score, state.mean_return
    return {
        "index": index,
        "run": state.run,
        "status": state.status,
        "updates": state.updates,
        "loss": None if state.validation_loss is None else round(state.validation_loss, 4),
        "episodes": f"{state.episodes} of {state.wanted}" if state.wanted else None,
        "score": None if score is None else round(score, 1),
        "return": None if score is not None or mean is None else amount(mean),
    }
