"""Every command of the README runs as it is written, at sizes that take seconds, and those that fetch as a dry run."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from seqrl_cli.data.d4rl import write_d4rl
from seqrl_cli.data.episodes import Episodes
from tests.cli.conftest import TINY_ODT, TINY_PLAN, TINY_TRAIN, TINY_TUNE, invoke, succeed
from tests.cli.test_policies import TINY as TINY_POLICY

README = Path(__file__).parents[2] / "README.md"
SMALL = {
    "demo": ("--dry-run",),
    "download": (),
    "collect": ("-n", "300"),
    "train": TINY_TRAIN,
    "finetune-online": TINY_TUNE,
    "plan": TINY_PLAN,
    "render": ("--every", "3"),
}


def commands() -> list[str]:
    """Lines of the README's code blocks that call seqrl by itself, without their comments."""
    blocks = re.findall(r"^```\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("seqrl ")]


def test_the_readme_has_every_command_of_the_chain():
    verbs = {shlex.split(line)[1] for line in commands()}
    assert verbs >= {"demo", "download", "discretize", "train", "plan", "render", "table", "collect", "runs", "info"}


@pytest.fixture(scope="module")
def seeds(made_runs, tmp_path_factory):
    """Made once: beside the run that is there, a retnet, an odt, and a plan of the retnet."""
    runs = shutil.copytree(made_runs, tmp_path_factory.mktemp("readme") / "runs")
    succeed(runs, "train", "sim/hopper-medium", *TINY_ODT)
    succeed(runs, "train", "sim/hopper-medium", "--arch", "retnet", *TINY_TRAIN)
    succeed(runs, "plan", "retnet-s42", *TINY_PLAN)
    return runs


@pytest.fixture
def workplace(seeds, tmp_path, monkeypatch):
    """A folder with a run directory and the user's own file that the README speaks of."""
    monkeypatch.chdir(tmp_path)
    runs = Path(shutil.copytree(seeds, tmp_path / "runs"))
    rng = np.random.default_rng(0)
    ends = np.arange(60) % 12 == 11
    episodes = Episodes.from_flags(
        rng.normal(size=(60, 11)), rng.uniform(-1, 1, (60, 3)), rng.normal(size=60), ends, np.zeros(60)
    )
    write_d4rl(tmp_path / "path/to/file.hdf5", episodes, {})
    return runs


@pytest.mark.parametrize("line", commands())
def test_command_as_written(workplace, line):
    words = shlex.split(line)[1:]
    if "import" in words or "RUN" in words:
        pytest.skip("tested with real folders in test_exchange.py")
    small = SMALL.get(words[0], ())
    if any(word.endswith("-v2") for word in words) and words[0] in ("train", "download"):
        small = ("--dry-run",)
    if words[0] in ("train", "plan") and re.search(r"\b(odt|dt|bc)\b", line):
        train = TINY_ODT[2:] if "odt" in words else TINY_POLICY
        small = {"train": train, "plan": ("plan.max_steps=6",)}[words[0]]
    result = invoke(workplace, *words, *small)
    assert result.exit_code == 0, result.output
    assert result.stdout or words[0] in ("render",), line
