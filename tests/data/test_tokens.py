"""Tokenizing, its fingerprint and its file."""

from __future__ import annotations

from dataclasses import fields, replace

import h5py
import numpy as np
import pytest

from seqrl_cli.data.tokens import TokenizedDataset, fingerprint, tokenize
from seqrl_cli.data.tokens_file import load_tokens, save_tokens, stated_terminal_rewards
from seqrl_cli.errors import SeqrlError
from tests.benchmarks.discretize import measure, peak_bytes, synthetic_episodes
from tests.data.conftest import ragged
from tests.reference import array_bytes, fit_rows, join_transitions

SETTINGS = {"bins": 100, "strategy": "quantile", "discount": 0.99, "termination_penalty": -100.0}


def make(seed: int = 0, **changes) -> TokenizedDataset:
    return tokenize(ragged(seed), dataset_id="test", env_id="Hopper-v4", **{**SETTINGS, "bins": 20, **changes})


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
@pytest.mark.parametrize("penalty", [-100.0, None])
def test_column_by_column_equals_all_rows_at_once(episodes, strategy, penalty):
    rows = join_transitions(episodes, 0.99, penalty)
    expected = fit_rows(rows, 20, strategy)
    got = tokenize(episodes, dataset_id="test", env_id=None, bins=20, strategy=strategy, termination_penalty=penalty)
    np.testing.assert_array_equal(got.discretizer.edges, expected.edges)
    np.testing.assert_array_equal(got.tokens, expected.encode(rows))
    np.testing.assert_array_equal(got.returns, episodes.returns)
    assert got.dims == 7
    assert got.bins == 20


def test_progress_counts_dimensions():
    seen = []
    tokenize(ragged(0), dataset_id="test", env_id=None, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(dim, 7) for dim in range(1, 8)]


def test_memory_stays_within_three_times_the_raw_arrays():
    episodes = synthetic_episodes(50_000)
    extra = peak_bytes(lambda: tokenize(episodes, dataset_id="test", env_id=None))
    assert (array_bytes(episodes) + extra) / array_bytes(episodes) < 3.0


def test_benchmark_measures_the_whole_chain():
    result = measure(20_000)
    assert (result["rows"], result["dims"]) == (20_000, 16)
    assert 1.0 < result["memory_ratio"] < 3.0


def test_a_copy_has_the_same_fingerprint_and_any_change_another():
    episodes = ragged(0)
    original = fingerprint(episodes, **SETTINGS)
    assert fingerprint(episodes.select(range(len(episodes))), **SETTINGS) == original
    rewards = episodes.rewards.copy()
    rewards[3] = np.nextafter(rewards[3], np.float32(9))
    others = [fingerprint(replace(episodes, rewards=rewards), **SETTINGS)]
    others.append(fingerprint(episodes.select(range(len(episodes) - 1)), **SETTINGS))
    changes = {"bins": 99, "strategy": "uniform", "discount": 0.98, "termination_penalty": None}
    others += [fingerprint(episodes, **{**SETTINGS, key: value}) for key, value in changes.items()]
    assert len({original, *others}) == len(others) + 1


def test_fingerprint_ignores_names():
    assert replace(make(), dataset_id="other").fingerprint == make().fingerprint
    assert make().fingerprint == tokenize(ragged(0), dataset_id="copy", env_id=None, bins=20).fingerprint


@pytest.mark.parametrize(
    "dataset",
    [make(), make(termination_penalty=None, strategy="uniform", bins=300), replace(make(), env_id=None)],
    ids=["plain", "no penalty, 16 bits", "no environment"],
)
def test_round_trip(tmp_path, dataset):
    save_tokens(tmp_path / "tokens.h5", dataset)
    loaded = load_tokens(tmp_path / "tokens.h5")
    for field in fields(TokenizedDataset):
        if field.name != "discretizer":
            first, second = getattr(loaded, field.name), getattr(dataset, field.name)
            np.testing.assert_array_equal(first, second)
            assert type(first) is type(second)
    np.testing.assert_array_equal(loaded.discretizer.edges, dataset.discretizer.edges)
    assert loaded.discretizer.strategy == dataset.discretizer.strategy
    assert loaded.tokens.dtype == dataset.tokens.dtype


def test_same_dataset_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        save_tokens(tmp_path / name, make())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def set_attribute(name, value):
    def change(file):
        file.attrs[name] = value

    return change


