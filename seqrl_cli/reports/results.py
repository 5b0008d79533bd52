"""Episode results: every planned episode below a folder, ours and those of the original projects."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.json_fields import JsonFieldError, count_field, flag_field, number_field, read_object
from seqrl_cli.files.walk import walk
from seqrl_cli.planning.episode_files import EpisodeFile, episode_paths, read_episode
from seqrl_cli.reports.provenance import RunProvenance, read_provenance, run_folder_of, step_limit_of

_ORIGINAL = "rollout.json"
_ORIGINAL_SETTINGS = re.compile(r"^(?:(?P<arch>[a-z]+)_)?freq(?P<freq>\d+)_H(?P<horizon>\d+)_beam(?P<beam>\d+)$")
_ORIGINAL_DATASET = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)+-v\d+$")
_ONLY_MODE = re.compile(r"^mode-?")  # a policy without settings plays its mode, which a method's name need not say
_SEED_SUFFIX = re.compile(r"-s\d+$")


@dataclass(frozen=True)
class EpisodeResult:
    """One closed-loop episode.

    Attributes:
        dataset: id of the dataset that the model was trained on.
        arch: architecture of the model, for example ``"gpt"``.
        run: name of the trained model; the bootstrap resamples runs before episodes.
        settings_label: the plan settings, for example ``"H15-B128-ctx5"``; empty when unknown.
        score: normalized score as a fraction; tables show 100 times this. None without reference scores.
        return_: sum of rewards.
        steps: environment steps played.
        terminated: whether the environment ended the episode rather than the step limit.
        seed: the episode's seed; None in the originals' files.
        seconds_per_step: wall time per step; None in the originals' files.
        env_id: the environment; None in the originals' files.
        path: the JSON file.
        recipe: hash of the model's training configuration without its seed; models of one recipe are seeds of one
            method. None in the originals' files.
        stated_recipe: the recipe as the file states it, which older versions hashed in another way.
        parent: the run that this one was fine-tuned from, by name if that was online, else by its folder below the run
            directory; None when it was trained from scratch.
        learned: what learned when it was fine-tuned offline, such as ``lora``; None for other runs.
        model_seed: the model's training seed; None if its run is missing.
        iterations: iterations of online fine-tuning behind the model; None when unknown or without fine-tuning.
        online_steps: environment steps explored in these iterations.
        cut_at: ``plan.max_steps`` if it ended the episode before the environment's own limit; else None.
        success, success_at_end: whether the task was solved at any step, and at the last; None if not reported.
        trained_on: the dataset, suite or mixture that the model was trained on; None if its run is missing.
        numbers: the values behind the recipe, by configuration key; empty where they are not known.
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
    stated_recipe: str | None = None
    parent: str | None = None
    learned: str | None = None
    model_seed: int | None = None
    iterations: int | None = None
    online_steps: int | None = None
    cut_at: int | None = None
    success: bool | None = None
    success_at_end: bool | None = None
    trained_on: str | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def task(self) -> str:
        """The environment, or the dataset where the file does not state it."""
        return self.env_id or self.dataset

    @property
    def replicate(self) -> str:
        """The independent unit behind the episode: the training seed, or its parent or run if the seed is unknown."""
        return (self.parent or self.run) if self.model_seed is None else f"seed {self.model_seed}"

    @property
    def method(self) -> str:
        """Architecture and settings, such as ``"gpt H15-B128-ctx5"``, or ``"odt online …"`` and ``"dt lora …"``."""
        return f"{self.kind} {self.settings_label}".strip()

    @property
    def kind(self) -> str:
        """The architecture, and how it was fine-tuned if it was: ``"gpt"``, ``"odt online"``, ``"dt lora"``."""
        return f"{self.arch} {self.learned or 'online'}" if self.parent else self.arch

    @property
    def run_method(self) -> str:
        """Run and settings, for example ``"gpt-s42 H15-B128-ctx5"``."""
        return f"{self.run} {self.settings_label}".strip()


@dataclass(frozen=True)
class Results:
    """The complete episodes of a folder in path order, and one sentence per file that was left out."""

    episodes: tuple[EpisodeResult, ...]
    warnings: tuple[str, ...]


def read_results(*folders: Path) -> Results:
    """Read every episode of ``seqrl plan`` and every original ``rollout.json`` below the folders, each file once.

    Damaged, truncated and foreign files are left out and named in ``warnings``.

    Raises:
        SeqrlError: one of ``folders`` is not a folder.
    """
    episodes, warnings = [], []
    provenances: dict[Path | None, RunProvenance] = {}
    for path in sorted({_real(path) for folder in folders for path in _episode_files(folder)}):
        try:
            folder = run_folder_of(path)
            if folder not in provenances:
                provenances[folder] = read_provenance(folder)
            episodes.append(read_result(path, provenances[folder]))
        except SeqrlError as error:
            warnings.append(f"left out: {error.message}")
    return Results(tuple(_with_current_recipes(episodes)), tuple(warnings))


