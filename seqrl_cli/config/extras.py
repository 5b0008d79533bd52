"""Optional packages: which extra installs which, whether it is installed, and the command that installs it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.json_text import parse_json

CONSTRAINTS = "constraints.txt"


@dataclass(frozen=True)
class Extra:
    """Optional packages that are installed together.

    Attributes:
        module: the module whose presence tells that they are installed.
        distribution: the package's name on the index.
        megabytes: what they add to an installation without extras, with all that they need; measured with Python 3.11.
        purpose: what they are for.
        packages: what pip is told to install where pyproject.toml cannot name it.
        has_dependencies: whether pip may install what the packages ask for.
    """

    module: str
    distribution: str
    megabytes: int
    purpose: str
    packages: Sequence[str] = ()
    has_dependencies: bool = True


EXTRAS = {
    "bullet": Extra("pybullet_envs", "pybullet", 300, "environments of the bullet-… datasets"),
    "robotics": Extra(
        "gymnasium_robotics",
        "gymnasium-robotics",
        55,
        "environments of antmaze, maze2d, kitchen and adroit datasets",
    ),
    "metaworld": Extra("metaworld", "metaworld", 42, "environments of metaworld/… tasks"),
    "dmc": Extra("dm_control", "dm_control", 160, "environments of dmc/… tasks"),
    "atari": Extra("ale_py", "ale-py", 11, "environments of atari/… games"),
    "procgen": Extra(
        "procgen",
        "procgen-mirror",
        87,
        "environments of procgen/… games",
        # procgen-mirror and gym3 ask for NumPy 1 and work with NumPy 2.
        packages=("procgen-mirror==0.10.7", "gym3==0.3.3", "cffi", "pycparser"),
        has_dependencies=False,
    ),
    "minari": Extra("minari", "minari", 1, "Minari's own reader and writer; seqrl reads minari/… without it"),
    "d4rl": Extra(
        "d4rl",
        "d4rl",
        45,
        "D4RL's package, with which `seqrl info` compares seqrl's list; nothing else needs it",
        # It asks for gym and mujoco-py, which need compilers of 2021; its list of datasets needs neither.
        has_dependencies=False,
    ),
    "ray": Extra("ray", "ray", 250, "sweeps on the machines of a Ray cluster"),
    "tune": Extra("optuna", "optuna", 36, "searches for hyperparameters with Optuna"),
    "fla": Extra(
        "fla",
        "fla-core",
        13,
        "a faster chunkwise form of the RetNet on CUDA, used where it equals seqrl's",
    ),
    "tensorboard": Extra("tensorboardX", "tensorboardX", 1, "event files for TensorBoard: --track tensorboard"),
    "wandb": Extra("wandb", "wandb", 78, "Weights & Biases, offline too: --track wandb"),
    "trackio": Extra("trackio", "trackio", 60, "Trackio, a tracker on this machine: --track trackio"),
    "cloud": Extra("s3fs", "s3fs", 60, "runs push and pull to abfs://, s3:// and gs://"),
    "hub": Extra("huggingface_hub", "huggingface-hub", 25, "export --push and import hf://…"),
    "onnx": Extra("onnxruntime", "onnxruntime", 150, "export --format onnx"),
    "report": Extra("plotly", "plotly", 45, "interactive plots in seqrl report"),
}


def is_installed(extra: str) -> bool:
    """Whether an extra's package can be found; it is not imported."""
    found = find_spec(EXTRAS[extra].module)
    # A mere folder of that name, which a tracker makes for its files, looks like a namespace package, without origin.
    return found is not None and (found.origin is not None or _version(EXTRAS[extra].distribution) is not None)


def require_extra(extra: str, module: str, what: str) -> Any:
    """Import a module of an extra.

    Args:
        extra: its name.
        module: the module to import.
        what: what needs the module, for the error: an option, a command or a service.

    Raises:
        SeqrlError: it is not installed; the hint is the command that installs it.
    """
    if not is_installed(extra):
        package = module.partition(".")[0]
        raise SeqrlError(f"{what} needs the package {package}, which is not installed here", install_line(extra))
    return import_module(module)


def installed_version(extra: str) -> str | None:
    """Version of an extra's package; None if it is not installed."""
    return _version(EXTRAS[extra].distribution) if is_installed(extra) else None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def install_line(extra: str) -> str:
    """The command that installs an extra's packages, with the constraints of the checkout that seqrl came from.

    If seqrl came from elsewhere, for example a wheel, the command names the packages themselves.
    """
    wanted = EXTRAS.get(extra)  # none of several extras together, such as domains
    has_dependencies = wanted is None or wanted.has_dependencies
    checkout, is_editable = _checkout()
    constraints = f"-c {shlex.quote(str(checkout / CONSTRAINTS))} " if checkout else ""
    if checkout and has_dependencies:
        editable = "-e " if is_editable else ""
        return f"pip install {constraints}{editable}{shlex.quote(f'{checkout}[{extra}]')}"
    requirements = _requirements(extra) or (wanted.packages or [wanted.distribution] if wanted else [f"seqrl[{extra}]"])
    bare = "" if has_dependencies else "--no-deps "
    return f"pip install {constraints}{bare}" + " ".join(f"'{requirement}'" for requirement in requirements)


def _checkout() -> tuple[Path | None, bool]:
    """The folder that seqrl was installed from, by pip's record (PEP 610), and whether the install is editable.

    The folder is None if it was no checkout, and ``.`` if it is the working directory.
    """
    with suppress(metadata.PackageNotFoundError, ValueError, KeyError):
        record = parse_json(metadata.distribution("seqrl").read_text("direct_url.json") or "")
        folder = Path(url2pathname(urlsplit(record["url"]).path))
        if (folder / CONSTRAINTS).is_file():
            shown = Path() if folder.resolve() == Path.cwd() else folder
            return shown, bool(record["dir_info"].get("editable"))
    return None, False


def _requirements(extra: str) -> list[str]:
    """The packages that our own metadata names for an extra."""
    try:
        requirements = metadata.requires("seqrl") or []
    except metadata.PackageNotFoundError:
        return []
    mark = re.compile(rf"""extra\s*==\s*['"]{extra}['"]""")
    return [line.partition(";")[0].strip() for line in requirements if mark.search(line)]
