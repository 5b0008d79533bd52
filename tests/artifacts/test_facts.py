"""What a dataset states of itself: written with it, read once, and enough to train without its environment."""

from __future__ import annotations

import os
from pathlib import Path

import gymnasium
import h5py
import numpy as np
import pytest

from seqrl_cli.artifacts import facts as facts_module
from seqrl_cli.artifacts.facts import DatasetFile, write_dataset
from seqrl_cli.artifacts.locate import dataset_config, locate
from seqrl_cli.artifacts.tokens import ensure_tokens
from seqrl_cli.config.extras import is_installed
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import list_datasets
from seqrl_cli.data.domains import task_of
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats import d4rl
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.envs import limits
from seqrl_cli.envs.limits import environment_limits, known_step_limit
from seqrl_cli.envs.trust import accept
from seqrl_cli.errors import SeqrlError
from seqrl_cli.reports.provenance import step_limit_of
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoint_folders import saved_steps, step_folder
from seqrl_cli.training.checkpoints import read_model
from seqrl_cli.workflows.train.run import TrainRequest
from seqrl_cli.workflows.train.run import run as train_model

pytestmark = pytest.mark.slow

NAME, ENVIRONMENT, LIMIT = "collected/reacher", "Reacher-v5", 50
TINY = {
    "model.n_layer": 1,
    "model.n_head": 1,
    "model.width": 8,
    "model.sequence_length": 10,
    "train.updates": 2,
    "train.batch_size": 4,
}
OF = {"gpt": {}, "dt": {"policy.time_embedding": True}}
OWN = ("step_limit", "action_low", "action_high", "episodes_sha256")


def reaching(seed: int = 0) -> Episodes:
    """Four whole episodes of ENVIRONMENT's sizes, whose actions are far from its bounds."""
    rng, rows = np.random.default_rng(seed), 4 * LIMIT
    ends = np.arange(rows) % LIMIT == LIMIT - 1
    return Episodes.from_flags(
        rng.normal(size=(rows, 10)), rng.uniform(-0.3, 0.2, (rows, 2)), rng.normal(size=rows), ends & False, ends
    )


def forget(path: Path, *names: str) -> None:
    """Make a file what an older version wrote, at the same time."""
    state = path.stat()
    with h5py.File(path, "r+") as file:
        for name in names:
            del file.attrs[name]
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def train(store: RunStore, arch: str, name: str):
    ref, config = dataset_config(store, NAME, size="laptop", overrides={"model.arch": arch, **TINY, **OF[arch]})
    request = TrainRequest(ref, config, name=name, device="cpu", threads=1)
    train_model(request, Console(quiet=True))
    run = request.run
    return read_model(step_folder(run.checkpoints, saved_steps(run.checkpoints)[-1]))


@pytest.fixture
def store(tmp_path) -> RunStore:
    store = RunStore(tmp_path / "runs")
    write_dataset(store.dataset(NAME).dataset, reaching(), {"env_id": ENVIRONMENT, "source": "collected"})
    return store


def uninstall(monkeypatch) -> None:
    """As if no environment could be made, and none were known."""

    def missing(env_id, **_):
        raise SeqrlError(f"there is no environment {env_id!r} here", "install it")

    monkeypatch.setattr(limits, "layout_of", missing)
    monkeypatch.setattr(limits, "episode_limit", lambda env_id: None)


@pytest.mark.parametrize("arch", ["gpt", "dt"])
def test_what_is_installed_does_not_change_what_is_trained(store, arch, monkeypatch):
    installed = train(store, arch, "installed")
    uninstall(monkeypatch)
    missing = train(store, arch, "missing")
    assert installed.keys() == missing.keys()
    assert all(bool((installed[name] == missing[name]).all()) for name in installed)
    if arch == "dt":
        assert len(installed["embed_time.weight"]) == LIMIT
        assert installed["normalizer.action_low"].tolist() == [-1, -1]


def test_a_dataset_of_an_older_version_is_trained_on_as_before(store, monkeypatch):
    forget(store.dataset(NAME).dataset, *OWN)
    ref = locate(store, NAME)
    assert ref.step_limit == LIMIT
    assert [bound.tolist() for bound in ref.action_bounds(reaching())] == [[-1, -1], [1, 1]]
    uninstall(monkeypatch)
    low, high = ref.action_bounds(reaching())
    assert ref.step_limit == 1000 and (low > -0.31).all() and (high < 0.21).all()


@pytest.mark.parametrize("arch", ["gpt", "dt"])
def test_the_attributes_are_opened_once_in_a_training(store, arch, monkeypatch):
    opened = []

    def counted(file):
        opened.append(Path(file.filename).name)
        return native_attributes(file)

    native_attributes = d4rl.native_attributes
    monkeypatch.setattr(d4rl, "native_attributes", counted)
    train(store, arch, "run")
    assert opened == ["dataset.h5"]


def test_facts_are_read_anew_when_the_file_is_another(store):
    file = DatasetFile(store.dataset(NAME).dataset)
    first = file.read()
    assert file.read() is first
    write_dataset(file.path, reaching(1), {"env_id": ENVIRONMENT})
    assert file.read().episodes_sha256 == reaching(1).fingerprint() != first.episodes_sha256


