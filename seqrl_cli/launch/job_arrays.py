"""Job arrays for Slurm and PBS: the script, and its submission.

The scheduler itself is the engine. It starts a job again after the failure of a node or a preemption, and the script
asks it to do so when a job ends with exit code 130: it was stopped, by the time limit for example, and has saved.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import write_text_atomic

SUBMITTERS = {"slurm": "sbatch", "pbs": "qsub"}
MARGIN_SECONDS = 120
"""Between the signal to save and the end of the time limit; Slurm may send it up to a minute early."""

_STOPS = 100
"""How often a job that saved and stopped is queued again."""

_DEATHS = 3
"""How often one is that was killed."""


_LIMITS = (
    "limit=0  # an exit code of 1 or 2 is a mistake, which another start would repeat",
    f"[ $code -gt 128 ] && limit={_DEATHS}  # killed",
    f"[ $code -eq 130 ] && limit={_STOPS}  # stopped, by the time limit for example, after saving",
)


@dataclass(frozen=True, kw_only=True)
class JobArray:
    """The jobs that run members of a sweep, one each.

    Attributes:
        kind: ``slurm`` or ``pbs``.
        name: name of the sweep.
        root: the run directory; like the other paths absolute.
        logs: folder of what the jobs print.
        script: the script's file.
        indices: members to run, ascending.
        words: further options of ``seqrl sweep run``.
        cpus: cores of each job.
        gpus: GPUs of each job; None = not asked for.
        time: time limit of a job, as the scheduler writes it; None = the scheduler's own.
        options: further options, such as ``partition=gpu``.
        at_once: the most jobs that run at a time; None = as many as the scheduler starts.
        job: the jobs' name, if it is not the sweep's.
    """

    kind: str
    name: str
    root: Path
    logs: Path
    script: Path
    indices: Sequence[int]
    words: Sequence[str] = ()
    cpus: int = 1
    gpus: float | None = None
    time: str | None = None
    options: Sequence[str] = ()
    at_once: int | None = None
    job: str | None = None

    @property
    def submission(self) -> str:
        """The command that submits it."""
        return shlex.join(submit_command(self))


def write_script(array: JobArray) -> None:
    """Write the script.

    Raises:
        SeqrlError: it cannot be written.
    """
    write_text_atomic(array.script, slurm_script(array) if array.kind == "slurm" else pbs_script(array))


def submit_command(array: JobArray) -> list[str]:
    """The words of the command that submits the script."""
    if array.kind == "slurm":
        return ["sbatch", str(array.script)]
    first, last = array.indices[0], array.indices[-1]
    if first == last:  # PBS has no array of one job
        return ["qsub", "-v", f"SEQRL_INDEX={first}", str(array.script)]
    at_once = f"%{array.at_once}" if array.at_once else ""
    return ["qsub", "-J", f"{first}-{last}{at_once}", str(array.script)]


def require_scheduler(kind: str) -> None:
    """Raise SeqrlError unless the scheduler's command is on this machine."""
    program = SUBMITTERS[kind]
    if shutil.which(program) is None:
        raise SeqrlError(
            f"there is no {program} on this machine, so nothing can be submitted",
            "leave out --submit, and submit the script where it is",
        )


def submit(array: JobArray) -> str:
    """Submit the script; returns the array's id.

    Raises:
        SeqrlError: the scheduler is not there, or refuses it.
    """
    require_scheduler(array.kind)
    words = submit_command(array)
    if array.kind == "slurm":
        _refuse_queued(array)
        words.insert(1, "--parsable")
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise SeqrlError(f"{words[0]} refuses {array.script}: {said[-1]}", "`--option KEY=VALUE` sets its options")
    return done.stdout.strip().partition(";")[0]


