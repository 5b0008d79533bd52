"""Episode results: every plan JSON below a folder, ours and those of the original projects."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrl_cli.errors import SeqrlError
from seqrl_cli.reports.origins import Origin, origin_folder, read_origin, step_limit_of
from seqrl_cli.runs.record import SCHEMA_VERSION

_OURS = "episode-*.json"
_ORIGINAL = "rollout.json"
_ORIGINAL_SETTINGS = re.compile(r"^(?:(?P<arch>[a-z]+)_)?freq(?P<freq>\d+)_H(?P<horizon>\d+)_beam(?P<beam>\d+)$")
_ORIGINAL_DATASET = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)+-v\d+$")
_SEED_SUFFIX = re.compile(r"-s\d+$")


@dataclass(frozen=True)
class EpisodeResult:
    """One closed-loop episode.

    Attributes:
        dataset: id of the dataset that the model was trained on.
        arch: architecture of the model, for example ``"gpt"``.
        run: name of the trained model; the bootstrap resamples runs before episodes.
        settings_label: plan settings, for example ``"H15-B128-ctx5"``; empty when unknown.
        score: normalized score as a fraction, tables show 100 times this; None where nobody defined reference scores.
        return_: sum of rewards.
        steps: environment steps played.
        terminated: whether the episode ended by failure rather than by the time limit.
        seed: the episode's seed; None in the originals' files.
        seconds_per_step: wall time of one planned step; None in the originals' files.
        env_id: the environment that was played; None in the originals' files.
        path: the JSON file.
        recipe: what the model was made by, its seed left out; models of one recipe are seeds of one method. None in
            the originals' files.
        parent: the run that this one was fine-tuned from; None when it was trained from scratch.
        model_seed: what the model was trained with; None when its run is not there.
        iterations: of online fine-tuning when it was played; None when unknown, or never fine-tuned.
        online_steps: environment steps that were explored by then.
        cut_at: the plan's own step limit, where that ended the episode before its environment would have; else None.
    """

    dataset: str
    arch: str
    run: str
    settings_label: str
    score: float | None
    return_: float
    steps: int
    terminated: bool
    seed: int | None
    seconds_per_step: float | None
    env_id: str | None
    path: Path
    recipe: str | None = None
    parent: str | None = None
    model_seed: int | None = None
    iterations: int | None = None
    online_steps: int | None = None
    cut_at: int | None = None

    @property
    def replicate(self) -> str:
        """What is independent of the other models of the recipe: a seed, or a parent or run where that is unknown."""
        return (self.parent or self.run) if self.model_seed is None else f"seed {self.model_seed}"

    @property
    def method(self) -> str:
        """Architecture and settings, for example ``"gpt H15-B128-ctx5"``; ``"odt online …"`` when fine-tuned."""
        stage = " online" if self.parent else ""
        return f"{self.arch}{stage} {self.settings_label}".strip()

    @property
    def run_method(self) -> str:
        """Run and settings, for example ``"gpt-s42 H15-B128-ctx5"``."""
        return f"{self.run} {self.settings_label}".strip()


@dataclass(frozen=True)
class Results:
    """What a folder holds: whole episodes in path order, and one sentence for each file that was left out."""

    episodes: tuple[EpisodeResult, ...]
    warnings: tuple[str, ...]


class _Unreadable(Exception):
    """Why one file is not a whole episode."""


def read_results(*folders: Path) -> Results:
    """Read every ``episode-*.json`` and every original ``rollout.json`` below the folders, each file once.

    A damaged, truncated or foreign file is named in ``warnings`` and left out.

    Raises:
        SeqrlError: one of ``folders`` is not a folder.
    """
    episodes, warnings = [], []
    origins: dict[Path | None, Origin] = {}
    for path in sorted({path.resolve() for folder in folders for path in _episode_files(folder)}):
        try:
            folder = origin_folder(path)
            if folder not in origins:
                origins[folder] = read_origin(folder)
            episodes.append(read_episode(path, origins[folder]))
        except SeqrlError as error:
            warnings.append(f"left out: {error.message}")
    return Results(tuple(episodes), tuple(warnings))


def _episode_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SeqrlError(
            f"there is no folder {folder} to read results from", "`seqrl plan` writes results below ./runs"
        )
    return [*folder.rglob(_OURS), *folder.rglob(_ORIGINAL)]


def read_episode(path: Path, origin: Origin | None = None) -> EpisodeResult:
    """Read one episode JSON; the file's name tells ours from the originals'.

    Args:
        path: the file.
        origin: what is known of the run; None = what the folder says that the file lies in.

    Raises:
        SeqrlError: the file is not a whole episode record.
    """
    try:
        record = _load(path)
        if path.name == _ORIGINAL:
            return _original_episode(record, path)
        return _own_episode(record, path, origin or read_origin(origin_folder(path)))
    except _Unreadable as error:
        raise SeqrlError(f"{path} is not a whole episode: {error}", "`seqrl plan --force` makes it anew") from error


def _load(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _Unreadable(f"it cannot be opened ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise _Unreadable("it is not text") from error
    except json.JSONDecodeError as error:
        raise _Unreadable(f"it is truncated or not JSON (line {error.lineno})") from error
    except ValueError as error:
        raise _Unreadable("it holds a number of too many digits") from error
    if not isinstance(record, dict):
        raise _Unreadable("it does not hold one JSON object")
    return record


def _own_episode(record: dict[str, Any], path: Path, origin: Origin) -> EpisodeResult:
    version = _whole(record, "schema_version")
    if version > SCHEMA_VERSION:
        raise _Unreadable(f"its schema_version is {version}, newer than {SCHEMA_VERSION}")
    step = record.get("checkpoint_step")
    iterations, online_steps = origin.explored(step if isinstance(step, int) else None)
    return EpisodeResult(
        dataset=_text(record, "dataset"),
        arch=_text(record, "arch"),
        run=_text(record, "run"),
        settings_label=_settings_label(record.get("settings"), path),
        **_outcome(record),
        seed=_whole(record, "seed"),
        seconds_per_step=_number(record, "seconds_per_step") if "seconds_per_step" in record else None,
        env_id=_text(record, "env_id"),
        path=path,
        recipe=origin.recipe_of(_text(record, "recipe") if "recipe" in record else None, step),
        parent=_text(record, "parent") if record.get("parent") is not None else None,
        model_seed=origin.seed,
        iterations=iterations,
        online_steps=online_steps,
        cut_at=_cut_at(record, path),
    )


def _cut_at(record: dict[str, Any], path: Path) -> int | None:
    """``plan.max_steps`` where it ended the episode, and the environment's own limit would not have."""
    settings = record.get("settings")
    limit = settings.get("max_steps") if isinstance(settings, dict) else None
    if not isinstance(limit, int) or record["term"] or record["step"] + 1 < limit:
        return None
    usual = step_limit_of(record["env_id"], path)
    return None if usual is not None and usual <= limit else limit