def test_the_same_dataset_has_the_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        write_dataset(tmp_path / name, reaching(), {"env_id": ENVIRONMENT})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_bounds_survive_the_file_to_the_bit(tmp_path, monkeypatch):
    odd = np.float32([0.1, -1 / 3]), np.float32([0.4, np.inf])
    monkeypatch.setattr(facts_module, "environment_limits", lambda *_: limits.EnvironmentLimits(7, odd))
    write_dataset(tmp_path / "a.h5", reaching(), {"env_id": "Odd-v0"})
    facts = DatasetFile(tmp_path / "a.h5").read()
    low, high = facts.action_bounds
    assert facts.step_limit == 7 and (np.float32(low) == odd[0]).all()
    assert np.float32(high).tolist() == [np.float32(0.4), reaching().actions[:, 1].max()]


def test_the_limit_of_an_environment_in_a_module(tmp_path):
    env_id = "tests.artifacts.lasting:Lasting-v0"
    accept(env_id)
    write_dataset(tmp_path / "a.h5", reaching(), {"env_id": env_id})
    facts = DatasetFile(tmp_path / "a.h5").read()
    assert facts.step_limit == 77 and facts.action_bounds[0].tolist() == [-2, -2]


def test_damaged_facts_are_no_facts(tmp_path):
    stated = {"env_id": 3, "step_limit": "long", "action_low": "[1", "action_high": '["a"]', "reference_min": "low"}
    write_d4rl(tmp_path / "a.h5", reaching(), stated)
    facts = DatasetFile(tmp_path / "a.h5").read()
    assert (facts.env_id, facts.step_limit, facts.action_bounds, facts.reference_scores) == (None,) * 4


def test_environments_of_the_catalogue_are_known_without_their_packages():
    for spec in list_datasets():
        assert known_step_limit(spec.env_id), spec.env_id
        if spec.extra and is_installed(spec.extra) and not task_of(spec.env_id):
            env = gymnasium.make(spec.env_id)
            assert env.spec.max_episode_steps == known_step_limit(spec.env_id), spec.env_id
            assert (env.action_space.low == -1).all() and (env.action_space.high == 1).all(), spec.env_id
            env.close()


def test_an_environment_whose_package_is_missing(monkeypatch):
    monkeypatch.setattr("seqrl_cli.envs.registry.is_installed", lambda extra: False)
    known = environment_limits("PointMaze_UMaze-v3", 2)
    assert known.step_limit == 300 and [bound.tolist() for bound in known.action_bounds] == [[-1, -1], [1, 1]]
    assert environment_limits("d4rl/kitchen-mixed-v0", 9).step_limit == 280


class Heard(Console):
    """A console that remembers warnings."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def test_a_dataset_that_was_replaced_by_an_older_file_is_discretized_anew(store, tmp_path):
    console = Heard()
    first = ensure_tokens(locate(store, NAME), DataConfig(bins=10), console)
    path = store.dataset(NAME).dataset
    write_dataset(tmp_path / "other.h5", reaching(1), {"env_id": ENVIRONMENT})
    os.utime(tmp_path / "other.h5", (1e9, 1e9))
    os.replace(tmp_path / "other.h5", path)
    second = ensure_tokens(locate(store, NAME), DataConfig(bins=10), console)
    assert second.fingerprint != first.fingerprint
    assert len(console.warnings) == 1 and "has changed since it was discretized" in console.warnings[0]


def test_a_dataset_of_an_older_version_in_place_of_a_newer_one(store, tmp_path):
    console = Heard()
    first = ensure_tokens(locate(store, NAME), DataConfig(bins=10), console)
    path = store.dataset(NAME).dataset
    forget(path, *OWN)  # the same arrays
    assert ensure_tokens(locate(store, NAME), DataConfig(bins=10), console).fingerprint == first.fingerprint
    write_d4rl(path, reaching(1), {"env_id": ENVIRONMENT})
    os.utime(path, (1e9, 1e9))
    assert ensure_tokens(locate(store, NAME), DataConfig(bins=10), console).fingerprint != first.fingerprint
    assert len(console.warnings) == 1


def test_tokens_of_an_older_version_are_compared_by_time(store):
    console = Heard()
    first = ensure_tokens(locate(store, NAME), DataConfig(bins=10), console)
    folder = store.dataset(NAME)
    forget(folder.dataset, *OWN)
    forget(folder.tokens, "episodes_sha256")
    again = ensure_tokens(locate(store, NAME), DataConfig(bins=10), console)
    assert again.fingerprint == first.fingerprint and not console.warnings


def test_the_step_limit_behind_an_episode_is_its_datasets(store, monkeypatch):
    episode = store.dataset(NAME).run("gpt-s0").plans / "H1" / "episode-000.json"
    uninstall(monkeypatch)
    assert step_limit_of(ENVIRONMENT, episode) == LIMIT
    assert step_limit_of("Another-v0", episode) is None


def test_images_with_colours_first_are_those_that_were_written(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (20, 4, 36, 36)).astype(np.uint8)
    ends = np.arange(20) % 10 == 9
    episodes = Episodes.from_flags(images, np.zeros(20, np.int64), np.ones(20), np.zeros(20, bool), ends)
    store = RunStore(tmp_path)
    write_dataset(store.dataset(NAME).dataset, episodes, {"source": "collected"})
    assert locate(store, NAME).load_episodes().observations.shape == (20, 36, 36, 4)