def _refuse_queued(array: JobArray) -> None:
    """Stop while an earlier array of the sweep is queued or running: its jobs would run the same members.

    Raises:
        SeqrlError: there is one.
    """
    query = ["squeue", "--me", "--noheader", f"--name={job_name(array)}", "--format=%F"]
    found = subprocess.run(query, capture_output=True, text=True).stdout.split()
    if found:
        message = f"the sweep {array.name} is still in Slurm's queue, as job {found[0]}"
        raise SeqrlError(message, f"wait for it, or end it first: scancel {found[0]}")


def job_name(array: JobArray) -> str:
    """The name under which the scheduler lists the jobs."""
    return f"seqrl-{array.job or array.name}"


def slurm_script(array: JobArray) -> str:
    """The script of a Slurm array; each job runs one member, and is queued again when it was stopped."""
    limit = f"%{array.at_once}" if array.at_once else ""
    given = {
        "job-name": job_name(array),
        "array": f"{ranges(array.indices)}{limit}",
        "ntasks": "1",
        "cpus-per-task": str(array.cpus),
        "gpus": None if array.gpus is None else f"{array.gpus:g}",
        "time": array.time,
        "output": _quoted(f"{array.logs}/slurm-%a.log"),
        "open-mode": "append",
        "signal": f"TERM@{MARGIN_SECONDS}",
    }
    lines = [f"--{key}={value}" for key, value in given.items() if value is not None]
    lines += ["--requeue", *(f"--{option}" for option in array.options)]
    return "\n".join(
        [
            "#!/bin/bash",
            f"# Members of the sweep {array.name}; written by seqrl sweep.",
            *(f"#SBATCH {line}" for line in lines),
            "",
            f"srun --kill-on-bad-exit=1 {_member_command(array)} --index $SLURM_ARRAY_TASK_ID",
            "code=$?",
            *_LIMITS,
            "if [ ${SLURM_RESTART_COUNT:-0} -lt $limit ]; then",
            '    scontrol requeue "$SLURM_JOB_ID"',
            "fi",
            "exit $code",
            "",
        ]
    )


def pbs_script(array: JobArray) -> str:
    """The script of a PBS array, made from PBS's documentation; a stopped member is submitted once more by itself."""
    gpus = "" if array.gpus is None else f":ngpus={array.gpus:g}"
    lines = [f"-N {job_name(array)}"[:18], f"-l select=1:ncpus={array.cpus}{gpus}"]
    lines += [f"-l walltime={array.time}"] if array.time else []
    lines += [
        "-j oe",
        f"-o {_quoted(f'{array.logs}/')}",
        "-r y",
        *(f"-{option.replace('=', ' ', 1)}" for option in array.options),
    ]
    return "\n".join(
        [
            "#!/bin/bash",
            f"# Members of the sweep {array.name}; written by seqrl sweep.",
            *(f"#PBS {line}" for line in lines),
            "",
            "index=${PBS_ARRAY_INDEX:-$SEQRL_INDEX}",
            "restarts=${SEQRL_RESTARTS:-0}",
            "trap : TERM  # the member saves; this script must live to submit it again",
            f"{_member_command(array)} --index $index &",
            "member=$!",
            "wait $member; code=$?",
            "if [ $code -gt 128 ] && kill -0 $member 2>/dev/null; then kill -TERM $member; wait $member; code=$?; fi",
            *_LIMITS,
            "if [ $restarts -lt $limit ]; then",
            f"    qsub -v SEQRL_INDEX=$index,SEQRL_RESTARTS=$((restarts + 1)) {shlex.quote(str(array.script))}",
            "fi",
            "exit $code",
            "",
        ]
    )


def ranges(indices: Sequence[int]) -> str:
    """``0-3,7`` for 0, 1, 2, 3 and 7."""
    runs = [[index for _, index in run] for _, run in groupby(enumerate(indices), key=lambda pair: pair[1] - pair[0])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _quoted(path: str) -> str:
    """A path as the schedulers read it in a comment of the script."""
    return f'"{path}"' if " " in path else path


def _member_command(array: JobArray) -> str:
    words = [sys.executable, "-m", "seqrl_cli", "sweep", "run", array.name, "--runs-dir", str(array.root)]
    return shlex.join([*words, *array.words])
