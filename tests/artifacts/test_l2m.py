"""L2M's published sets, from a mirror's folder with small files of their form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqrl_cli.config.extras import is_installed
from seqrl_cli.data.catalogue import list_datasets, published_elsewhere, resolve
from seqrl_cli.data.formats.d4rl import read_attributes, read_d4rl
from seqrl_cli.envs.fit import laid_out
from seqrl_cli.errors import UsageError
from tests.cli.conftest import Result, invoke


def publish(path: Path, size: int, actions: int, steps: int, episodes: int = 3) -> dict[str, np.ndarray]:
    """A flat .npz of a whole training."""
    rng = np.random.default_rng(0)
    rows = steps * episodes
    states = rng.normal(size=(rows, size))
    columns = {
        "observations": states,
        "next_observations": np.roll(states, -1, axis=0),
        "actions": rng.uniform(-1, 1, (rows, actions)).astype(np.float32),
        "rewards": rng.random(rows),
        "dones": np.arange(1, rows + 1) % steps == 0,
    }
    path.parent.mkdir(parents=True)
    np.savez(path, **columns)
    return columns


def fetched(tmp_path: Path, name: str) -> Result:
    return invoke(tmp_path / "runs", "download", name, "--offline", "--mirrors", f"l2m={tmp_path / 'mirror'}")


def test_names_tasks_and_addresses():
    specs = [spec for spec in list_datasets() if spec.source == "l2m"]
    assert len(specs) == 66
    hammer, catch = resolve("l2m/metaworld/hammer-v2"), resolve("l2m/dmc/ball_in_cup-catch")
    assert hammer.env_id == "metaworld/hammer-v3" and hammer.url.endswith(
        "ml-jku/meta-world/resolve/main/2M/hammer-v2.npz"
    )
    assert catch.url.endswith("1M/ball_in_cup_catch.npz") and catch.stand_in == "sim/dmc/ball_in_cup-catch"
    assert (hammer.transitions, catch.transitions, hammer.licence) == (2_000_000, 1_000_000, "MIT")


def test_data_that_is_not_fetched_says_where_it_is():
    assert len([name for name in published_elsewhere() if name.startswith("dqn-replay/")]) == 46
    with pytest.raises(
        UsageError, match="dqn-replay/pong is published at gs://atari-replay-datasets/dqn as gzip"
    ) as error:
        resolve("dqn-replay/pong")
    assert "data.env_id=atari/Pong" in error.value.hint


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("metaworld"), reason="metaworld is not installed")
def test_a_task_of_version_2_is_played_in_version_3_and_that_is_said(tmp_path):
    columns = publish(tmp_path / "mirror/2M/hammer-v2.npz", 39, 4, 200)
    result = fetched(tmp_path, "l2m/metaworld/hammer-v2")
    assert result.exit_code == 0, result.stderr
    assert "recorded in version 2 of Meta-World; it is played in version 3" in result.stderr
    path = tmp_path / "runs/l2m/metaworld/hammer-v2/dataset.h5"
    episodes = read_d4rl(path)
    assert episodes.lengths.tolist() == [200] * 3 and not episodes.terminals.any()
    assert np.array_equal(episodes.observations, columns["observations"].astype(np.float32))
    assert read_attributes(path)["env_id"] == "metaworld/hammer-v3"


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("dmc"), reason="dm_control is not installed")
def test_observations_of_the_control_suite_get_their_places(tmp_path):
    columns = publish(tmp_path / "mirror/1M/cartpole_balance.npz", 5, 1, 1000, 2)
    result = fetched(tmp_path, "l2m/dmc/cartpole-balance")
    assert result.exit_code == 0, result.stderr
    episodes = read_d4rl(tmp_path / "runs/l2m/dmc/cartpole-balance/dataset.h5")
    assert episodes.observations.shape == (2000, 204) and episodes.lengths.tolist() == [1000, 1000]
    used = np.flatnonzero(episodes.observations.any(axis=0))
    assert used.tolist() == [14, 15, 41, 42, 43]  # two velocities, three numbers of the position
    assert np.array_equal(episodes.observations[:, 41:44], columns["observations"][:, :3].astype(np.float32))


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("dmc"), reason="dm_control is not installed")
def test_observations_of_another_size_are_refused(tmp_path):
    publish(tmp_path / "mirror/1M/cartpole_balance.npz", 6, 1, 1000, 2)
    result = fetched(tmp_path, "l2m/dmc/cartpole-balance")
    assert result.exit_code == 1 and "6" in result.stderr and "l2m/dmc/cartpole-balance" in result.stderr


def test_images_of_one_channel_are_those_of_the_environment():
    from seqrl_cli.data.domains import task_of
    from seqrl_cli.data.episodes import Episodes

    task = task_of("atari/Pong")
    flags = np.arange(4) == 3
    images = np.zeros((4, 1, *task.shape), np.uint8)
    episodes = Episodes.from_flags(images, np.zeros(4, np.int64), np.zeros(4), flags, flags & False)
    assert laid_out(episodes, task.env_id, task.spaces).observations.shape == (4, 84, 84)
