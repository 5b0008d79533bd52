"""Every shipped preset trains and plans, at its own settings, on a few transitions of the right sizes."""

import json

import numpy as np
import pytest

from seqrl_cli.config.presets import preset_names, resolve_config
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import write_d4rl
from tests.cli.conftest import invoke

SIZES = {"hopper": (11, 3), "halfcheetah": (17, 6), "walker2d": (17, 6), "ant": (27, 8)}
ENVIRONMENTS = {"hopper": "Hopper-v4", "halfcheetah": "HalfCheetah-v4", "walker2d": "Walker2d-v4", "ant": "Ant-v4"}


def family_of(preset: str) -> str:
    return next((family for family in SIZES if family in preset), "hopper")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A dataset of three short episodes for each family."""
    folder = tmp_path_factory.mktemp("families")
    rng = np.random.default_rng(0)
    for family, (observation, action) in SIZES.items():
        observations = rng.normal(size=(24, observation))
        ends = np.arange(24) % 8 == 7
        episodes = Episodes.from_flags(
            observations, rng.uniform(-1, 1, (24, action)), rng.normal(size=24), ends, np.zeros(24)
        )
        write_d4rl(folder / f"{family}.h5", episodes, {"env_id": ENVIRONMENTS[family]})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("preset", preset_names())
def test_preset_trains_for_two_updates(data, tmp_path, preset):
    path = data / f"{family_of(preset)}.h5"
    result = invoke(tmp_path, "train", path, "--preset", preset, "--size", "paper", "--updates", 2, "--json", "-q")
    assert result.exit_code == 0, result.output
    expected = resolve_config("x", size="paper", preset=preset)
    told = json.loads(result.stdout)
    assert told["updates"] == 2 and np.isfinite(told["loss"])
    config = next(tmp_path.rglob("config.yaml")).read_text()
    assert f"batch_size: {expected.train.batch_size}" in config


def plan_key(preset: str) -> str:
    """Presets that plan alike need planning once a family."""
    return family_of(preset) + resolve_config("x", size="paper", preset=preset).plan.model_dump_json()


@pytest.mark.slow
@pytest.mark.parametrize("preset", sorted({plan_key(name): name for name in preset_names()}.values()))
def test_preset_plans_one_step(data, tmp_path, preset):
    path = data / f"{family_of(preset)}.h5"
    words = ("--preset", preset, "--size", "paper", "--updates", 1)
    assert invoke(tmp_path, "train", path, *words, "model.n_layer=1", "model.width=16").exit_code == 0
    result = invoke(tmp_path, "plan", "--episodes", 1, "plan.max_steps=1", "--json", "-q")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["mean_steps"] == 1
