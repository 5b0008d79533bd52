"""What the shell offers at <TAB>, asked for as a shell does: in a process of its own, by environment variables."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqrl_cli.cli import complete
from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.render.video import VIEWS
from seqrl_cli.workflows.report.table import FORMATS

pytestmark = pytest.mark.slow

ASK = """
import contextlib, io, json, os, sys
from seqrl_cli.cli.app import app

def offered(line):
    os.environ.update(COMP_WORDS=line, COMP_CWORD=str(line.count(" ")))
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        app(prog_name="seqrl")
    return told.getvalue().split()

answers = {line: offered(line) for line in sys.argv[1:]}
heavy = ("torch", "gymnasium", "h5py", "matplotlib", "scipy", "imageio", "mujoco", "numpy")
print(json.dumps([answers, [name for name in heavy if name in sys.modules]]))
"""


def ask(runs: Path, *lines: str) -> tuple[dict[str, list[str]], list[str]]:
    """What is offered for each line, and which heavy packages that took."""
    environment = {**os.environ, "_SEQRL_COMPLETE": "complete_bash", "SEQRL_RUNS": str(runs)}
    done = subprocess.run([sys.executable, "-c", ASK, *lines], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers, heavy = json.loads(done.stdout)
    return answers, heavy


RUN = "sim/hopper-medium/gpt-s42"
OFFERS = {
    "seqrl tra": ["train"],
    "seqrl train sim/hopper-medium-": ["sim/hopper-medium-expert", "sim/hopper-medium-replay"],
    "seqrl train sim/hopper-medium train.learn": ["train.learning_rate="],
    "seqrl train --arch ": complete.architectures(),
    "seqrl train --size l": ["laptop"],
    "seqrl train --preset faster-tt/hop": ["faster-tt/hopper-medium-v2"],
    "seqrl plan s": [RUN],
    "seqrl plan plan.beam": ["plan.beam_width="],
    "seqrl table -f ": list(FORMATS),
    "seqrl table sim/hopper-medium": [RUN, "sim/hopper-medium"],
    "seqrl render --view s": ["software"],
    "seqrl render --view ": list(VIEWS),
    "seqrl collect hopper --policy ": ["random", "medium", "expert", RUN],
    "seqrl presets show faster-tt/wal": ["faster-tt/walker2d-medium-v2"],
    "seqrl runs show sim": [RUN],
    "seqrl plan --runs-dir /nowhere s": [],
}


def test_offers_and_imports_nothing_heavy(made_runs):
    answers, heavy = ask(made_runs, *OFFERS)
    assert answers == OFFERS and heavy == []


def test_the_run_directory_on_the_line_comes_first(made_runs, tmp_path):
    line = f"seqrl plan --runs-dir {made_runs} s"
    assert ask(tmp_path, line, "seqrl plan s")[0] == {line: [RUN], "seqrl plan s": []}


def test_options_offer_what_the_commands_take():
    assert set(ARCHITECTURES) == set(complete.architectures())
