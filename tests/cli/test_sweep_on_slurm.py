"""Scripts of job arrays; and where Slurm is installed, a real array that is preempted, and loses a node."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from seqrl_cli.launch.job_arrays import JobArray, pbs_script, ranges, slurm_script, submit_command
from seqrl_cli.launch.slurm_jobs import SlurmLauncher
from seqrl_cli.launch.task import Task
from tests.cli.conftest import TINY_TRAIN, assert_refused
from tests.cli.slurm_cluster import Slurm, is_possible, slurm_cluster
from tests.cli.sweeps import DATASET, LONG, has_checkpoint, hashes, make_serial
from tests.processes import until

ARRAY = JobArray(
    kind="slurm",
    name="lr",
    root=Path("/data/my runs"),
    logs=Path("/data/my runs/sweeps/lr/logs"),
    script=Path("/data/my runs/sweeps/lr/slurm.sh"),
    indices=(0, 1, 2, 5),
    cpus=4,
    gpus=1,
    time="4:00:00",
    options=("partition=gpu",),
    at_once=2,
)
SLURM = f"""#!/bin/bash
# Members of the sweep lr; written by seqrl sweep.
#SBATCH --job-name=seqrl-lr
#SBATCH --array=0-2,5%2
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --gpus=1
#SBATCH --time=4:00:00
#SBATCH --output="/data/my runs/sweeps/lr/logs/slurm-%a.log"
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --partition=gpu

