"""The replay buffer on disk: a folder of HDF5 files, each written once.

::

    buffer/00000000.h5    the offline trajectories that the buffer started with
    buffer/00001000.h5    the first iteration's trajectories, named by the number of the first one
    buffer/00001004.h5    …

Each file is written under a temporary name, forced to the disk and renamed; it is never opened for writing again. A
single growing HDF5 file would not do: a kill during a write leaves torn metadata, and libhdf5 may crash when it reads
them. Here a kill leaves a temporary file, which nothing reads.

The checkpoint lists the files that make up the buffer, with their hashes, which are compared before libhdf5 opens a
file. A resumed run writes the files after its checkpoint again, with the same contents. A file is removed once no kept
checkpoint has one of its trajectories in its buffer. Until then it stays whole, and the first file may fill the buffer
by itself; so the folder holds up to twice the buffer's capacity, plus what was added since the oldest checkpoint.

The files are in D4RL's layout: ``seqrl train`` accepts each as a dataset.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import read_d4rl, write_d4rl
from seqrl_cli.data.policy_windows import Trajectory, trajectories_of
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import writing
from seqrl_cli.files.hashes import file_sha256


@dataclass(frozen=True)
class BufferFile:
    """One file of the buffer.

    Attributes:
        first: number of its first trajectory, counted over all that were ever added.
        count: number of trajectories in the file.
        sha256: hash of the file's contents.
    """

    first: int
    count: int
    sha256: str

    @property
    def end(self) -> int:
        """Number of the trajectory after the last."""
        return self.first + self.count


class BufferFolder:
    """The files of one run's buffer.

    Args:
        path: the folder; made when absent.
        env_id: gymnasium id that is written into each file, so that a model can be trained on the file alone.
    """

    def __init__(self, path: Path, env_id: str | None = None) -> None:
        self.path = path
        self.env_id = env_id

    def append(self, first: int, trajectories: Sequence[Trajectory]) -> BufferFile:
        """Write at least one trajectory to a new file, which replaces one that a killed process left there.

        Raises:
            SeqrlError: the folder cannot be written, or the disk is full.
        """
        path = self._file(first)
        write_d4rl(path, episodes_of(trajectories), {"env_id": self.env_id, "first_trajectory": first})
        return BufferFile(first, len(trajectories), file_sha256(path))

    def read(self, file: BufferFile) -> list[Trajectory]:
        """The trajectories of a file, in the order in which they were added.

        Raises:
            SeqrlError: the file is missing or damaged.
        """
        path = self._file(file.first)
        if not path.is_file():
            raise SeqrlError(f"the replay buffer lacks {path}", "restore the file, or start over with --force")
        if file_sha256(path) != file.sha256:
            message = f"{path} is damaged: its hash differs from the one in the checkpoint"
            raise SeqrlError(message, "restore the file, or start over with --force")
        return trajectories_of(read_d4rl(path))

    def keep_only(self, files: Iterable[BufferFile]) -> None:
        """Remove all other files, those that killed processes left behind included.

        Raises:
            SeqrlError: a file cannot be removed.
        """
        kept = {self._file(file.first).name for file in files}
        with writing(self.path):
            for path in self.path.glob("*.h5"):
                if path.name not in kept:
                    path.unlink()

    def _file(self, first: int) -> Path:
        return self.path / f"{first:08d}.h5"


def episodes_of(trajectories: Sequence[Trajectory]) -> Episodes:
    """At least one trajectory as flat arrays; one that the environment did not end counts as timed out."""
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
