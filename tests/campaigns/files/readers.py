"""The readers of all file kinds, called directly on damaged files."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from seqrl_cli.config.presets import load_config
from seqrl_cli.data.formats.read import content_sha256, read_attributes, read_dataset
from seqrl_cli.data.tokens_file import load_tokens
from seqrl_cli.download.partial import Partial
from seqrl_cli.files.yaml_text import read_yaml_mapping
from seqrl_cli.interop.detect import read_checkpoint_folder
from seqrl_cli.planning.episode_files import is_whole, read_episode, read_states
from seqrl_cli.reports.results import read_result
from seqrl_cli.runs.download_hashes import recorded_hash
from seqrl_cli.runs.record import read_record
from seqrl_cli.tracking.metrics import read_online_lines, read_training_lines, rewind
from seqrl_cli.training.checkpoints import newest_model, read_checkpoint, saved_states
from tests.campaigns.common import Trial
from tests.campaigns.files.structure import change
from tests.campaigns.forked import reading
from tests.campaigns.judge import judge
from tests.campaigns.specimens import URL, Specimens

COUNT = 3900


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        unit: the file or folder that is copied, below the specimens.
        target: pattern of the files in it of which one is damaged; empty for the unit itself.
        read: reads the copy of the unit.
    """

    unit: str
    target: str
    read: Callable[[Path], object]


def _dataset(path: Path) -> None:
    content_sha256(path)
    read_attributes(path)
    read_dataset(path)


def _checkpoint(folder: Path) -> None:
    saved_states(folder)
    newest_model(folder)
    for step in sorted(path for path in folder.iterdir() if path.is_dir()):
        read_checkpoint(step)


def _metrics(path: Path) -> None:
    read_training_lines(path)
    read_online_lines(path)
    rewind(path, 2)


def _episode(folder: Path) -> None:
    path = folder / "episode-000.json"
    read_result(path)
    is_whole(read_episode(path))
    read_states(read_episode(path))


RUNS = "runs/sim/hopper-medium"
RUN_FILES = [
    Kind(f"{RUNS}/dataset.h5", "", _dataset),
    Kind(f"{RUNS}/tokens.h5", "", load_tokens),
    Kind(f"{RUNS}/gpt-s42/run.json", "", read_record),
    Kind(f"{RUNS}/odt-s42-online/run.json", "", read_record),
    Kind(f"{RUNS}/gpt-s42/config.yaml", "", load_config),
    Kind(f"{RUNS}/odt-s42/config.yaml", "", load_config),
    Kind(f"{RUNS}/gpt-s42/metrics.jsonl", "", _metrics),
    Kind(f"{RUNS}/odt-s42-online/metrics.jsonl", "", _metrics),
    Kind(f"{RUNS}/cut/checkpoints", "*/*", _checkpoint),
    Kind(f"{RUNS}/odt-s42-online/checkpoints", "*/*", _checkpoint),
    Kind(f"{RUNS}/odt-s42-online/buffer", "*.h5", lambda folder: _dataset(sorted(folder.iterdir())[0])),
    Kind(f"{RUNS}/gpt-s42/plans/*", "episode-000.*", _episode),
    Kind(f"{RUNS}/gpt-s42/plans/*", "episode-000.json", _episode),
    Kind("runs/downloads.json", "", lambda path: recorded_hash(path.parent, URL)),
    Kind("unfinished", "hopper.hdf5.part.json", lambda folder: Partial.beside(folder / "hopper.hdf5").origin()),
    Kind("presets/base.yaml", "", read_yaml_mapping),
]


def kinds(specimens: Specimens) -> list[Kind]:
    """All kinds; each dataset and checkpoint of the specimens is one."""
    datasets = [Kind(str(path.relative_to(specimens.folder)), "**/*", _dataset) for path in specimens.datasets]
    foreign = [
        Kind(str(path.relative_to(specimens.folder)), "*", read_checkpoint_folder) for path in specimens.checkpoints
    ]
    return [*RUN_FILES, *datasets, *foreign]


def trials(specimens: Specimens, seed: int, count: int = COUNT) -> Iterator[Trial]:
    """Damaged files, in turn of every kind."""
    known = kinds(specimens)
    for number in range(count):
        kind = known[number % len(known)]
        yield Trial(f"reader {number} of {kind.unit}", partial(_attempt, specimens, kind, f"{seed} reader {number}"))


def _attempt(specimens: Specimens, kind: Kind, seed: str, folder: Path) -> str:
    rng = random.Random(seed)
    source = next(iter(sorted(specimens.folder.glob(kind.unit))))
    unit = folder / source.name
    if source.is_dir():
        shutil.copytree(source, unit)
    else:
        shutil.copyfile(source, unit)
    files = sorted(path for path in unit.glob(kind.target) if path.is_file()) if unit.is_dir() else [unit]
    target = rng.choice(files)
    what = change(target, rng)
    problem = judge(reading(lambda: kind.read(unit), folder))
    return f"{target.name}: {what}: {problem}" if problem else ""
