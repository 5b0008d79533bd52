"""``module:Env-v0`` in a file: only the user's own command line may name a module to import."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py

from tests.campaigns.common import Trial
from tests.campaigns.security.scene import GPT, ODT, copy_runs, fired, problems, run
from tests.campaigns.specimens import DATASET, TUNE, TUNE_FURTHER, Specimens
from tests.cli.conftest import TINY_ODT, TINY_PLAN, TINY_TRAIN
from tests.data.conftest import ragged
from tests.data.files import raw_arrays, write_raw, written

Words = tuple[str, ...]
Place = Callable[[Specimens, Path, str], None]

IDS = ["evil:Env-v0", "evil:space/Env-v0", " evil:Env-v0", "evil.sub:Env-v0", "evil:", "evil:Hopper-v4"]


def _hdf5(specimens: Specimens, folder: Path, name: str) -> None:
    with h5py.File(write_raw(folder / "a.hdf5", raw_arrays(20)), "a") as file:
        file.attrs["env_id"] = file.attrs["env_name"] = file.attrs["env_spec"] = name


def _minari(specimens: Specimens, folder: Path, name: str) -> None:
    shutil.move(written(folder / "made", ragged(0, 60)), folder / "minari")
    path = folder / "minari" / "data" / "metadata.json"
    spec = {"id": name, "entry_point": "evil:make", "vector_entry_point": "evil:make", "kwargs": {}}
    spec["additional_wrappers"] = [{"name": "a", "entry_point": "evil:make", "kwargs": {}}]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"env_spec": json.dumps(spec)}))


def _attribute(file_name: str) -> Place:
    def put(specimens: Specimens, folder: Path, name: str) -> None:
        copy_runs(specimens, folder)
        with h5py.File(folder / "runs" / DATASET / file_name, "a") as file:
            file.attrs["env_id"] = name

    return put


def _json(pattern: str) -> Place:
    def put(specimens: Specimens, folder: Path, name: str) -> None:
        copy_runs(specimens, folder)
        for path in (folder / "runs" / DATASET).glob(pattern):
            path.write_text(json.dumps(json.loads(path.read_text()) | {"env_id": name}))

    return put


def _config(specimens: Specimens, folder: Path, name: str) -> None:
    copy_runs(specimens, folder)
    for path in (folder / "runs" / DATASET).glob("*/config.yaml"):
        lines = path.read_text().splitlines()
        changed = [f"  env_id: {name!r}" if line.strip().startswith("env_id:") else line for line in lines]
        if changed == lines:
            changed = [line + (f"\n  env_id: {name!r}" if line.startswith("data:") else "") for line in lines]
        path.write_text("\n".join(changed) + "\n")


def _everywhere(specimens: Specimens, folder: Path, name: str) -> None:
    """A whole run directory by somebody who trained on an environment of their own."""
    _config(specimens, folder, name)
    for path in (folder / "runs" / DATASET).glob("**/*.json"):
        if "checkpoints" not in path.parts:
            path.write_text(json.dumps(json.loads(path.read_text()) | {"env_id": name}))
    for path in (folder / "runs" / DATASET).glob("**/*.h5"):
        with h5py.File(path, "a") as file:
            file.attrs["env_id"] = name


ON_DATA: list[Words] = [
    ("train", DATASET, "--name", "new", *TINY_TRAIN),
    ("train", DATASET, "--name", "new", *TINY_ODT),
    ("train", DATASET, "--dry-run"),
    ("discretize", DATASET, "--force"),
    ("export", DATASET, "--format", "d4rl", "--output", "out.hdf5"),
    ("export", DATASET, "--format", "minari", "--output", "out"),
    ("info", DATASET),
    ("plan", GPT, *TINY_PLAN, "--seed", "5"),
    ("finetune-online", ODT, "--name", "new", *TUNE),
]
ON_RUNS: list[Words] = [
    ("plan", GPT, *TINY_PLAN, "--seed", "5"),
    ("plan", ODT, "--episodes", "1", "plan.max_steps=4", "--seed", "5"),
    ("plan", GPT, "--dry-run"),
    ("finetune-online", ODT, "--name", "new", *TUNE),
    ("finetune-online", ODT, *TUNE_FURTHER),
    ("render", GPT, "--view", "software"),
    ("table",),
    ("table", "--published", "--format", "latex"),
    ("plot", GPT),
    ("runs",),
    ("runs", "show", GPT),
    ("export", GPT, "--output", "out"),
    ("collect", "hopper", "--policy", ODT, "--transitions", "5", "--name", "collected/new", "--workers", "1"),
    ("train", DATASET, "--config", f"runs/{GPT}/config.yaml", "--name", "new", *TINY_TRAIN),
    ("train", DATASET, *TINY_TRAIN),
]
OWN: list[Words] = [("download",), ("info",), ("train", *TINY_TRAIN), ("train", "--dry-run"), ("discretize",)]

PLACES: dict[str, tuple[Place, list[Words]]] = {
    "an HDF5 attribute": (_hdf5, [(word, "./a.hdf5", *more) for word, *more in OWN]),
    "Minari's metadata": (_minari, [(word, "./minari", *more) for word, *more in OWN]),
    "dataset.h5": (_attribute("dataset.h5"), ON_DATA),
    "tokens.h5": (_attribute("tokens.h5"), [ON_DATA[0], ON_DATA[7], ("export", GPT, "--output", "out")]),
    "run.json": (_json("*/run.json"), ON_RUNS),
    "a plan's JSON": (_json("*/plans/*/*.json"), [("render", GPT, "--view", "software"), ("table",), ("plot", GPT)]),
    "config.yaml": (_config, ON_RUNS),
    "a whole run directory": (_everywhere, [*ON_DATA, *ON_RUNS]),
}


def trials(specimens: Specimens) -> Iterator[Trial]:
    """Every command on every place; and the control, where the user names the module."""
    number = 0
    for place, (_, commands) in PLACES.items():
        for words in commands:
            name = IDS[0] if number % 3 else IDS[number // 3 % len(IDS)]
            yield Trial(f"{name!r} in {place}: {' '.join(words)}", partial(_attempt, specimens, place, words, name))
            number += 1
    for words in (("info",), ("download",)):
        name = "antigravity:Env-v0"
        yield Trial(f"{name} in an HDF5 attribute: {words[0]}", partial(_antigravity, specimens, (*words, "./a.hdf5")))
    yield Trial("a module that the user names", partial(_control, specimens))


def _evil(folder: Path) -> Path:
    """Modules beside the data, whose import leaves a canary; returns its path."""
    canary = folder / "canary"
    (folder / "evil").mkdir()
    for module in ("__init__.py", "sub.py"):
        (folder / "evil" / module).write_text(f"open({str(canary)!r}, 'w').close()\n")
    return canary


def _attempt(specimens: Specimens, place: str, words: Words, name: str, folder: Path) -> str:
    canary = _evil(folder)
    PLACES[place][0](specimens, folder, name)
    return problems(run([*words, "--runs-dir", "runs"], folder), fired(canary))


def _antigravity(specimens: Specimens, words: Words, folder: Path) -> str:
    """A module of the standard library whose import opens a web browser."""
    _hdf5(specimens, folder, "antigravity:Env-v0")
    (folder / "webbrowser.py").write_text(f"def open(url): __builtins__['open']({str(folder / 'canary')!r}, 'w')\n")
    (folder / "antigravity.py").write_text("import webbrowser\nwebbrowser.open('')\n")
    return problems(run(words, folder), fired(folder / "canary"))


def _control(specimens: Specimens, folder: Path) -> str:
    """The same module from the command line is the user's own word; it would prove nothing if that did not import."""
    canary = _evil(folder)
    _hdf5(specimens, folder, "Hopper-v4")
    outcome = run(["download", "./a.hdf5", "data.env_id=evil:Env-v0"], folder)
    return problems(outcome, "" if canary.exists() else "the user's own module was not imported")