def _with_current_recipes(episodes: Sequence[EpisodeResult]) -> list[EpisodeResult]:
    """The episodes, each older recipe replaced by the current one that it is known to stand for.

    An older recipe covers every key of the current one, so what it stands for in one run it stands for in all: also for
    episodes of earlier checkpoints, and for files that were moved out of their run. A recipe that two runs read
    differently, because one was extended after planning, is left as it is.
    """
    known: dict[str | None, set[str | None]] = defaultdict(set)
    for episode in episodes:
        if episode.recipe != episode.stated_recipe:
            known[episode.stated_recipe].add(episode.recipe)
    sure = {stated: recipes.pop() for stated, recipes in known.items() if len(recipes) == 1}
    return [replace(episode, recipe=sure.get(episode.recipe, episode.recipe)) for episode in episodes]


def _real(path: Path) -> Path:
    """The file that a link leads to, so that no episode counts twice; the name itself if it leads to no file."""
    return path.resolve() if path.is_file() else path


def _episode_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SeqrlError(
            f"there is no folder {folder} to read results from", "`seqrl plan` writes results below ./runs"
        )
    originals = [Path(parent) / _ORIGINAL for parent, names in walk(folder) if _ORIGINAL in names]
    return [*episode_paths(folder, below=True), *originals]


def read_result(path: Path, provenance: RunProvenance | None = None) -> EpisodeResult:
    """Read one episode's JSON file; its name distinguishes ours from the originals'.

    Args:
        path: the file.
        provenance: what the run's folder tells; None to read it from the folder that contains the file.

    Raises:
        SeqrlError: the file is not a complete episode.
    """
    if path.name != _ORIGINAL:
        return _own_episode(read_episode(path), provenance or read_provenance(run_folder_of(path)))
    try:
        return _original_episode(path)
    except JsonFieldError as error:
        raise SeqrlError(f"{path} is not a complete episode: {error}", "copy the file again") from error


def _own_episode(file: EpisodeFile, provenance: RunProvenance) -> EpisodeResult:
    plan = file.plan
    iterations, online_steps = provenance.online_progress(plan.checkpoint_step)
    recipe = provenance.episode_recipe(plan.recipe, plan.checkpoint_step)
    return EpisodeResult(
        dataset=plan.dataset,
        arch=plan.arch,
        run=provenance.run_name(plan.run),
        settings_label=_settings_label(plan.settings, plan.env_id, file.path),
        score=file.score,
        return_=file.return_,
        steps=file.steps,
        terminated=file.terminated,
        seed=plan.seed,
        seconds_per_step=file.seconds_per_step,
        env_id=plan.env_id,
        path=file.path,
        recipe=recipe,
        stated_recipe=plan.recipe,
        parent=plan.parent,
        learned=plan.learned,
        model_seed=provenance.seed,
        iterations=iterations,
        online_steps=online_steps,
        cut_at=_cut_at(file),
        success=file.success,
        success_at_end=file.success_at_end,
        trained_on=provenance.trained_on,
        numbers=provenance.episode_numbers(recipe),
    )


def _cut_at(file: EpisodeFile) -> int | None:
    """``plan.max_steps`` if it ended the episode and the environment's own limit would not have."""
    limit = file.plan.settings.get("max_steps")
    if not isinstance(limit, int) or file.terminated or file.steps < limit:
        return None
    usual = step_limit_of(file.plan.env_id, file.path)
    return None if usual is not None and usual <= limit else limit


def _original_episode(path: Path) -> EpisodeResult:
    record = read_object(path)
    if "gpt_epoch" not in record and "model_epoch" not in record:
        raise JsonFieldError(
            "it has neither gpt_epoch nor model_epoch, one of which every rollout.json of the originals has"
        )
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
        score=None if record.get("score", "") is None else number_field(record, "score"),
        return_=number_field(record, "return"),
        steps=count_field(record, "step") + 1,  # the file contains the last index, from 0
        terminated=flag_field(record, "term"),
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
    """The nearest folder above that is named like a D4RL dataset, for example ``hopper-medium-v2``."""
    for parent in path.parents:
        if _ORIGINAL_DATASET.match(parent.name):
            return parent.name
    raise JsonFieldError("no folder above it is named like a dataset, such as hopper-medium-v2")


def _settings_label(settings: Mapping[str, Any], env_id: str, path: Path) -> str:
    """The plan folder's name without task and seed: it contains every setting that differs from the default.

    A file that was moved out of ``plans/…`` is labelled by its horizon, beam width and context.
    """
    if path.parent.parent.name == "plans" or not {"horizon", "beam_width"} <= settings.keys():
        name = _SEED_SUFFIX.sub("", path.parent.name).removeprefix(f"{env_id.replace('/', '_')}-")
        return _ONLY_MODE.sub("", name)
    context = settings.get("max_context_transitions")
    return f"H{settings['horizon']}-B{settings['beam_width']}" + (f"-ctx{context}" if context is not None else "")


def cut_notes(episodes: Sequence[EpisodeResult]) -> list[str]:
    """A note on episodes that ``plan.max_steps`` cut, if there are any, for tables that do not mark them by row."""
    cut = sum(episode.cut_at is not None for episode in episodes)
    if not cut:
        return []
    ended = f"{cut:,} of {len(episodes):,} episodes were ended early by plan.max_steps"
    return [f"{ended}: their returns and scores do not compare with those of complete episodes"]