srun --kill-on-bad-exit=1 {sys.executable} -m seqrl_cli sweep run lr --runs-dir '/data/my runs' \
--index $SLURM_ARRAY_TASK_ID
code=$?
limit=0  # an exit code of 1 or 2 is a mistake, which another start would repeat
[ $code -gt 128 ] && limit=3  # killed
[ $code -eq 130 ] && limit=100  # stopped, by the time limit for example, after saving
if [ ${{SLURM_RESTART_COUNT:-0}} -lt $limit ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
"""


def test_the_script_for_slurm():
    assert slurm_script(ARRAY) == SLURM


@pytest.mark.parametrize("script", [slurm_script(ARRAY), pbs_script(ARRAY)], ids=["slurm", "pbs"])
def test_bash_accepts_the_scripts(script):
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("code", [0, 1, 2, 130, 137])
def test_a_job_is_queued_again_if_it_was_stopped_or_killed(tmp_path, code):
    """The script itself, with stand-ins for Slurm's commands."""
    for name, body in {"srun": f"exit {code}", "scontrol": f"echo $1 >> {tmp_path}/called"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_ID": "7"}
    assert subprocess.run(["bash"], input=SLURM, env=variables, text=True).returncode == code
    assert (tmp_path / "called").exists() == (code > 2)


@pytest.mark.parametrize("code", [0, 1, 130])
def test_a_stopped_member_of_pbs_is_submitted_again(tmp_path, code):
    array = JobArray(**{**vars(ARRAY), "kind": "pbs", "script": tmp_path / "pbs.sh"})
    (tmp_path / "qsub").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    (tmp_path / "qsub").chmod(0o755)
    script = pbs_script(array).replace(sys.executable, "python-of-the-node")
    (tmp_path / "python-of-the-node").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "python-of-the-node").chmod(0o755)
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PBS_ARRAY_INDEX": "5"}
    assert subprocess.run(["bash"], input=script, env=variables, text=True).returncode == code
    again = (tmp_path / "called").read_text() if code == 130 else ""
    assert again == (f"-v SEQRL_INDEX=5,SEQRL_RESTARTS=1 {tmp_path}/pbs.sh\n" if code == 130 else "")
    assert (tmp_path / "called").exists() == (code == 130)


def test_submissions():
    assert ranges((0, 1, 2, 5)) == "0-2,5" and ranges((3,)) == "3"
    assert submit_command(ARRAY) == ["sbatch", str(ARRAY.script)]
    pbs = JobArray(**{**vars(ARRAY), "kind": "pbs"})
    assert submit_command(pbs)[:3] == ["qsub", "-J", "0-5%2"]
    assert submit_command(JobArray(**{**vars(pbs), "indices": (3,)}))[:3] == ["qsub", "-v", "SEQRL_INDEX=3"]


def test_a_scheduler_that_is_not_there(seqrl, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for kind, program in (("slurm", "sbatch"), ("pbs", "qsub")):
        refused = seqrl("sweep", DATASET, "--seeds", "1-2", *LONG, "--on", kind, "--submit")
        assert_refused(refused, 1, f"there is no {program} on this machine", "--submit")


@pytest.mark.slow
def test_a_job_that_is_stopped_before_it_has_a_number_is_cancelled(monkeypatch, tmp_path):
    """Stand-ins for Slurm's programs: one is slow to tell the number, and waits for the job as Slurm does."""
    programs = {
        "sbatch": f"touch {tmp_path}/asked; sleep 1; echo 7\n"
        f"for i in $(seq 400); do [ -e {tmp_path}/cancelled ] && break; sleep 0.05; done",
        "scancel": f"echo $1 > {tmp_path}/cancelled",
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    array = replace(ARRAY, script=tmp_path / "slurm.sh")
    with SlurmLauncher(array, 1) as launcher:
        launcher.start(Task("member", (), tmp_path, index=0))
        until((tmp_path / "asked").exists, 60)
    assert (tmp_path / "cancelled").read_text() == "7\n"


@pytest.fixture
def slurm():
    if not is_possible():
        pytest.skip("needs root, and Slurm and munge: apt-get install slurmctld slurmd slurm-wlm munge")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # sockets have short paths
    with slurm_cluster(folder) as cluster:
        yield cluster
    shutil.rmtree(folder, ignore_errors=True)


def sweep(cluster: Slurm, runs: Path) -> subprocess.CompletedProcess:
    words = ["sweep", DATASET, "--arch", "gpt", "--seeds", "1-3", *LONG, "--on", "slurm", "--submit"]
    command = [sys.executable, "-m", "seqrl_cli", *words, "--runs-dir", str(runs)]
    return subprocess.run(command, env=cluster.environment, capture_output=True, text=True)


@pytest.mark.slow
def test_an_array_is_preempted_and_loses_a_node_and_the_weights_are_those_of_serial_runs(slurm, made_runs, tmp_path):
    runs = Path(shutil.copytree(made_runs, tmp_path / "runs"))
    names = [f"gpt-s{seed}" for seed in (1, 2, 3)]
    submitted = sweep(slurm, runs)
    assert submitted.returncode == 0 and "submitted as " in submitted.stdout, submitted.stderr
    assert "is still in Slurm's queue" in sweep(slurm, runs).stderr
    until(lambda: all(has_checkpoint(runs, name) for name in names[:2]), 300)
    assert {slurm.queue()[index] for index in (0, 1)} == {("RUNNING", "n1"), ("RUNNING", "n2")}
    job = submitted.stdout.split("submitted as ")[1].split()[0]
    preempted, other = sorted((0, 1), key=lambda index: slurm.queue()[index][1])  # on n1, on n2
    slurm.call("scontrol", "requeue", f"{job}_{preempted}")  # what a preemption does
    log = runs / "sweeps/hopper-medium-gpt/logs"
    until(lambda: "interrupted" in (log / f"slurm-{preempted}.log").read_text(), 120)
    slurm.cut_power("n2")
    until(lambda: slurm.queue().get(other, ("", ""))[0] == "PENDING", 300)
    until(lambda: not slurm.queue(), 1200)
    serial = Path(shutil.copytree(made_runs, tmp_path / "serial"))
    make_serial(serial, range(1, 4), "gpt")
    assert hashes(runs, names) == hashes(serial, names)
    assert "resuming from update" in (log / f"slurm-{other}.log").read_text()


@pytest.mark.slow
def test_trials_are_jobs(slurm, made_runs, tmp_path):
    pytest.importorskip("optuna")
    runs = Path(shutil.copytree(made_runs, tmp_path / "runs"))
    words = ("tune", DATASET, *TINY_TRAIN, "train.learning_rate=log:1e-4..1e-2", "--trials", "2", "--on", "slurm")
    command = [sys.executable, "-m", "seqrl_cli", *words, "--json", "--runs-dir", str(runs)]
    done = subprocess.run(command, env=slurm.environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert [trial["state"] for trial in json.loads(done.stdout)["trials"]] == ["complete"] * 2
