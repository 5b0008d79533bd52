"""Files that take their numbers from other files, archives whose members climb, sizes that are not there, the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from seqrl_cli.data.pretrained import unpack
from tests.campaigns.common import Outcome, Trial
from tests.campaigns.forked import reading
from tests.campaigns.judge import judge
from tests.campaigns.security.scene import GPT, ODT, copy_runs, difference, fired, problems, run, tree
from tests.campaigns.specimens import DATASET, TUNE_FURTHER, Specimens
from tests.cli.conftest import TINY_PLAN, TINY_TRAIN
from tests.data.conftest import ragged
from tests.data.files import raw_arrays, write_npz, write_raw, written

SECRET = np.float32(1234.5678)
KINDS = ["external storage", "an external link", "a virtual dataset", "a link to a link"]


def trials(specimens: Specimens) -> Iterator[Trial]:
    for kind in KINDS:
        for place in ("own file", "minari", "dataset.h5", "tokens.h5", "episode", "buffer"):
            yield Trial(f"{kind} in {place}", partial(_borrowed, specimens, kind, place))
    for name in ("../canary", "/tmp/seqrl-canary", "a/../../canary", "..\\canary", "C:canary", "a\0b"):
        for carrier in ("npz", "weights", "archive"):
            yield Trial(f"member {name!r} of {carrier}", partial(_climbing, specimens, name, carrier))
    for kind in ("npz bomb", "npz header", "safetensors", "HDF5 shape", "HDF5 chunks", "tokens", "zip member"):
        yield Trial(f"huge: {kind}", partial(_huge, specimens, kind))
    if shutil.which("g++"):
        for kind in ("folder of mode 0777", "link to a library", "link as folder"):
            yield Trial(f"cache: {kind}", partial(_cache, specimens, kind))


def _borrow(path: Path, name: str, secret: Path, kind: str) -> None:
    """Replace a dataset of a file by one whose numbers lie in ``secret``."""
    with h5py.File(path, "a") as file:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        count = int(np.prod(shape))
        numbers = np.full(count, SECRET, np.float32)
        if kind == "external storage":
            numbers.astype(dtype).tofile(secret)
            file.create_dataset(name, shape, dtype, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
            return
        with h5py.File(secret, "w") as other:
            other["x"] = numbers.reshape(shape).astype(dtype)
        if kind == "a virtual dataset":
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(secret), "x", shape)
            file.create_virtual_dataset(name, layout)
        elif kind == "an external link":
            file[name] = h5py.ExternalLink(str(secret), "/x")
        else:
            file["other"] = h5py.ExternalLink(str(secret), "/x")
            file[name] = h5py.SoftLink("/other")


def _borrowed(specimens: Specimens, kind: str, place: str, folder: Path) -> str:
    runs = copy_runs(specimens, folder)
    (folder / "outside").mkdir()
    secret = folder / "outside" / "secret.bin"
    if place == "own file":
        _borrow(write_raw(folder / "a.hdf5", raw_arrays(20)), "rewards", secret, kind)
        words = ["download", "./a.hdf5"]
    elif place == "minari":
        shutil.move(written(folder / "made", ragged(0, 60)), folder / "minari")
        _borrow(folder / "minari" / "data" / "main_data.hdf5", "episode_0/rewards", secret, kind)
        words = ["download", "./minari"]
    elif place == "dataset.h5":
        _borrow(runs / DATASET / "dataset.h5", "rewards", secret, kind)
        words = ["export", DATASET, "--format", "d4rl", "--output", "out.hdf5"]
    elif place == "tokens.h5":
        _borrow(runs / DATASET / "tokens.h5", "returns", secret, kind)
        words = ["train", DATASET, "--name", "new", *TINY_TRAIN]
    elif place == "episode":
        for path in (runs / GPT).glob("plans/*/episode-*.h5"):
            _borrow(path, "rewards", secret, kind)
        words = ["plot", GPT, "--json"]
    else:
        _borrow(runs / f"{ODT}-online" / "buffer" / "00000000.h5", "rewards", secret, kind)
        words = ["finetune-online", ODT, *TUNE_FURTHER]
    outcome = run([*words, "--runs-dir", "runs"], folder)
    taken = "1234.5" in outcome.stdout
    if place != "episode":
        taken = outcome.code == 0
    return problems(outcome, "numbers of another file were taken" if taken else "")


def _climbing(specimens: Specimens, name: str, carrier: str, folder: Path) -> str:
    place = folder / "here"
    place.mkdir()
    Path("/tmp/seqrl-canary").unlink(missing_ok=True)
    if carrier == "npz":
        write_npz(place / "a.npz", raw_arrays(20))
        _add(place / "a.npz", f"{name}.npy", b"x")
        words = ["download", "./a.npz"]
    elif carrier == "weights":
        shutil.copytree(specimens.checkpoints[0], place / "a")
        _add(place / "a" / "state_7.pt", name, b"x")
        words = ["import", "./a", "--dataset", DATASET, "--dry-run"]
    else:
        with zipfile.ZipFile(place / "a.zip", "w") as archive:
            archive.writestr("folder/state_7.pt", b"x")
        _add(place / "a.zip", f"folder/{name}", b"x")
        before = tree(folder, without="here/out")
        outcome = reading(lambda: unpack(place / "a.zip", "folder", place / "out"), place)
        return problems(outcome, difference(before, tree(folder, without="here/out")), fired(Path("/tmp/seqrl-canary")))
    before = tree(folder, without="here/runs")
    outcome = run(words, place)
    outside = difference(before, tree(folder, without="here/runs"))
    return problems(outcome, outside, fired(Path("/tmp/seqrl-canary")))


def _add(path: Path, name: str, data: bytes) -> None:
    """Add a member under exactly this name."""
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, data)


def _huge(specimens: Specimens, kind: str, folder: Path) -> str:
    """Sizes that are claimed cost no memory."""
    words = ["info", "./a.npz"]
    if kind == "npz bomb":
        np.savez_compressed(folder / "a.npz", **raw_arrays(20, rewards=np.zeros(4 * 10**8, np.uint8)))
    elif kind == "npz header":
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }\n"
        write_npz(folder / "a.npz", raw_arrays(20, rewards=None))
        _add(folder / "a.npz", "rewards.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)
    elif kind == "zip member":
        with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("observations.npy", bytes(3 * 10**8))
    elif kind == "safetensors":
        copy_runs(specimens, folder)
        for path in (folder / "runs" / GPT).glob("checkpoints/*/model.safetensors"):
            path.write_bytes(struct.pack("<Q", 2**40) + b"{}")
        words = ["plan", GPT, *TINY_PLAN, "--seed", "5"]
    elif kind == "tokens":
        copy_runs(specimens, folder)
        with h5py.File(folder / "runs" / DATASET / "tokens.h5", "a") as file:
            del file["tokens"]
            file.create_dataset("tokens", (2**33, 16), "u1", chunks=(2**20, 16))
        words = ["train", DATASET, "--name", "new", *TINY_TRAIN]
    else:
        with h5py.File(write_raw(folder / "a.hdf5", raw_arrays(20, rewards=None)), "a") as file:
            chunks = (2**20,) if kind == "HDF5 shape" else (2**29,)
            file.create_dataset("rewards", (2**33,), "f4", chunks=chunks, compression="gzip")
        words = ["info", "./a.hdf5"]
    outcome = run(words, folder)
    return problems(outcome, "" if outcome.code else "it was accepted")


def _cache(specimens: Specimens, kind: str, folder: Path) -> str:
    """Another's library in the cache of compiled ones is not loaded."""
    copy_runs(specimens, folder)
    outcome, compiled = _compiled(specimens)
    if judge(outcome) or not list(compiled.glob("*.so")):
        return judge(outcome)  # nothing is compiled here
    cache = Path(shutil.copytree(compiled, folder / "home" / ".cache" / "seqrl"))
    cache.chmod(compiled.stat().st_mode)
    library = next(cache.glob("*.so"))
    source = folder / "evil.cpp"
    source.write_text(
        '#include <fstream>\n__attribute__((constructor)) static void fire() { std::ofstream("canary"); }\n'
    )
    evil = folder / "evil.so"
    subprocess.run(["g++", "-shared", "-fPIC", str(source), "-o", str(evil)], check=True)
    library.unlink()
    if kind == "folder of mode 0777":
        shutil.copyfile(evil, library)
    else:
        library.symlink_to(evil)
    library.with_suffix(".sha256").write_text(hashlib.sha256(evil.read_bytes()).hexdigest())
    cache.chmod(0o777)
    if kind == "link as folder":
        cache.rename(folder / "elsewhere")
        cache.symlink_to(folder / "elsewhere")
    return problems(_plan_at_home(folder, "6"), fired(folder / "canary"))


def _compiled(specimens: Specimens) -> tuple[Outcome, Path]:
    """A plan that compiles the library into a cache of its own, and this cache; made once."""
    place = specimens.folder / "compiled"
    cache = place / "home" / ".cache" / "seqrl"
    if cache.is_dir():
        return Outcome(0, "", "", 0.0), cache
    place.mkdir(exist_ok=True)
    copy_runs(specimens, place)
    return _plan_at_home(place, "5"), cache


def _plan_at_home(folder: Path, seed: str) -> Outcome:
    """Plan with ``folder/home`` as the user's home."""

    def at_home() -> None:
        os.environ["HOME"] = str(folder / "home")

    return run(["plan", GPT, *TINY_PLAN, "--runs-dir", "runs", "--seed", seed], folder, at_home)
