"""Looking without changing: runs, presets, the machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

import yaml

from seqrl_cli import __version__
from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.behaviour.collect import available_cores
from seqrl_cli.config.extras import PURPOSES, install_line, installed_version, is_installed
from seqrl_cli.config.overrides import differences, dig
from seqrl_cli.config.presets import SIZES, dump_config, preset_names, read_yaml, resolve_config
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import list_datasets, resolve
from seqrl_cli.data.d4rl_package import disagreements, installed_list
from seqrl_cli.data.formats.columns import ReadOptions
from seqrl_cli.data.formats.read import read_attributes, read_dataset
from seqrl_cli.envs.registry import needed_extra
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.native import library
from seqrl_cli.planning.episode_files import plan_folders
from seqrl_cli.render.mujoco_view import find_backend
from seqrl_cli.reports.dataset_summary import histogram_lines, summarize_dataset, summary_rows
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.runs.status import status_of
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import OnlineLine, TrainingLine, read_online_lines, read_training_lines

CORE = ("torch", "gymnasium", "mujoco", "numpy", "scipy", "h5py", "safetensors", "imageio", "matplotlib")


def show_runs(store: RunStore, console: Console) -> None:
    """List datasets and runs, the newest run last, and warn of damaged ones."""
    runs, unreadable = store.read_runs()
    folders = store.dataset_folders()
    rows = [_run_row(store, folder, record) for folder, record in runs]
    console.emit({"datasets": [store.name_of(folder.path) for folder in folders], "runs": rows})
    for _, error in unreadable:
        console.warn(error.message)
    if not runs and not folders:
        console.show(f"nothing in {store.root} yet; start with: seqrl demo")
        return
    if folders:
        cells = [[store.name_of(f.path), "yes" if f.tokens.exists() else "no", _size(f)] for f in folders]
        console.show_rows(["dataset", "tokens", "MB"], cells)
    if rows:
        header = ["run", "status", "updates", "loss", "plans", "updated"]
        console.show_rows(header, [["–" if row[key] is None else row[key] for key in header] for row in rows])


def _size(folder: Any) -> float:
    files = (folder.dataset, folder.tokens)
    return round(sum(path.stat().st_size for path in files if path.exists()) / 1e6, 1)


def _run_row(store: RunStore, folder: RunFolder, record: RunRecord) -> dict[str, Any]:
    lines = _log(folder, record)
    held_out = [loss for line in lines if (loss := line.get("validation_loss")) is not None]
    losses = [nll for line in lines if (nll := line.get("nll")) is not None] if record.parent else held_out
    return {
        "run": store.name_of(folder.path),
        "dataset": record.dataset,
        "status": status_of(folder, record),
        "updates": lines[-1].step if lines else None,
        "validation loss": round(held_out[-1], 4) if held_out else None,
        "loss": round(losses[-1], 4) if losses else None,
        "plans": len(plan_folders(folder)),
        "updated": record.updated[:16].replace("T", " "),
    }


def _log(folder: RunFolder, record: RunRecord) -> Sequence[TrainingLine] | Sequence[OnlineLine]:
    """What the run has logged: of a fine-tuned one its iterations."""
    return read_online_lines(folder.metrics) if record.parent else read_training_lines(folder.metrics)


def show_run(store: RunStore, spec: str | None, console: Console) -> None:
    """One run: record, configuration, last metrics and plans; a bad configuration is warned of and shown as null.

    Raises:
        SeqrlError: there is no such run, or its run.json is damaged.
    """
    folder = store.find(spec, console.warn)
    record = read_record(folder.record)
    record = record.model_copy(update={"status": status_of(folder, record)})
    config = _config_as_written(folder, console)
    metrics = [line.as_dict() for line in _log(folder, record)]
    plans = [path.name for path in plan_folders(folder)]
    last = metrics[-1] if metrics else None
    console.emit({"run": record.model_dump(), "config": config, "last_metrics": last, "plans": plans})
    whole = {"run": record.model_dump(), "last metrics": last, "plans": plans, "config": config}
    console.show(f"{store.name_of(folder.path)}  ({folder.path})")
    console.show(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True).rstrip())


def _config_as_written(folder: RunFolder, console: Console) -> dict[str, Any] | None:
    """The run's config.yaml, which another version of seqrl may have written."""
    try:
        return read_yaml(folder.config)
    except SeqrlError as error:
        console.warn(error.message)
        return None


def show_presets(arch: str, size: str | None, console: Console) -> None:
    """What each size is, and every preset of an architecture with what it changes from the base at one of them.

    Raises:
        UsageError: an unknown size.
    """
    size, bases = size or "paper", {name: _preset("base", name, arch) for name in SIZES}
    base = _preset("base", size, arch)
    sizes = {name: _difference(bases["paper"], values) for name, values in bases.items()}
    changes = {name: _difference(base, _preset(name, size, arch)) for name in preset_names(arch)}
    rows = [{"preset": name, "changes": changed} for name, changed in changes.items()]
    console.emit({"sizes": sizes, "size": size, "presets": rows})
    cells = [[name, _SIZE_OF[name], _changes(sizes[name])] for name in SIZES]
    console.show_rows(["size", "default for", "base differs from the papers' in"], cells)
    cells = [[name, _changes(changed)] for name, changed in changes.items()]
    console.show_rows(["preset", f"differs from base at size {size} in"], cells)
    console.note(
        "simulated data take the preset of their D4RL counterpart, at laptop size: seqrl presets --size laptop"
    )
    console.note("all that a dataset is trained with: seqrl presets show sim/hopper-medium")


