"""MuJoCo is imported whatever ``MUJOCO_GL`` says, and nowhere else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import seqrl_cli
from tests.processes import ENVIRONMENT

PACKAGE = Path(seqrl_cli.__file__).parent


def test_only_one_module_imports_mujoco():
    pattern = re.compile(r"^\s*(import|from) (mujoco|gymnasium\.envs\.mujoco)", re.M)
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if pattern.search(path.read_text())}
    assert found == {"envs/simulator.py"}


USED = """
import os
from seqrl_cli.envs.make import make_env
make_env("Hopper-v4").close()
from seqrl_cli.envs import simulator
print(os.environ["MUJOCO_GL"], simulator.useless_backend)
"""


@pytest.mark.slow
@pytest.mark.parametrize("value", ["nonsense", "disable", "osmesa", "egl"])
def test_environments_are_made_whatever_the_variable_says(value):
    environment = {**ENVIRONMENT, "MUJOCO_GL": value, "MUJOCO_EGL_DEVICE_ID": "99"}
    done = subprocess.run([sys.executable, "-c", USED], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left, useless = done.stdout.split()
    assert left == value and useless in {"nonsense": ["nonsense"], "disable": ["None"]}.get(value, [value, "None"])
