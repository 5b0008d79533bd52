"""The replay buffer on disk: a folder of HDF5 files that is only ever appended to.

::

    buffer/00000000.h5    the offline trajectories that the buffer began with
    buffer/00001000.h5    what the first iteration added, named by the number of its first trajectory
    buffer/00001004.h5    …

A segment is written once, to a temporary file that is forced to the disk and renamed, and never opened for writing
again. A single growing HDF5 file would not do: a kill amid a write leaves its metadata torn, and libhdf5 may crash on
reading what is torn. Here a kill leaves a temporary file, which nothing reads.

What the buffer consists of is written in the checkpoint: the live segments with their hashes, which are compared before
libhdf5 sees a file. Segments that a kill left beyond the checkpoint are made again, the same, and replace those files.
A segment goes when none of its trajectories is in the buffer of any checkpoint that is kept. It stays whole till then,
and the first may fill the buffer by itself; so the folder holds one capacity of trajectories, at times nearly two, and
what was added since the oldest checkpoint.

Segments are in D4RL's layout: each is a dataset that ``seqrl train`` takes, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqrl_cli.data.download.fetch import file_sha256
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import read_d4rl, write_d4rl
from seqrl_cli.data.policy_windows import Trajectory, trajectories_of
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.atomic import writing


@dataclass(frozen=True)
class Segment:
    """Some trajectories in one file.

    Attributes:
        first: number of the first one, counted over all that were ever added.
        count: how many they are.
        sha256: of the file.
    """

    first: int
    count: int
    sha256: str

    @property
    def end(self) -> int:
        """Number of the trajectory after the last."""
        return self.first + self.count


class SegmentFolder:
    """The files of one run's buffer.

    Args:
        path: the folder; made when absent.
        env_id: written into each file, so that it can be trained on by itself.
    """

    def __init__(self, path: Path, env_id: str | None = None) -> None:
        self.path = path
        self.env_id = env_id

    def append(self, first: int, trajectories: Sequence[Trajectory]) -> Segment:
        """Write trajectories, at least one, as a new segment; one that a killed process left there is replaced.

        Raises:
            SeqrlError: the folder cannot be written, or the disk is full.
        """
        path = self._file(first)
        write_d4rl(path, episodes_of(trajectories), {"env_id": self.env_id, "first_trajectory": first})
        return Segment(first, len(trajectories), file_sha256(path))

    def read(self, segment: Segment) -> list[Trajectory]:
        """The trajectories of a segment, in the order in which they were added.

        Raises:
            SeqrlError: the file is missing or not what was written.
        """
        path = self._file(segment.first)
        if not path.is_file():
            raise SeqrlError(f"the replay buffer misses {path}", "restore the file, or start again with --force")
        if file_sha256(path) != segment.sha256:
            message = f"{path} is damaged: it is not what the checkpoint says was written"
            raise SeqrlError(message, "restore the file, or start again with --force")
        return trajectories_of(read_d4rl(path))

    def keep_only(self, segments: Iterable[Segment]) -> None:
        """Remove every other segment, and what killed processes left behind.

        Raises:
            SeqrlError: a file cannot be removed.
        """
        kept = {self._file(segment.first).name for segment in segments}
        with writing(self.path):
            for path in self.path.glob("*.h5"):
                if path.name not in kept:
                    path.unlink()

    def _file(self, first: int) -> Path:
        return self.path / f"{first:08d}.h5"


def episodes_of(trajectories: Sequence[Trajectory]) -> Episodes:
    """Trajectories, at least one, as flat arrays; where the environment did not end one, the clock did."""
    lengths = np.array([len(trajectory) for trajectory in trajectories])
    ends = np.cumsum(lengths) - 1
    terminals = np.zeros(lengths.sum(), bool)
    terminals[ends] = [trajectory.terminated for trajectory in trajectories]
    timeouts = np.zeros_like(terminals)
    timeouts[ends] = ~terminals[ends]
    return Episodes(
        np.concatenate([trajectory.observations for trajectory in trajectories]),
        np.concatenate([trajectory.actions for trajectory in trajectories]),
        np.concatenate([trajectory.rewards for trajectory in trajectories]),
        terminals,
        timeouts,
        np.concatenate([[0], ends + 1]),
    )