def _original_episode(record: dict[str, Any], path: Path) -> EpisodeResult:
    if "gpt_epoch" not in record and "model_epoch" not in record:
        raise _Unreadable("it has neither gpt_epoch nor model_epoch, as a rollout.json of the originals has")
    match = next(_settings_matches(path), None)
    label = ""
    if match:
        label = f"H{match['horizon']}-B{match['beam']}" + (f"-freq{match['freq']}" if match["freq"] != "1" else "")
    arch = (match and match["arch"]) or "gpt"
    return EpisodeResult(
        dataset=_original_dataset(path),
        arch=arch,
        run=arch,
        settings_label=label,
        **_outcome(record),
        seed=None,
        seconds_per_step=None,
        env_id=None,
        path=path,
    )


def _settings_matches(path: Path) -> Iterator[re.Match[str]]:
    for parent in path.parents:
        if match := _ORIGINAL_SETTINGS.match(parent.name):
            yield match


def _original_dataset(path: Path) -> str:
    """The nearest folder named like a D4RL dataset; the originals put ``plans/…`` between it and the settings."""
    for parent in path.parents:
        if _ORIGINAL_DATASET.match(parent.name):
            return parent.name
    raise _Unreadable("no folder above it is named like a dataset, such as hopper-medium-v2")


def _settings_label(settings: Any, path: Path) -> str:
    """The plan folder's name without the seed, which has every setting that is not the default.

    A record that was moved out of ``plans/…`` is labelled by horizon, beam and context, as far as it has them.
    """
    if not isinstance(settings, dict):
        raise _Unreadable("it has no settings")
    if path.parent.parent.name == "plans" or not {"horizon", "beam_width"} <= settings.keys():
        return _SEED_SUFFIX.sub("", path.parent.name)
    context = settings.get("max_context_transitions")
    return f"H{settings['horizon']}-B{settings['beam_width']}" + (f"-ctx{context}" if context is not None else "")


def _outcome(record: dict[str, Any]) -> dict[str, Any]:
    """What both kinds of file say in the same words; ``step`` is the last 0-based index."""
    if not isinstance(record.get("term"), bool):
        raise _Unreadable("its term is missing or not true or false")
    return {
        "score": None if record.get("score", "") is None else _number(record, "score"),
        "return_": _number(record, "return"),
        "steps": _whole(record, "step") + 1,
        "terminated": record["term"],
    }


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise _Unreadable(f"its {key} is missing or not a name")
    return value


def _number(record: dict[str, Any], key: str) -> float:
    value = record.get(key)
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise _Unreadable(f"its {key} is missing or not a finite number")
    return number


def _whole(record: dict[str, Any], key: str) -> int:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _Unreadable(f"its {key} is missing or not a whole number")
    return value
