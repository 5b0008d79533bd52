"""The recipes for clusters: each is parsed, and each command in it is one of ours."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from tests.docs.commands import parse
from tests.docs.pages import ROOT

CLUSTER = ROOT / "presets" / "cluster"
SCRIPTS = ("torchrun.slurm", "torchrun.pbs", "spot.sh")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Container(Strict):
    name: str
    image: str
    resources: dict[Literal["requests", "limits"], dict[str, str]]
    volumeMounts: list[dict[Literal["name", "mountPath"], str]]


class Pod(Strict):
    containers: list[Container] = Field(min_length=1)
    volumes: list[dict[str, Any]]
    nodeSelector: dict[str, str] = {}
    tolerations: list[dict[Literal["key", "operator", "value", "effect"], str]] = []
    terminationGracePeriodSeconds: int = 30


class Template(Strict):
    spec: Pod


class HeadGroup(Strict):
    """Of KubeRay's ray.io/v1, where values of ``rayStartParams`` are strings."""

    rayStartParams: dict[str, str]
    template: Template


class WorkerGroup(HeadGroup):
    groupName: str
    replicas: int
    minReplicas: int
    maxReplicas: int


class RayCluster(Strict):
    rayVersion: str
    headGroupSpec: HeadGroup
    workerGroupSpecs: list[WorkerGroup]


class RayJob(Strict):
    entrypoint: str
    shutdownAfterJobFinishes: bool
    backoffLimit: int
    rayClusterSpec: RayCluster


class Resources(Strict):
    """Of SkyPilot's task YAML."""

    infra: str
    accelerators: str
    use_spot: bool
    disk_size: int
    image_id: str = Field(pattern="^docker:")
    job_recovery: dict[str, str | int]


class SkyTask(Strict):
    name: str
    resources: Resources
    envs: dict[str, str]
    run: str


def text(name: str) -> str:
    return (CLUSTER / name).read_text()


def arguments_for(script: str) -> list[str]:
    """The words after a script in the example in its first lines."""
    (line,) = [line for line in text(script).splitlines()[:4] if f"cluster/{script}" in line]
    quoted = re.search(r'ARGUMENTS="(.*?)"', line)
    return shlex.split(quoted[1] if quoted else line.partition(f"cluster/{script}")[2])


@pytest.mark.parametrize("name", SCRIPTS)
def test_bash_parses_scripts(name):
    assert subprocess.run(["bash", "-n", CLUSTER / name], capture_output=True).returncode == 0


@pytest.mark.parametrize("name", ["torchrun.slurm", "torchrun.pbs"])
def test_the_example_of_a_job_is_a_training(name):
    parse(("train", *arguments_for(name)))


def test_directives_of_slurm_come_first_and_ask_for_one_torchrun_per_node():
    lines = text("torchrun.slurm").splitlines()
    directives = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")]
    options = dict(re.fullmatch(r"--([a-z-]+)(?:=(\S+))?", one).groups() for one in directives)  # type: ignore[union-attr]
    assert options["ntasks-per-node"] == "1" and "requeue" in options and options["signal"].startswith("TERM@")
    first = next(place for place, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first:])


def test_directives_of_pbs_are_well_formed():
    directives = [line for line in text("torchrun.pbs").splitlines() if line.startswith("#PBS")]
    assert len(directives) >= 5
    assert all(re.fullmatch(r"#PBS -(N \w+|l [a-z]+=\S+|r y|j oe)", line) for line in directives)


@pytest.mark.parametrize("name", ["torchrun.slurm", "torchrun.pbs"])
def test_torchrun_has_only_options_that_it_knows(name):
    from torch.distributed.run import get_args_parser

    command = re.search(r"torchrun\s+(--.*?)-m seqrl_cli", text(name).replace("\\\n", " "), re.DOTALL)
    assert command
    plain = re.sub(r"\$\(\(.*?\)\)|\$\{.*?\}|\$\w+", "1", command[1])
    words = shlex.split(plain)
    options = get_args_parser().parse_args([*words, "-m", "seqrl_cli", "train"])
    assert options.max_restarts == 0 and options.training_script == "seqrl_cli"


def test_the_ray_job_has_the_form_of_kuberay():
    claim, job = yaml.safe_load_all(text("kuberay.yaml"))
    assert claim["kind"] == "PersistentVolumeClaim" and claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = RayJob.model_validate(job["spec"])
    for group in (spec.rayClusterSpec.headGroupSpec, *spec.rayClusterSpec.workerGroupSpecs):
        volumes = {one["name"] for one in group.template.spec.volumes}
        assert {mount["name"] for one in group.template.spec.containers for mount in one.volumeMounts} <= volumes
    words = shlex.split(spec.entrypoint)
    assert words[:2] == ["seqrl", "sweep"]
    parse(tuple(words[1:]))


def test_the_task_has_the_form_of_skypilot():
    task = SkyTask.model_validate(yaml.safe_load(text("skypilot.yaml")))
    words = shlex.split(task.run)
    assert words[:2] == ["bash", "/opt/seqrl/presets/cluster/spot.sh"]
    parse(("train", *words[3:], "--push", "file:///x"))


def test_the_image_is_made_of_known_steps():
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text("Dockerfile"), flags=re.MULTILINE))
    steps = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    assert steps[0][0] == "FROM"
    assert {step for step, _ in steps} <= {"FROM", "RUN", "COPY", "USER", "WORKDIR", "ENV"}
    assert "ENTRYPOINT" not in joined  # Ray and SkyPilot start their own processes
    extras = re.search(r"seqrl\[(.*?)\]", joined)
    known = (ROOT / "pyproject.toml").read_text()
    assert extras and all(re.search(rf"^{extra} = \[", known, re.MULTILINE) for extra in extras[1].split(","))


def test_the_mount_is_for_reading_only():
    values = yaml.safe_load(text("blobfuse2.yaml"))
    assert values["read-only"] is True and {"libfuse", "azstorage"} <= set(values["components"])


def test_the_page_names_every_file():
    page = (ROOT / "docs" / "cluster.md").read_text()
    assert all(path.name in page for path in Path(CLUSTER).iterdir())
