"""``finetune`` from the command line: killed anywhere it ends with the same bits, and its plans are drawn."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import TINY_PLAN, assert_refused, invoke, succeed
from tests.cli.weights import same_weights
from tests.processes import ENVIRONMENT

pytestmark = pytest.mark.slow

OTHER = "sim/hopper-medium-replay"
WORDS = ("finetune", "gpt-s42", OTHER, "--adapter", "lora", "--rank", "2", "--updates", "6", "--threads", "1")

KILLER = """
import os, signal, sys
from itertools import count
from seqrl_cli.__main__ import main
part, number = sys.argv[1], int(sys.argv[2])
writes = count(1)
def notice(event, arguments):
    if event == "os.rename" and part in str(arguments[1]) and next(writes) == number:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(notice)
sys.argv = ["seqrl", *sys.argv[3:]]
main()
"""


@pytest.fixture
def both(runs) -> Path:
    """A run directory with a trained run and the data of another task."""
    succeed(runs, "download", OTHER, "data.transitions=600")
    return runs


def run_and_die(runs: Path, part: str, number: int, *words: str) -> None:
    """The command in a process of its own, which is killed before the ``number``-th file of a name is in its place."""
    command = [sys.executable, "-c", KILLER, part, str(number), *WORDS, *words, "--runs-dir", str(runs)]
    killed = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def test_killed_anywhere_it_resumes_to_the_same_bits(both):
    succeed(both, *WORDS, "--name", "whole")
    whole = both / OTHER / "whole"
    # before its record is written, before the first checkpoint is named, in the middle, and before the last one
    for name, part, number in (("a", "run.json", 1), ("b", "last", 1), ("c", "00000004", 1), ("d", "00000006", 1)):
        run_and_die(both, part, number, "--name", name)
        again = succeed(both, *WORDS, "--name", name, "--json")
        assert json.loads(again.stdout)["updates"] == 6
        assert same_weights(whole, both / OTHER / name), name


def test_its_plans_are_drawn_and_tabulated(both):
    succeed(both, *WORDS)
    planned = json.loads(succeed(both, "plan", "gpt-s42-lora", *TINY_PLAN, "--json").stdout)
    drawn = json.loads(succeed(both, "render", "gpt-s42-lora", "--every", "2", "--json").stdout)
    video = Path(drawn["path"])
    assert video.suffix in (".gif", ".mp4") and video.stat().st_size > 1000
    assert OTHER in str(video) and "gpt-s42-lora" in str(video) and "gpt-s42-lora" in planned["folder"]
    assert "gpt lora" in succeed(both, "table").stdout


def test_what_cannot_be_fine_tuned_is_refused(both):
    tune = ("finetune", "gpt-s42", OTHER)
    assert_refused(invoke(both, *tune, "--adapter", "lora", "--rank", "0"), 2, "0", "")
    assert_refused(invoke(both, *tune, "--adapter", "lora", "finetune.rank=900"), 1, "rank", "")
    assert_refused(invoke(both, *tune, "--adapter", "prefix"), 1, "prefix", "lora or ia3")
    assert_refused(invoke(both, *tune, "--adapter", "lroa"), 2, "did you mean 'lora'?", "")
    succeed(both, "download", "sim/walker2d-medium", "data.transitions=300")
    assert_refused(invoke(both, "finetune", "gpt-s42", "sim/walker2d-medium", "--adapter", "lora"), 1, "walker2d", "")
    assert not (both / OTHER / "gpt-s42-lora").exists()


@pytest.mark.parametrize("adapter", ["lora", "ia3"])
def test_behaviour_cloning_takes_the_adapters_that_need_no_blocks(both, adapter):
    succeed(both, "train", "sim/hopper-medium", "--arch", "bc", "model.width=16", "--updates", "4")
    tune = ("finetune", "bc-s42", OTHER, "--updates", "4", "--adapter")
    succeed(both, *tune, adapter)
    succeed(both, "plan", f"bc-s42-{adapter}", "--episodes", "1", "plan.max_steps=6")
    assert_refused(invoke(both, *tune, "houlsby"), 1, "cannot be adapted by a houlsby", "lora or ia3")
