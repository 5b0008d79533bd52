"""A Slurm cluster of two pretended nodes on this machine, for tests; needs root and Debian's slurm-wlm and munge."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.processes import until

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "scontrol", "squeue")

_CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmdTimeout=10
KillWait=30
MpiDefault=none
JobRequeue=1
NodeName=n1 NodeHostname={host} Port={ports[1]} CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname={host} Port={ports[2]} CPUs=1 State=UNKNOWN
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def is_possible() -> bool:
    """Whether this machine can pretend to be a cluster."""
    return os.geteuid() == 0 and all(map(shutil.which, PROGRAMS))


@dataclass(frozen=True)
class Slurm:
    """A running cluster."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What commands need in order to find it."""
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "OMP_NUM_THREADS": "1"}

    def call(self, *words: str) -> str:
        """Run one of Slurm's commands."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def queue(self) -> dict[int, tuple[str, str]]:
        """State and node of the jobs that are left, by their index."""
        lines = self.call("squeue", "--noheader", "--array", "--format=%K %T %N").splitlines()
        rows = [(line.split() + [""])[:3] for line in lines]
        return {int(index): (state, node) for index, state, node in rows if index.isdecimal()}

    def cut_power(self, node: str) -> None:
        """Kill a node's daemon and everything that it has started, at once."""
        lost = {psutil.Process(int((self.folder / f"slurmd-{node}.pid").read_text()))}
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # it has ended
                own = process.environ()
                if (own.get("SLURMD_NODENAME"), own.get("SLURM_CONF")) == (node, self.environment["SLURM_CONF"]):
                    lost |= {process, *(step for step in process.parents() if step.name() == "slurmstepd")}
        for kill in (psutil.Process.suspend, psutil.Process.kill):
            for process in lost:
                with suppress(psutil.NoSuchProcess):
                    kill(process)


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[Slurm]:
    """Start a cluster in a folder with a short path, and end it."""
    cluster = Slurm(folder)
    for name in ("state", "munge"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    content = _CONFIGURATION.format(folder=folder, host=socket.gethostname().partition(".")[0], ports=_free_ports(3))
    (folder / "slurm.conf").write_text(content)
    munge = {"socket": "munge.socket", "pid-file": "munge/pid", "log-file": "munge/log", "seed-file": "munge/seed"}
    try:
        subprocess.run(
            ["munged", f"--key-file={key}", "--force", *(f"--{name}={folder / path}" for name, path in munge.items())],
            check=True,
        )
        cluster.call("slurmctld")
        for node in ("n1", "n2"):
            cluster.call("slurmd", "-N", node)
        until(lambda: cluster.call("sinfo", "--noheader", "--format=%T %D").split() == ["idle", "2"], 120)
        yield cluster
    finally:
        _end(folder)


def _end(folder: Path) -> None:
    """Kill the cluster's daemons, by the process ids that they wrote, and what they started, by its environment."""
    for path in (*folder.glob("*.pid"), folder / "munge" / "pid"):
        if path.is_file() and path.read_text().strip().isdecimal():
            with suppress(psutil.NoSuchProcess):
                psutil.Process(int(path.read_text())).kill()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("SLURM_CONF") == str(folder / "slurm.conf"):
                process.kill()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