def replace_array(name, change):
    def swap(file):
        array = change(file[name][:])
        del file[name]
        file[name] = array

    return swap


def group_for_array(file):
    del file["edges"]
    file["edges/x"] = np.zeros(3)


def nan_edge(edges):
    edges[3, 2] = np.nan
    return edges


def drop_last_token(file):
    tokens = file["tokens"][:-1]
    del file["tokens"]
    file["tokens"] = tokens


def stop_token_in_data(file):
    file["tokens"][0, 0] = 20


DAMAGE = {
    "newer schema": (set_attribute("schema_version", 2), "has schema version 2, this seqrl reads 1"),
    "other format": (set_attribute("format", "something"), "is not a tokens file of seqrl"),
    "other strategy": (set_attribute("strategy", "kmeans"), "is not a tokens file of seqrl"),
    "other sizes": (set_attribute("action_dim", 9), "is inconsistent"),
    "missing array": (lambda file: file.__delitem__("returns"), "is incomplete"),
    "missing attribute": (lambda file: file.attrs.__delitem__("discount"), "is incomplete"),
    "an array that is a group": (group_for_array, "edges is a group, not an array"),
    "flat edges": (replace_array("edges", np.ravel), r"edges is float64 of shape \(147,\), not float64 with axes: 2"),
    "scalar returns": (replace_array("returns", np.sum), r"returns is float64 of shape \(\)"),
    "fractional offsets": (replace_array("offsets", np.float64), "offsets is float64 .*, not int64"),
    "text for tokens": (replace_array("tokens", lambda tokens: tokens.astype("S")), "tokens is .*, not uint8"),
    "other byte order": (replace_array("edges", lambda edges: edges.astype(">f8")), "edges is >f8"),
    "no bins": (replace_array("edges", lambda edges: edges[:1]), "edges has 1 rows"),
    "edges with a hole": (replace_array("edges", nan_edge), "edges of dimension 2 are not finite"),
    "falling edges": (replace_array("edges", np.flipud), "edges of dimension 0 are not in ascending order"),
    "text for a size": (set_attribute("observation_dim", "3"), "observation_dim is '3', not a whole number"),
    "a fraction for a size": (set_attribute("action_dim", 2.0), "action_dim is 2.0, not a whole number"),
    "text for a discount": (set_attribute("discount", "0.99"), "discount is '0.99', not a finite number"),
    "an endless penalty": (set_attribute("termination_penalty", -np.inf), "termination_penalty is -inf"),
    "a number for a name": (set_attribute("env_id", 4), "env_id is 4, not text"),
    "missing rows": (drop_last_token, "is inconsistent"),
    "stop token among the data": (stop_token_in_data, "is inconsistent"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_files_that_do_not_fit_are_refused(tmp_path, name):
    change, match = DAMAGE[name]
    path = tmp_path / "tokens.h5"
    save_tokens(path, make())
    with h5py.File(path, "a") as file:
        del file.attrs["arrays_sha256"]  # as in files of older versions
        change(file)
    with pytest.raises(SeqrlError, match=match) as error:
        load_tokens(path)
    assert str(path) in error.value.message
    assert "seqrl discretize" in error.value.hint


def test_changed_arrays_are_refused(tmp_path):
    path = tmp_path / "tokens.h5"
    save_tokens(path, make())
    with h5py.File(path, "a") as file:
        file["tokens"][0, 0] = 1 - min(1, file["tokens"][0, 0])
    with pytest.raises(SeqrlError, match="its arrays are not those that were written") as error:
        load_tokens(path)
    assert "seqrl discretize" in error.value.hint


def test_truncated_foreign_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "tokens.h5"
    save_tokens(path, make())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SeqrlError, match="the file is truncated"):
        load_tokens(path)
    with h5py.File(path, "w") as file:
        file["observations"] = np.zeros(3)
    with pytest.raises(SeqrlError, match="is not a tokens file of seqrl"):
        load_tokens(path)
    with pytest.raises(SeqrlError, match="there is no file"):
        load_tokens(tmp_path / "none.h5")


def test_what_the_file_states_about_terminals_is_read_alone(tmp_path):
    path = tmp_path / "tokens.h5"
    assert stated_terminal_rewards(path) is None
    save_tokens(path, replace(make(), terminal_rewards="kept: all of them"))
    assert stated_terminal_rewards(path) == "kept: all of them"
    path.write_bytes(b"damaged")
    assert stated_terminal_rewards(path) is None
