"""What accompanies the members of a sweep: trackers, and a URL that they are pushed to.

They are words of the command line, and never of ``sweep.json``: a sweep of a stranger's must send nothing anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from seqrl_cli.runs.sweeps import SweepMember, Words


@dataclass(frozen=True)
class Followers:
    """Options of a sweep that change no run.

    Attributes:
        track: trackers that follow each training.
        push: the URL that each member is pushed to, after each checkpoint and at its end; None for none.
    """

    track: tuple[str, ...] = ()
    push: str | None = None

    @property
    def words(self) -> Words:
        """The options that name them."""
        track = ("--track", ",".join(self.track)) if self.track else ()
        return (*track, *(("--push", self.push) if self.push is not None else ()))

    def commands(self, member: SweepMember) -> tuple[Words, ...]:
        """What is run for a member, each command as the words after ``seqrl``."""
        train, *plans = member.steps
        return ((*train, *self.words), *plans)

    def last(self, member: SweepMember) -> tuple[Words, ...]:
        """What is run for a member at last: it sends its plans, and whatever its training could not send."""
        return () if self.push is None else (("runs", "push", member.run, self.push),)


NOBODY = Followers()
