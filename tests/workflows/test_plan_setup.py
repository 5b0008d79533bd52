"""A run made ready to play: its settings, what is refused, and how often its files are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqrl_cli.console import Console
from seqrl_cli.data.spaces import SizeMismatchError
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.profile import Profile
from seqrl_cli.runs.record import read_record, write_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.plan.agents import BeamSearchSpec, PolicyAgentSpec
from seqrl_cli.workflows.plan.run import run as plan
from seqrl_cli.workflows.plan.setup import PlanRequest, PlanSession, open_session
from tests.workflows.tiny import ENVIRONMENT, NAME, TINY, Heard, swings

POLICIES = ("dt", "odt", "bc")


def opened(store: RunStore, run: str | None, heard: Heard | None = None, **options: Any) -> PlanSession:
    request = PlanRequest(store, run, device="cpu", threads=1, **options)
    return open_session(request, (heard or Heard()).warn)


@pytest.mark.parametrize("arch", TINY)
def test_a_session_has_all_that_its_episodes_share(made_store, arch):
    session = opened(made_store, f"{NAME}/{arch}-s42", seed=3, overrides={"plan.episodes": 2})
    assert (session.env_id, session.references, session.observation_size) == (ENVIRONMENT, None, None)
    assert session.run.path == made_store.root / NAME / f"{arch}-s42"
    assert session.folder.parent == session.run.plans and session.folder.name.endswith("-s3")
    facts = session.facts()
    assert (facts.run, facts.arch, facts.seed, facts.checkpoint_step) == (f"{arch}-s42", arch, 3, 2)
    assert facts.recipe and "episodes" not in facts.settings and session.settings["episodes"] == 2
    assert ("beam_width" in facts.settings) == (arch not in POLICIES)


@pytest.mark.parametrize("arch", TINY)
def test_how_a_run_decides(made_store, arch):
    agent = opened(made_store, f"{arch}-s42", max_memory=None if arch in POLICIES else 2**30).agent
    assert isinstance(agent, PolicyAgentSpec if arch in POLICIES else BeamSearchSpec)
    assert agent.engine in ("native", "torch") and agent.describe(4).count("4 at once, ") == 1
    if isinstance(agent, BeamSearchSpec):
        assert agent.describe(1).startswith("horizon 2, 4 beams, ") and "1,024 MiB allowed" in agent.facts(1)["memory"]
    elif arch == "bc":
        assert agent.describe(1) == "imitating the data"
    else:
        assert "target return -77.36" in agent.describe(1) and "returns in the data" in agent.facts(1)


def test_the_return_is_the_datas_best_unless_another_is_asked_for(made_store):
    best = pytest.approx(float(swings().returns.max()), rel=1e-3)
    assert opened(made_store, "dt-s42").config.target_return == best
    heard = Heard()
    assert opened(made_store, "dt-s42", heard, overrides={"plan.target_return": 1e6}).config.target_return == 1e6
    assert len(heard.warnings) == 1 and "the target return 1,000,000 is far" in heard.warnings[0]


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ("gpt-s42", {"overrides": {"train.updates": 3}}, "'train.updates' cannot be changed when planning"),
        ("gpt-s42", {"overrides": {"plan.target_return": 1.0}}, "only a dt or an odt has it, not a gpt"),
        ("dt-s42", {"overrides": {"plan.horizon": 3}}, "has it, not a dt"),
        ("gpt-s42", {"overrides": {"plan.horizon": 0}}, "plan.horizon"),
        ("dt-s42", {"overrides": {"plan.target_return": 1e300}}, "float32 is too coarse"),
        ("gpt-s42", {"mode": "recurrent"}, "--mode recurrent: only a retnet has it, not a gpt"),
        ("retnet-s42", {"mode": "sideways"}, "sideways"),
        ("dt-s42", {"max_memory": 2**30}, "--max-memory limits the beam search, but"),
    ],
)
def test_what_means_nothing_to_a_run_is_refused(made_store, run, options, message):
    with pytest.raises(UsageError, match=message):
        opened(made_store, run, **options)


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ("gpt-s43", {}, "no run 'gpt-s43'"),
        ("gpt-s42", {"checkpoint": 9}, "has no checkpoint 9"),
        ("gpt-s42", {"overrides": {"plan.max_context_transitions": 99}}, "99"),
        ("dt-s42", {"overrides": {"plan.max_context_transitions": 99}}, "99"),
    ],
)
def test_what_a_model_cannot_hold_is_refused(made_store, run, options, message):
    with pytest.raises(SeqrlError, match=message):
        opened(made_store, run, **options)


def test_a_named_checkpoint_is_in_the_folders_name_and_needs_no_warning(gpt, store):
    write_record(gpt.record, read_record(gpt.record).model_copy(update={"status": "interrupted"}))
    newest, named = Heard(), Heard()
    folder = opened(store, "gpt-s42", newest).folder
    session = opened(store, "gpt-s42", named, checkpoint=1)
    assert session.trained.step == 1 and session.folder != folder
    assert len(newest.warnings) == 1 and "its newest checkpoint, of update 2, is used" in newest.warnings[0]
    assert not named.warnings


def test_the_environment_is_the_records_when_the_dataset_is_gone(store):
    store.dataset(NAME).dataset.unlink()
    session = opened(store, "dt-s42")
    assert (session.env_id, session.references) == (ENVIRONMENT, None)


def test_an_environment_of_other_sizes_is_refused(gpt, store):
    store.dataset(NAME).dataset.unlink()
    write_record(gpt.record, read_record(gpt.record).model_copy(update={"env_id": "MountainCarContinuous-v0"}))
    session = opened(store, "gpt-s42")
    vector = session.make_vector(1, 5)
    with pytest.raises(SizeMismatchError, match="MountainCarContinuous-v0"):
        session.rollout(vector, Profile())
    vector.close()


def test_an_episode_that_blew_up_is_refused(made_store):
    session, states = opened(made_store, "dt-s42"), np.zeros((2, 1))
    broken = EpisodeRecord(0, 1, True, 0.05, np.full((2, 1), np.nan), states[:1], np.zeros(1), states, states)
    with pytest.raises(SeqrlError, match=f"episode 0 in {ENVIRONMENT} has .* that are not finite"):
        session.check_finite(broken)


_reads: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _reads is not None and arguments[2] & os.O_ACCMODE == os.O_RDONLY:
        _reads.append(str(arguments[0]))


@contextmanager
def counted_reads(*names: str) -> Iterator[dict[str, int]]:
    """How often files of these names are opened to be read in the block, by their paths."""
    global _reads
    counts: dict[str, int] = {}
    if not hasattr(counted_reads, "hooked"):
        sys.addaudithook(_note)
        counted_reads.hooked = True  # type: ignore[attr-defined]
    _reads = []
    try:
        yield counts
    finally:
        found, _reads = _reads, None
        for path in found:
            if Path(path).name in names:
                counts[path] = counts.get(path, 0) + 1


@pytest.mark.parametrize("arch", ["gpt", "dt"])
def test_a_plan_reads_its_run_once(store, arch):
    run = store.dataset(NAME).run(f"{arch}-s42")
    request = PlanRequest(store, f"{NAME}/{arch}-s42", {"plan.episodes": 1, "plan.max_steps": 2}, device="cpu")
    with counted_reads("run.json", "config.yaml") as counts:
        plan(request, Console(quiet=True))
    assert counts == {str(run.record): 1, str(run.config): 1}


def test_a_plan_of_a_run_by_its_name_reads_every_record_to_find_it(store):
    run = store.dataset(NAME).run("dt-s42")
    request = PlanRequest(store, "dt-s42", {"plan.episodes": 1, "plan.max_steps": 2}, device="cpu")
    with counted_reads("run.json", "config.yaml") as counts:
        plan(request, Console(quiet=True))
    others = {str(store.dataset(NAME).run(f"{arch}-s42").record): 1 for arch in TINY if arch != "dt"}
    assert counts == {**others, str(run.record): 2, str(run.config): 1}


@pytest.mark.parametrize("limit", [1e-9, 60.0])
def test_how_far_a_search_with_little_time_looked_is_told(store, gpt, limit):
    heard = Heard()
    keys = {"plan.seconds_per_step": limit, "plan.episodes": 1, "plan.max_steps": 2}
    report = plan(PlanRequest(store, str(gpt.path), keys), heard)
    looked = 1 if limit < 1 else 2
    assert (report.horizon, report.mean_plan_length) == (2, looked)
    cut = ", plans of 1.0 in place of 2 transitions"
    assert (cut in heard.notes[-1]) == (cut in report.text()) == (looked < 2)
