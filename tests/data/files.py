"""The same small data in files of every format."""

from __future__ import annotations

import pickle
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.minari import MinariFacts, write_minari
from seqrl_cli.data.space import BoxSpace
from seqrl_cli.data.spaces import Spaces


def raw_arrays(count: int = 10, **changes) -> dict[str, np.ndarray]:
    """A small dataset in D4RL's layout with one terminal and one timeout; ``changes`` replace or, by None, remove."""
    rng = np.random.default_rng(0)
    arrays = {
        "observations": rng.standard_normal((count, 4), dtype=np.float32),
        "actions": rng.standard_normal((count, 2), dtype=np.float32),
        "rewards": rng.standard_normal(count, dtype=np.float32),
        "terminals": np.arange(count) == 3,
        "timeouts": np.arange(count) == 6,
    } | changes
    return {name: array for name, array in arrays.items() if array is not None}


def write_raw(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def assert_equal(first: Episodes, second: Episodes):
    for field in fields(Episodes):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


def write_file(path, **changes):
    """A small D4RL file; a change of None leaves the key out."""
    rng = np.random.default_rng(0)
    arrays = {
        "observations": rng.normal(size=(40, 11)).astype(np.float32),
        "actions": rng.uniform(-1, 1, size=(40, 3)).astype(np.float32),
        "rewards": rng.normal(size=40).astype(np.float32),
        "terminals": np.arange(40) % 10 == 9,
        "timeouts": np.zeros(40, bool),
    } | changes
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if array is not None:
                file[name] = array
    return path


KEYS = ("observations", "actions", "rewards", "terminals", "timeouts")


def flat(episodes: Episodes) -> dict[str, np.ndarray]:
    return {key: getattr(episodes, key) for key in KEYS}


def each(episodes: Episodes) -> list[dict[str, np.ndarray]]:
    """One dictionary an episode, as the Decision Transformer's files have: without timeouts, with what follows."""
    found = []
    for begin, end in zip(episodes.offsets[:-1], episodes.offsets[1:], strict=True):
        one = {key: getattr(episodes, key)[begin:end] for key in KEYS[:-1]}
        one["next_observations"] = np.concatenate([one["observations"][1:], one["observations"][:1]])
        found.append(one)
    return found


def one_array_an_entry(items: list) -> np.ndarray:
    """NumPy's array of objects, also where the items have one length."""
    array = np.empty(len(items), object)
    array[:] = items
    return array


def write_npz(path: Path, arrays: dict, **options) -> Path:
    np.savez(path, **arrays, **options)
    return path


def write_pickle(path: Path, value: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def as_objects(path: Path, episodes: Episodes) -> Path:
    listed = each(episodes)
    return write_npz(path, {key: one_array_an_entry([one[key] for one in listed]) for key in listed[0]})


def compressed(path: Path, episodes: Episodes) -> Path:
    np.savez_compressed(path, **flat(episodes))
    return path


def folder_of(path: Path, episodes: Episodes, suffix: str = ".npz") -> Path:
    path.mkdir()
    for index, one in enumerate(each(episodes)):
        file = path / f"episode {index}{suffix}"
        write_npz(file, one) if suffix == ".npz" else write_raw(file, one)
    (path / "README.md").write_text("not a recording")
    (path / ".hidden.npz").write_text("nor this")
    return path


FORMATS = {
    "npz": lambda p, e: write_npz(p / "a.npz", flat(e)),
    "npz, compressed": lambda p, e: compressed(p / "a.npz", e),
    "npz, by columns of Fortran": lambda p, e: write_npz(
        p / "a.npz", {k: np.asfortranarray(v) for k, v in flat(e).items()}
    ),
    "npz, without its ending": lambda p, e: write_npz(p / "a.npz", flat(e)).rename(p / "a.data"),
    "npz, one entry per episode": lambda p, e: as_objects(p / "a.npz", e),
    "hdf5, without its ending": lambda p, e: write_raw(p / "a", flat(e)),
    "folder of npz": lambda p, e: folder_of(p / "a folder", e),
    "folder of hdf5": lambda p, e: folder_of(p / "a", e, ".hdf5"),
    "pickle of an array": lambda p, e: write_pickle(p / "a.pickle", one_array_an_entry(each(e))),
    "pickle of flat columns": lambda p, e: write_pickle(p / "a.pkl", flat(e)),
    "pickle of lists": lambda p, e: write_pickle(
        p / "a.pkl", [{k: v.tolist() for k, v in one.items()} for one in each(e)]
    ),
    "pickle of lists of arrays": lambda p, e: write_pickle(
        p / "a.pkl", [{k: list(v) for k, v in x.items()} for x in each(e)]
    ),
    **{f"pickle {n}": lambda p, e, n=n: write_pickle(p / "a.pkl", each(e), n) for n in range(2, 6)},
}


SPACES = Spaces(BoxSpace((3,)), BoxSpace((2,), low=(-1,), high=(1,)))
FACTS = MinariFacts("test/ragged-v0", None, SPACES, {"ref_min_score": -1.0, "ref_max_score": 2.5})


def written(folder: Path, episodes: Episodes, facts: MinariFacts = FACTS) -> Path:
    write_minari(folder / facts.dataset_id, episodes, facts)
    return folder / facts.dataset_id
