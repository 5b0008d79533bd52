"""The reference rows of a table: the returns of a dataset's own policy and of a random policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.references import LOWER_POLICY, UPPER_POLICY
from seqrl_cli.behaviour.library import list_families, load_behaviour
from seqrl_cli.data.catalogue import scores_of_environment
from seqrl_cli.data.domains import task_of
from seqrl_cli.envs.scores import normalized_score
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.reports.statistics import summarize
from seqrl_cli.reports.table.rows import ReferenceRow

BOOTSTRAP_SEED = 0


def reference_rows(dataset: DatasetRef) -> list[ReferenceRow]:
    """The policy that made the dataset, and the random policy where its return is known."""
    return [_behaviour(dataset), *_random_policy(dataset)]


def reference_notes(dataset: DatasetRef) -> list[str]:
    """The assumption behind scores of a user's own file."""
    env_id, references = dataset.env_id, dataset.reference_scores
    if references is None or is_own_scale(dataset):
        return []
    if dataset.facts is None or dataset.facts.source != "file":
        return []
    return [f"{dataset.id}: its behaviour is scored by the rewards in the file, as if they were those of {env_id}"]


def with_current_scores(episodes: Sequence[EpisodeResult], datasets: Sequence[DatasetRef]) -> tuple[EpisodeResult, ...]:
    """The episodes, scored by the references that a user's own data have now: plans may be older than these."""
    known = {dataset.id: dataset for dataset in datasets if dataset.spec.source == "file"}
    references = {
        name: found
        for name, dataset in known.items()
        if (found := dataset.reference_scores) and task_of(dataset.env_id) is None
    }
    return tuple(
        replace(episode, score=normalized_score(episode.return_, *references[episode.dataset]))
        if episode.dataset in references
        else episode
        for episode in episodes
    )


def is_own_scale(dataset: DatasetRef) -> bool:
    """Whether scores are by returns that the dataset's file or its user states, or by those of a domain."""
    references = dataset.reference_scores
    is_of_domain = task_of(dataset.env_id) is not None
    return references is not None and (is_of_domain or references != scores_of_environment(dataset.env_id))


def scale_of_scores(dataset: DatasetRef) -> str:
    """What scores of 0 and 100 stand for, as half a sentence; the dataset has reference scores."""
    references = dataset.reference_scores
    assert references is not None
    if not is_own_scale(dataset):
        return f"0 is a random policy in {dataset.env_id}, 100 D4RL's reference policy"
    stated = dataset.facts.attributes if dataset.facts is not None else {}
    if (low := stated.get(LOWER_POLICY)) and (high := stated.get(UPPER_POLICY)):
        return f"0 is {low}, 100 {high}"
    whose = f"the references of {dataset.env_id}" if task_of(dataset.env_id) else "its own references"
    return f"0 is a return of {references[0]:g}, 100 one of {references[1]:g}, {whose}"


def _behaviour(dataset: DatasetRef) -> ReferenceRow:
    """The policy that made the dataset, measured by the dataset's episodes."""
    returns = dataset.load_episodes().returns
    references = dataset.reference_scores
    row = ReferenceRow(dataset.id, "behaviour (dataset)", float(returns.mean()), None, len(returns))
    if references is None:
        return row
    scores = normalized_score(returns, *references)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    interval = summarize(list(100 * scores), [""] * len(scores), rng).mean_interval
    return replace(row, score=float(scores.mean()), interval=interval)


def _random_policy(dataset: DatasetRef) -> list[ReferenceRow]:
    """The random policy's return: of the shipped random dataset of the environment, or as its domain states it."""
    env_id = dataset.env_id
    for family in list_families():
        behaviour = load_behaviour(family)
        if behaviour.env_id == env_id:
            random = behaviour.datasets["random"]
            percent = dataset.percent_score(random["mean_return"])
            score = None if percent is None else percent / 100
            episodes = round(random["transitions"] / random["mean_length"])
            return [ReferenceRow(dataset.id, "random policy", random["mean_return"], score, episodes)]
    task = task_of(env_id)
    if task is None or task.random_return is None:
        return []
    percent = dataset.percent_score(task.random_return)
    return [ReferenceRow(dataset.id, "random policy", task.random_return, None if percent is None else percent / 100)]
