"""Discrete actions: recorded, kept, looked at; refused where a model would need to predict them."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from seqrl_cli.artifacts.facts import DatasetFile, write_dataset
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.cli.app import app
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.data.space import BoxSpace, DiscreteSpace
from seqrl_cli.data.spaces import UnsupportedSpacesError
from seqrl_cli.runs.store import RunStore

NAME = "collected/cartpole-v1-random"


def invoke(*arguments: str):
    return CliRunner().invoke(app, [*arguments, "--runs-dir", "runs"])


@pytest.mark.slow
def test_discrete_actions_are_collected_and_refused_by_the_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke("collect", "CartPole-v1", "--policy", "random", "--transitions", "50").exit_code == 0
    ref = locate(RunStore(tmp_path / "runs"), NAME)
    episodes = ref.load_episodes()
    assert episodes.spaces.action == DiscreteSpace(2) and set(episodes.actions) == {0, 1}
    assert episodes.spaces.observation.bounds[1][0] == np.float32(4.8)
    with pytest.raises(UnsupportedSpacesError):
        ref.load_vectors()
    assert "observation 4, action 1" in invoke("info", NAME).stdout
    for arch in ("gpt", "dt"):
        result = invoke("train", NAME, "--arch", arch)
        assert result.exit_code == 1 and f"the actions of {NAME} are discrete (2 choices)" in result.stderr


def vectors() -> Episodes:
    rng = np.random.default_rng(0)
    ends = np.arange(20) % 10 == 9
    return Episodes.from_flags(rng.normal(size=(20, 11)), rng.uniform(-1, 1, (20, 3)), np.ones(20), ends, ends)


def test_a_dataset_states_its_spaces_with_the_bounds_of_its_environment(tmp_path):
    path = tmp_path / "local" / "a" / "dataset.h5"
    write_dataset(path, vectors(), {"env_id": "Hopper-v4"})
    spaces = DatasetFile(path).read().spaces
    assert spaces.observation == BoxSpace((11,)) and spaces.action == BoxSpace((3,), "float32", (-1,), (1,))
    assert locate(RunStore(tmp_path), "local/a").load_episodes().spaces == spaces


def test_spaces_of_a_dataset_of_an_older_version_follow_from_its_arrays_and_bounds(tmp_path):
    path = tmp_path / "local" / "a" / "dataset.h5"
    write_d4rl(path, vectors(), {"action_low": "[-2, -2, -2]", "action_high": "[1, 2, 3]"})
    spaces = locate(RunStore(tmp_path), "local/a").load_episodes().spaces
    assert spaces.action == BoxSpace((3,), "float32", (-2,), (1, 2, 3)) and spaces.observation == BoxSpace((11,))
