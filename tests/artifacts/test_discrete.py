"""Discrete actions and images: recorded, kept, looked at, learnt and played."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from typer.testing import CliRunner

from seqrl_cli.artifacts.facts import DatasetFile, write_dataset
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.cli.app import app
from seqrl_cli.config.architectures import names_with
from seqrl_cli.config.extras import is_installed
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.data.space import BoxSpace, DiscreteSpace
from seqrl_cli.planning.episode_files import episode_path, read_array
from seqrl_cli.runs.store import RunStore

TAXI = next(name for name in ("Taxi-v3", "Taxi-v4") if name in gymnasium.registry)  # by the version of gymnasium
NAME = "collected/cartpole-v1-random"


def invoke(*arguments: str):
    return CliRunner().invoke(app, [*arguments, "--runs-dir", "runs"])


TINY = ("train.updates=4", "train.batch_size=8", "train.checkpoint_every=2", "model.n_layer=1", "model.width=24")
SEARCH = ("plan.horizon=2", "plan.beam_width=4", "plan.max_context_transitions=2")


def report(*arguments: str) -> dict:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_discrete_actions_are_collected_learnt_and_played(folder):
    assert invoke("collect", "CartPole-v1", "--policy", "random", "--transitions", "90").exit_code == 0
    ref = locate(RunStore(folder / "runs"), NAME)
    episodes = ref.load_episodes()
    assert episodes.spaces.action == DiscreteSpace(2) and set(episodes.actions) == {0, 1}
    assert episodes.spaces.observation.bounds[1][0] == np.float32(4.8)
    assert "observation 4, action 1" in invoke("info", NAME).stdout
    for arch in (*names_with("planner"), *names_with("policy")):
        report("train", NAME, "--arch", arch, "--dry-run", *TINY)
        report("train", NAME, "--arch", arch, *TINY)
        search = SEARCH if arch in names_with("planner") else ()
        played = report("plan", f"{NAME}/{arch}-s42", "--episodes", "2", "plan.max_steps=9", *search)
        assert played["episodes"] == 2 and 0 < played["mean_return"] <= 9
        actions = read_array(episode_path(Path(played["folder"]), 0), "actions")
        assert actions.dtype == np.int64 and set(actions) <= {0, 1}
    tuning = ("online.iterations=1", "online.envs=2", "online.updates=2", "online.eval_episodes=1")
    tuned = report("finetune-online", f"{NAME}/odt-s42", *tuning, "online.max_steps=9")
    assert tuned["iterations"] == 1 and tuned["return_after"] > 0
    assert report("plan", f"{NAME}/odt-s42-online", "--episodes", "1", "plan.max_steps=9")["episodes"] == 1


@pytest.mark.slow
def test_more_choices_than_bins_are_refused(folder):
    assert invoke("collect", "FrozenLake-v1", "--policy", "random", "--transitions", "50").exit_code == 0
    result = invoke("train", "collected/frozenlake-v1-random", "--arch", "gpt", "data.bins=3", *TINY)
    refusal = "has 4 discrete actions, each of which needs a bin, but data.bins = 3"
    assert result.exit_code == 1 and refusal in result.stderr
    assert "data.bins=4" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("env_id", [TAXI, "FrozenLake-v1"])
def test_states_are_vectors_that_are_1_at_the_state(folder, env_id):
    name = f"collected/{env_id.lower()}-random"
    assert invoke("collect", env_id, "--policy", "random", "--transitions", "50").exit_code == 0
    seen = locate(RunStore(folder / "runs"), name).load_episodes().observations
    assert (seen.sum(axis=1) == 1).all() and set(np.unique(seen)) == {0, 1}
    report("train", name, "--arch", "bc", *TINY)
    assert report("plan", f"{name}/bc-s42", "--episodes", "1", "plan.max_steps=5")["episodes"] == 1


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("atari"), reason="the package of atari is not installed")
def test_images_are_learnt_and_played_by_policies_and_refused_by_planners(folder):
    name = "collected/atari/freeway-scripted"
    assert invoke("collect", "atari/Freeway", "--transitions", "40").exit_code == 0
    for arch in names_with("policy"):
        windows = () if arch == "bc" else ("model.sequence_length=2", "plan.max_context_transitions=2")
        report("train", name, "--arch", arch, *TINY, *windows, "model.image_encoder=nature")
        played = report("plan", f"{name}/{arch}-s42", "--episodes", "1", "plan.max_steps=4")
        assert played["mean_steps"] == 4
    tuning = ("online.iterations=1", "online.envs=1", "online.updates=1", "online.eval_episodes=1")
    assert report("finetune-online", f"{name}/odt-s42", *tuning, "online.max_steps=4")["env_steps"] == 4
    for arch in names_with("planner"):
        result = invoke("train", name, "--arch", arch, *TINY)
        refusal = f"the observations of {name} are images, which a gpt or a retnet does not read"
        assert result.exit_code == 1 and refusal in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ["metaworld/reach-v3", "dmc/cartpole-balance", "procgen/coinrun"])
def test_every_domain_is_fine_tuned_online(folder, env_id):
    if not is_installed(env_id.partition("/")[0]):
        pytest.skip("its package is not installed")
    assert invoke("collect", env_id, "--transitions", "40", "--name", "a").exit_code == 0
    windows = ("model.sequence_length=2", "plan.max_context_transitions=2", "model.image_encoder=nature")
    report("train", "a", "--arch", "odt", *TINY, *windows)
    tuning = ("online.iterations=1", "online.envs=1", "online.updates=1", "online.eval_episodes=1")
    assert report("finetune-online", "a/odt-s42", *tuning, "online.max_steps=4")["env_steps"] == 4


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
