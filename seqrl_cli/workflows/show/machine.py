"""``seqrl info``: print versions and devices of this machine."""

from __future__ import annotations

from importlib import metadata

from seqrl_cli import __version__
from seqrl_cli.config.extras import EXTRAS, install_line, installed_version
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import list_datasets
from seqrl_cli.data.d4rl_package import disagreements, installed_list
from seqrl_cli.launch.cores import available_cores
from seqrl_cli.native import library
from seqrl_cli.render.mujoco_view import find_backend
from seqrl_cli.runs.store import RunStore

CORE = ("torch", "gymnasium", "mujoco", "numpy", "scipy", "h5py", "safetensors", "imageio", "matplotlib")


def show_machine(store: RunStore, console: Console) -> None:
    """Print versions, devices and the renderer, with a line that installs each missing extra."""
    import torch

    backend = find_backend()
    compiler = library.find_compiler()
    facts = {
        "seqrl": __version__,
        "cores": available_cores(),
        "devices": ["cpu"] + [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())],
        "planning": f"native, compiled with {compiler}" if library.available() else "PyTorch; faster with g++",
        "drawing": f"MuJoCo with {backend.upper()}" if backend else "software",
        "runs directory": str(store.root.resolve()),
        **{package: metadata.version(package) for package in CORE},
    }
    extras = {extra: installed_version(extra) for extra in EXTRAS}
    missing = {extra: install_line(extra) for extra, version in extras.items() if version is None}
    megabytes = {name: extra.megabytes for name, extra in EXTRAS.items()}
    console.emit({**facts, "extras": extras, "megabytes": megabytes, "missing": missing})
    there = {f"extra {extra}": f"{version} ({megabytes[extra]} MB)" for extra, version in extras.items() if version}
    console.show_facts({**facts, **there})
    if missing:
        console.show("optional extras that are not installed, and the line that installs each:")
    for extra, line in missing.items():
        console.show(f"  {EXTRAS[extra].purpose} ({megabytes[extra]} MB)\n    {line}")
    _compare_with_d4rl(console)
    if backend is None:
        console.note("MuJoCo cannot draw here without EGL or OSMesa: apt install libegl1, or libosmesa6")


def _compare_with_d4rl(console: Console) -> None:
    """Warn where the installed d4rl package has other URLs or scores than the catalogue."""
    path = installed_list()
    if path is None:
        return
    names = disagreements(path, list_datasets())
    if names:
        console.warn(f"{path} has other URLs or reference scores than seqrl for {', '.join(names)}")
    else:
        console.note(f"{path} agrees with seqrl's catalogue")
