"""The planning benchmark: what it compares ours with is exact, and its options and JSON are as documented."""

from __future__ import annotations

import json
import sys

import pytest

from seqrl_cli.models.decoding.interface import Window
from tests.benchmarks import planning
from tests.benchmarks.plain_decoders import PLAIN
from tests.contracts.decoder import check_equals_reference
from tests.models.gpt.naive import make_model, naive


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("slides", [True, False])
def test_other_algorithms_keep_the_contract(name, slides):
    model, window = make_model(), Window(3, slides)
    check_equals_reference(PLAIN[name](model, window), naive(model, window), past=10, steps=16)


TINY = "--horizon 2 --beam 2 --window growing --threads 1 --sizes hopper --repeats 1 --json"


@pytest.mark.slow
def test_json(capsys):
    algorithms = ("--precision", "float32", "bf16", "--against", "plain", "cached-inputs", "retnet")
    planning.main([*TINY.split(), "--envs", "1", "2", *algorithms])
    results = json.loads(capsys.readouterr().out)
    assert [(each["envs"], each["planner"]) for each in results] == [
        (envs, name) for envs in (1, 2) for name in ("seqrl", "seqrl, bf16", "plain", "cached-inputs", "retnet")
    ]
    assert {"horizon", "beam", "window", "envs", "threads", "seconds_per_plan"} <= results[0].keys()


@pytest.mark.slow
def test_parts(capsys):
    planning.main([*TINY.split(), "--parts", "--against"])
    (result,) = json.loads(capsys.readouterr().out)
    assert all(seconds > 0 for seconds in result["parts"].values())


@pytest.mark.parametrize("option", ["--tt-folder", "--ftt-folder"])
def test_a_folder_without_the_original(option, tmp_path, capsys):
    with pytest.raises(SystemExit):
        planning.main([option, str(tmp_path)])
    assert f"{option}: {tmp_path} is no copy of that project: it has no trajectory/" in capsys.readouterr().err


def test_a_copy_of_an_original_that_shows_progress(tmp_path, capsys):
    for name, code in {
        "planning/beam.py": "from tqdm.auto import trange\ndef beam_plan(*_, **__): return [*trange(2, leave=False)]",
        "models/gpt/gpt.py": "import torch\nclass GPT(torch.nn.Identity): pass",
    }.items():
        file = tmp_path / "trajectory" / name
        file.parent.mkdir(parents=True)
        file.write_text(code)
    planning.main([*TINY.split(), "--against", "--ftt-folder", str(tmp_path)])
    planners = [each["planner"] for each in json.loads(capsys.readouterr().out)]
    assert planners == ["seqrl", "faster-trajectory-transformer"]
    assert "tqdm.auto" not in sys.modules
