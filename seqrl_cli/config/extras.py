"""Optional packages: which extra installs which, whether it is installed, and the command that installs it."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.json_text import parse_json

CONSTRAINTS = "constraints.txt"

MODULES = {
    "bullet": "pybullet_envs",
    "robotics": "gymnasium_robotics",
    "metaworld": "metaworld",
    "dmc": "dm_control",
    "atari": "ale_py",
    "procgen": "procgen",
    "minari": "minari",
    "d4rl": "d4rl",
    "fla": "fla",
    "tensorboard": "tensorboardX",
    "wandb": "wandb",
    "trackio": "trackio",
    "cloud": "s3fs",
    "ray": "ray",
    "tune": "optuna",
    "hub": "huggingface_hub",
    "onnx": "onnxruntime",
    "report": "plotly",
}
PURPOSES = {
    "bullet": "environments of the bullet-… datasets",
    "robotics": "environments of antmaze, maze2d, kitchen and adroit datasets",
    "metaworld": "environments of metaworld/… tasks",
    "dmc": "environments of dmc/… tasks",
    "atari": "environments of atari/… games",
    "procgen": "environments of procgen/… games",
    "minari": "Minari's own reader and writer; seqrl reads minari/… without it",
    "d4rl": "D4RL's package, with which `seqrl info` compares seqrl's list; nothing else needs it",
    "ray": "sweeps on the machines of a Ray cluster",
    "tune": "searches for hyperparameters with Optuna",
    "fla": "a faster chunkwise form of the RetNet on CUDA, used where it equals seqrl's",
    "tensorboard": "event files for TensorBoard: --track tensorboard",
    "wandb": "Weights & Biases, offline too: --track wandb",
    "trackio": "Trackio, a tracker on this machine: --track trackio",
    "cloud": "runs push and pull to abfs://, s3:// and gs://",
    "hub": "export --push and import hf://…",
    "onnx": "export --format onnx",
    "report": "interactive plots in seqrl report",
}
MEGABYTES = {
    "bullet": 300,
    "robotics": 55,
    "metaworld": 42,
    "dmc": 160,
    "atari": 11,
    "procgen": 87,
    "minari": 1,
    "d4rl": 45,
    "ray": 250,
    "tune": 36,
    "fla": 13,
    "tensorboard": 1,
    "wandb": 78,
    "trackio": 60,
    "cloud": 60,
    "hub": 25,
    "onnx": 150,
    "report": 45,
}
"""What each extra adds to an installation without extras, with all that it needs; measured with Python 3.11."""

_DISTRIBUTIONS = {
    "bullet": "pybullet",
    "robotics": "gymnasium-robotics",
    "metaworld": "metaworld",
    "dmc": "dm_control",
    "atari": "ale-py",
    "procgen": "procgen-mirror",
    "minari": "minari",
    "d4rl": "d4rl",
    "fla": "fla-core",
    "tensorboard": "tensorboardX",
    "wandb": "wandb",
    "trackio": "trackio",
    "cloud": "s3fs",
    "ray": "ray",
    "tune": "optuna",
    "hub": "huggingface-hub",
    "onnx": "onnxruntime",
    "report": "plotly",
}

# d4rl asks for gym and mujoco-py, which need compilers of 2021; its list of datasets needs neither.
_WITHOUT_DEPENDENCIES = ("d4rl", "procgen")

# What pyproject.toml cannot name as an extra: procgen-mirror and gym3 ask for NumPy 1 and work with NumPy 2.
_PACKAGES = {"procgen": ["procgen-mirror==0.10.7", "gym3==0.3.3", "cffi", "pycparser"]}


def is_installed(extra: str) -> bool:
    """Whether an extra's package can be found; it is not imported."""
    return find_spec(MODULES[extra]) is not None


def require_extra(extra: str, module: str, what: str) -> Any:
    """Import a module of an extra.

    Args:
        extra: name of the extra.
        module: name of the module to import.
        what: name of what needs it, for the error: an option, a command, a service.

    Raises:
        SeqrlError: it is not installed; the hint is the command that installs it.
    """
    if not is_installed(extra):
        package = module.partition(".")[0]
        raise SeqrlError(f"{what} needs the package {package}, which is not installed here", install_line(extra))
    return import_module(module)


def installed_version(extra: str) -> str | None:
    """Version of an extra's package; None if it is not installed."""
    try:
        return metadata.version(_DISTRIBUTIONS[extra]) if is_installed(extra) else None
    except metadata.PackageNotFoundError:
        return None


def install_line(extra: str) -> str:
    """The command that installs an extra's packages, with the constraints of the checkout that seqrl came from.

    If seqrl came from elsewhere, for example a wheel, the command names the packages themselves.
    """
    checkout, is_editable = _checkout()
    constraints = f"-c {checkout / CONSTRAINTS} " if checkout else ""
    if checkout and extra not in _WITHOUT_DEPENDENCIES:
        editable = "-e " if is_editable else ""
        return f"pip install {constraints}{editable}'{checkout}[{extra}]'"
    requirements = _PACKAGES.get(extra) or _requirements(extra) or [_DISTRIBUTIONS[extra]]
    bare = "--no-deps " if extra in _WITHOUT_DEPENDENCIES else ""
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
