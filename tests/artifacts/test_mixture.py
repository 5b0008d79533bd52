"""Several datasets in the place of one, from their names to the table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from seqrl_cli.artifacts.facts import write_dataset
from seqrl_cli.artifacts.locate import find_stored, locate
from seqrl_cli.artifacts.mixture import DatasetMixture
from seqrl_cli.cli.app import app
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.spaces import SizeMismatchError
from seqrl_cli.data.tokens_file import load_tokens
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import read_record
from seqrl_cli.runs.store import RunStore

NAME = "local/a+b"
TINY = ["train.updates=4", "train.batch_size=4", "train.log_every=2", "train.checkpoint_every=2"]
TINY += ["model.n_layer=1", "model.n_head=2", "model.width=16", "model.sequence_length=3"]
SEARCH = ["plan.horizon=2", "plan.beam_width=2", "plan.max_context_transitions=2"]


def recording(seed: int, episodes: int, observation_dim: int = 3) -> Episodes:
    """Noise in the sizes of Pendulum, five steps per episode."""
    rng, rows = np.random.default_rng(seed), 5 * episodes
    ends = np.arange(rows) % 5 == 4
    observations, actions = rng.normal(size=(rows, observation_dim)), rng.uniform(-1, 1, (rows, 1))
    return Episodes.from_flags(observations, actions, rng.normal(size=rows), np.zeros(rows), ends)


@pytest.fixture
def store(tmp_path) -> RunStore:
    """Two recordings of one environment, and one of another."""
    store = RunStore(tmp_path / "runs")
    for name, seed, episodes in (("a", 0, 4), ("b", 1, 3)):
        write_dataset(store.dataset(f"local/{name}").dataset, recording(seed, episodes), {"env_id": "Pendulum-v1"})
    write_dataset(store.dataset("other/long").dataset, recording(2, 2, observation_dim=4), {})
    return store


def seqrl(store: RunStore, *arguments: str):
    return CliRunner().invoke(app, [*arguments, "--runs-dir", str(store.root)])


def succeed(store: RunStore, *arguments: str) -> str:
    result = seqrl(store, *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("typed", ["local/a+local/b", "local/a+b", "{root}/local/a+b"])
def test_a_mixture_has_one_name(store, typed):
    store.dataset(NAME).path.mkdir()
    mixture = locate(store, typed.format(root=store.root))
    assert isinstance(mixture, DatasetMixture)
    assert mixture.id == NAME and mixture.datasets == ("local/a", "local/b")
    assert mixture.folder.path == store.root / "local" / "a+b"


def test_a_mixtures_own_folder_is_not_taken_for_a_users_file(store, monkeypatch):
    store.dataset(NAME).path.mkdir()
    monkeypatch.chdir(store.root)
    assert isinstance(locate(RunStore(Path(".")), NAME), DatasetMixture)


@pytest.mark.slow
def test_a_mixture_of_simulated_sets_repeats_its_run_without_their_settings(store):
    words = ["train", "sim/hopper-random+sim/hopper-medium", "--arch", "bc", "model.width=16", "train.updates=2"]
    succeed(store, *words, "data.transitions=300")
    assert "already trained" in seqrl(store, *words).stderr


def test_names_that_make_no_mixture(store):
    for typed, message in (("local/a+", "with nothing"), ("local/a+local/a", "local/a is named twice")):
        with pytest.raises(UsageError, match=message):
            locate(store, typed)
    with pytest.raises(UsageError, match="nowhere"):
        locate(store, "local/a+nowhere")
    assert find_stored(store, "local/a+nowhere") is None and find_stored(store, "local/none") is None


def test_a_mixture_holds_the_episodes_of_its_parts_and_what_they_agree_on(store):
    mixture, a, b = (locate(store, name) for name in (NAME, "local/a", "local/b"))
    episodes = mixture.load_episodes()
    assert episodes.lengths.tolist() == [5] * 7 and episodes.spaces == a.load_episodes().spaces
    assert (episodes.observations[20:] == b.load_episodes().observations).all()
    assert mixture.env_id == "Pendulum-v1" and mixture.step_limit == 200
    assert [bound.tolist() for bound in mixture.action_bounds(episodes)] == [[-2], [2]]
    assert mixture.facts.episodes_sha256 not in (None, a.facts.episodes_sha256, b.facts.episodes_sha256)
    turned = locate(store, "local/b+local/a")
    assert turned.facts.episodes_sha256 != mixture.facts.episodes_sha256


def test_what_the_parts_disagree_on_is_not_stated(store):
    write_dataset(store.dataset("local/c").dataset, recording(3, 2), {"reference_min": 0.0, "reference_max": 9.0})
    mixture = locate(store, "local/a+c")
    assert mixture.env_id is None and mixture.reference_scores is None and mixture.facts.step_limit is None
    assert mixture.load_episodes().spaces.action.high == (np.inf,)
    with pytest.raises(SeqrlError, match="local/a.c joins data of Pendulum-v1 and an unknown environment"):
        mixture.environment()


def test_datasets_of_other_sizes_are_refused(store):
    with pytest.raises(SizeMismatchError, match=r"other/long .* sizes \(4, 1\), but local/a has sizes \(3, 1\)"):
        locate(store, "local/a+other/long").load_episodes()
    result = seqrl(store, "train", "local/a+other/long", *TINY)
    assert result.exit_code == 1 and "other/long has observations and actions of sizes (4, 1)" in result.stderr


@pytest.mark.parametrize("arch", ["gpt", pytest.param("dt", marks=pytest.mark.slow)])
def test_a_run_of_several_datasets(store, arch):
    succeed(store, "train", "local/a+local/b", "--arch", arch, *TINY)
    run = RunFolder(store.root / NAME / f"{arch}-s42")
    record = read_record(run.record)
    assert record.datasets == ("local/a", "local/b") and json.loads(run.record.read_text())["dataset"] == NAME
    assert not (store.root / NAME / "dataset.h5").exists()
    if arch == "gpt":
        tokens = load_tokens(store.dataset(NAME).tokens)
        assert tokens.returns.shape == (7,) and tokens.env_id == "Pendulum-v1"
    assert "is already trained" in seqrl(store, "train", NAME, "--arch", arch, *TINY).stderr
    search = SEARCH if arch == "gpt" else ["plan.max_context_transitions=2"]
    succeed(store, "plan", NAME, "--episodes", "1", "plan.max_steps=3", *search)
    table = succeed(store, "table")
    assert NAME in table and "behaviour (dataset)" in table
    assert NAME in succeed(store, "runs")
    assert json.loads(succeed(store, "info", NAME, "--json"))["episodes"] == 7


def test_a_run_of_several_datasets_resumes_to_the_same_bits(store):
    words = ["train", "local/a+local/b", "--arch", "dt", *TINY]
    succeed(store, *words)
    run = store.root / NAME / "dt-s42"
    whole = weights(run)
    shutil.rmtree(run / "checkpoints" / "00000004")
    (run / "checkpoints" / "last").write_text("00000002")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": "interrupted"}))
    succeed(store, *words)
    assert weights(run) == whole


def weights(run: Path) -> bytes:
    return (run / "checkpoints" / "00000004" / "model.safetensors").read_bytes()


def test_tokens_of_a_changed_part_are_made_again(store):
    succeed(store, "discretize", NAME, "data.bins=8")
    first = load_tokens(store.dataset(NAME).tokens).fingerprint
    write_dataset(store.dataset("local/b").dataset, recording(9, 3), {"env_id": "Pendulum-v1"})
    result = seqrl(store, "discretize", NAME, "data.bins=8")
    assert result.exit_code == 0 and "has changed since it was discretized" in result.stderr
    assert load_tokens(store.dataset(NAME).tokens).fingerprint != first


def test_a_record_of_schema_1_names_its_one_dataset(store, tmp_path):
    succeed(store, "train", "local/a", "--arch", "dt", *TINY)
    path = store.root / "local" / "a" / "dt-s42" / "run.json"
    record = json.loads(path.read_text())
    assert record.pop("datasets") == ["local/a"]
    path.write_text(json.dumps({**record, "schema_version": 1}))
    assert read_record(path).datasets == ("local/a",)


@pytest.mark.parametrize("name", ["d" * 3000, "local/" + "d" * 3000, "x+" + "d" * 3000, "a\0b", "..", "/dev/zero"])
def test_a_record_may_name_what_cannot_be_a_folder(tmp_path, name):
    assert find_stored(RunStore(tmp_path), name) is None