_SIZE_OF = {"paper": "D4RL's names", "laptop": "sim/…, minari/…, files"}


def _preset(name: str, size: str, arch: str) -> dict[str, Any]:
    return resolve_config("base", size=size, preset=name, overrides={"model.arch": arch}).model_dump()


def _difference(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What another preset or size has other than the base."""
    return {key: dig(other, key) for key in differences(base, other) if key not in ("preset", "size")}


def _changes(changes: dict[str, Any]) -> str:
    """As one would type it: ``plan.cdf_act=null, plan.k_act=40``."""
    typed = {key: value if isinstance(value, str) else json.dumps(value) for key, value in changes.items()}
    return ", ".join(f"{key}={value}" for key, value in typed.items()) or "–"


def show_preset(name: str, arch: str, size: str | None, console: Console) -> None:
    """A preset with every key; a dataset id shows what training on it would use."""
    own = {"model.arch": arch}
    if name in preset_names(arch):
        config = resolve_config(name, size=size or "paper", preset=name, overrides=own)
    else:
        config = resolve_config(resolve(name).id, size=size, overrides=own)
    console.emit(config.model_dump())
    console.show(dump_config(config).rstrip())


def show_machine(store: RunStore, console: Console) -> None:
    """Versions, devices, and what draws pictures here; with a hint for what is missing."""
    import torch

    backend, compiler = find_backend(), library.find_compiler()
    facts = {
        "seqrl": __version__,
        "cores": available_cores(),
        "devices": ["cpu"] + [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())],
        "planning": f"native, compiled with {compiler}" if library.available() else "PyTorch; faster with g++",
        "drawing": f"MuJoCo with {backend.upper()}" if backend else "software",
        "runs directory": str(store.root.resolve()),
        **{package: metadata.version(package) for package in CORE},
    }
    extras = {extra: installed_version(extra) for extra in PURPOSES}
    missing = {extra: install_line(extra) for extra, version in extras.items() if version is None}
    console.emit({**facts, "extras": extras, "missing": missing})
    console.show_facts({**facts, **{f"extra {extra}": version for extra, version in extras.items() if version}})
    for extra, line in missing.items():
        console.show(f"missing: {PURPOSES[extra]}\n  {line}")
    _compare_with_d4rl(console)
    if backend is None:
        console.note("MuJoCo cannot draw here; EGL or OSMesa would let it: apt install libegl1, or libosmesa6")


def _compare_with_d4rl(console: Console) -> None:
    """Warn where the installed d4rl package states other URLs or scores than the catalogue."""
    path = installed_list()
    if path is None:
        return
    names = disagreements(path, list_datasets())
    if names:
        console.warn(f"{path} has other URLs or reference scores than seqrl for {', '.join(names)}")
    else:
        console.note(f"{path} agrees with seqrl's catalogue")


def _score(percent: float, located: DatasetRef, stated: Mapping[str, Any]) -> str:
    """What the mean return scores, and what that rests on: nobody has checked the rewards of a user's own file."""
    scale = f"0 is a random policy in {located.env_id}, 100 D4RL's reference policy"
    own = stated.get("source", "file") == "file"
    return f"{percent:.1f} ({scale}{'; if the file has the rewards of that environment' if own else ''})"


def show_dataset(store: RunStore, dataset: str, console: Console) -> None:
    """What is in a dataset: one in the run directory, or a file by path.

    Raises:
        SeqrlError: it is not here yet, or damaged.
    """
    located = locate(store, dataset)
    path = located.folder.dataset if located.folder.dataset.exists() else located.spec.path
    if path is None:
        raise SeqrlError(f"{located.id} is not in {store.root} yet", f"seqrl download {dataset}")
    # NaN and infinities, which no other command takes, are counted here.
    summary = summarize_dataset(read_dataset(path, ReadOptions(located.spec.observation_size, finite=False)))
    stated = located.facts.attributes if located.facts else read_attributes(path)
    mean_return = summary.returns.mean
    score = None if mean_return is None else located.percent_score(mean_return)
    facts = {"dataset": located.id, "path": str(path), **asdict(summary), "score": score, "attributes": stated}
    console.emit(facts)
    console.show(f"{located.id}  ({path})")
    scored = {} if score is None else {"score": _score(score, located, stated)}
    shown = {name: f"{value:.10g}" if isinstance(value, float) else value for name, value in stated.items()}
    console.show_facts({**dict(summary_rows(summary)), **scored, **shown})
    console.show("returns")
    console.show("\n".join(histogram_lines(summary.histogram, summary.edges)))
    env_id = located.env_id
    extra = needed_extra(env_id) if env_id else None
    if extra and not is_installed(extra):
        console.note(f"{env_id}, to plan in, needs the extra {extra}: {install_line(extra)}")
