"""What a fine-tuning consists of before it begins: its runs, its settings, its learner and its buffer."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from seqrl_cli.config.presets import dump_config
from seqrl_cli.data.policy_windows import trajectories_of
from seqrl_cli.data.spaces import SizeMismatchError
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import RunConflictError, SeqrlError, UsageError
from seqrl_cli.online.players import VectorPlayer
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import read_record, write_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import append_line, read_online_lines
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.workflows.finetune_online import players, setup
from seqrl_cli.workflows.finetune_online.players import Players, make_vector
from seqrl_cli.workflows.finetune_online.resolve import FinetuneOnlineJob, resolve
from seqrl_cli.workflows.finetune_online.run import run as finetune
from seqrl_cli.workflows.finetune_online.setup import (
    iterations_done,
    load_initial_policy,
    make_context,
    move_context,
    warn_of_settings,
)
from tests.workflows.tiny import ENVIRONMENT, NAME, Heard, swings, tuning


def resolved(store: RunStore, run: str = "odt-s42", **options: Any) -> FinetuneOnlineJob:
    return resolve(tuning(store, run, **options), Heard().warn)


def in_process(slots: int = 1) -> SeededVectorEnv:
    return SeededVectorEnv(ENVIRONMENT, slots, max_episode_steps=3)


def playing_in(vector: SeededVectorEnv) -> Players:
    return Players(VectorPlayer(vector), VectorPlayer(vector))


@pytest.fixture
def tuned(store) -> RunFolder:
    """The odt's run as fine-tuning leaves it after one of two iterations, without its checkpoints."""
    parent, run = (store.dataset(NAME).run(name) for name in ("odt-s42", "odt-s42-online"))
    job = resolved(store)
    run.path.mkdir()
    record = read_record(parent.record)
    changes = {"name": run.path.name, "parent": "odt-s42", "online_seed": 42, "status": "interrupted"}
    write_record(run.record, record.model_copy(update=changes))
    run.config.write_text(dump_config(job.config))
    return run


def test_a_new_run_is_its_parents_child(made_store):
    job = resolved(made_store)
    best = pytest.approx(float(swings().returns.max()), rel=1e-3)
    assert (job.run.path.name, job.parent.path.name) == ("odt-s42-online", "odt-s42")
    assert (job.resumes, job.from_parent, job.env_id, job.references) == (False, True, ENVIRONMENT, None)
    assert job.seed == 42 and job.target_return == best and job.target_return < 0


def test_exploration_aims_above_the_target_even_below_zero(made_store):
    job = resolved(made_store, online__exploration_ratio=1.5)
    assert job.exploration_return == pytest.approx(job.target_return / 2)
    assert resolved(made_store, plan__target_return=100.0, online__exploration_ratio=1.5).exploration_return == 150.0
    assert resolved(made_store, online__exploration_return=7.0).exploration_return == 7.0


def test_a_multiple_takes_the_place_of_the_runs_target(made_store):
    plain, more = resolved(made_store), resolved(made_store, plan__target_multiple=1.5, online__exploration_ratio=1.5)
    assert more.target_return == pytest.approx(plain.target_return / 2)  # it is below zero
    assert more.exploration_return == pytest.approx(plain.target_return / 4)
    assert more.config.plan.target_multiple == 1.0


def test_another_seed_is_in_the_name(made_store):
    job = resolved(made_store, online__seed=7)
    assert job.seed == 7 and job.run.path.name == "odt-s42-online-s7"
    assert resolved(made_store, name="mine", online__seed=7).run.path.name == "mine"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"train__updates": 3}, UsageError, "'train.updates' cannot be changed when fine-tuning"),
        ({"name": "odt-s42"}, UsageError, "the name of the pretrained run itself"),
        ({"name": "dt-s42"}, RunConflictError, "exists, but was not fine-tuned from"),
        ({"online__envs": 5}, UsageError, "some would be dropped before any update used them"),
        ({"online__exploration_return": 1e300}, UsageError, "float32 is too coarse"),
        ({"run": "absent"}, SeqrlError, "no run 'absent'"),
    ],
)
def test_what_cannot_be_is_refused(made_store, options, error, message):
    with pytest.raises(error, match=message):
        resolved(made_store, **options)


@pytest.mark.parametrize("arch", ["gpt", "retnet", "dt", "bc"])
def test_what_cannot_explore_names_one_that_can(made_store, arch):
    with pytest.raises(SeqrlError, match=f"is a {arch}, and only an odt can be fine-tuned online") as caught:
        resolved(made_store, f"{arch}-s42")
    assert caught.value.hint == f"for example: seqrl finetune-online {NAME}/odt-s42"


@pytest.mark.parametrize("name", ["odt-s42", "odt-s42-online"])
def test_a_run_that_exists_resumes_by_either_name(store, tuned, name):
    job = resolved(store, name)
    assert job.resumes and job.run.path == tuned.path and job.parent.path.name == "odt-s42"
    assert job.from_parent, "there is no checkpoint of its own"
    assert not resolved(store, name, force=True).resumes


def test_bookkeeping_and_more_iterations_do_not_stop_a_resume(store, tuned):
    others = {"online__eval_every": 3, "online__checkpoint_every": 5, "online__iterations": 9}
    job = resolved(store, **others)
    assert job.resumes and job.config.online.iterations == 9 and job.config.online.eval_every == 3
    tuned.config.write_text(tuned.config.read_text().replace("keep_checkpoints: 3", "keep_checkpoints: 1"))
    assert resolved(store).config.train.keep_checkpoints == 1
    with pytest.raises(RunConflictError, match=r"online.updates 1 \(asked: 2\)"):
        resolved(store, online__updates=2)


def test_a_run_that_starts_over_keeps_the_seed_that_its_name_may_contain(store, tuned):
    tuned.config.write_text(tuned.config.read_text().replace("online:\n  seed: 42\n", "online:\n  seed: 8\n"))
    assert resolved(store, force=True).seed == 8
    assert resolved(store, force=True, online__seed=42).seed == 42


def test_the_policy_is_the_parents_and_an_unfinished_one_is_named(store, odt):
    job, heard = resolved(store), Heard()
    assert load_initial_policy(job, heard).step == 2 and not heard.warnings
    shutil.rmtree(odt.checkpoints / "00000002")
    write_record(odt.record, read_record(odt.record).model_copy(update={"status": "interrupted"}))
    assert load_initial_policy(job, heard).step == 1
    assert len(heard.warnings) == 1 and "fine-tuning starts from 1 of its 2 updates" in heard.warnings[0]


def test_an_environment_of_other_sizes_is_refused_and_freed(made_store, monkeypatch):
    closed = []
    monkeypatch.setattr(players, "SeededVectorEnv", lambda *_, **__: Closing("MountainCarContinuous-v0", 1))
    monkeypatch.setattr(Closing, "close", lambda self: closed.append(SeededVectorEnv.close(self)))
    job = resolved(made_store)
    with pytest.raises(SizeMismatchError, match="sizes"):
        make_vector(made_store, job, load_initial_policy(job, Heard()), 1, Heard())
    assert closed == [None]


class Closing(SeededVectorEnv):
    """Environments in this process whose end is noticed."""


def test_a_context_starts_from_the_parent_with_the_best_episodes(made_store, tmp_path):
    job, heard = resolved(made_store, online__learning_rate=0.5, online__capacity=2), Heard()
    trained = load_initial_policy(job, heard)
    with closing(in_process()) as vector:
        place = make_context(made_store, job, trained, playing_in(vector), heard)
    best = sorted(swings().returns)[-2:]
    assert sorted(float(each.total_reward) for each in place.offline) == pytest.approx(best)
    assert place.learner.step == 2 and place.learner.settings.learning_rate == 0.5
    assert place.buffer.capacity == 2 and len(place.buffer) == 0
    moved = move_context(place, job, RunFolder(tmp_path / "new"))
    assert moved.checkpoints == tmp_path / "new/checkpoints" and moved.buffer is not place.buffer
    assert moved.learner is place.learner and place.checkpoints == job.run.checkpoints


def test_a_context_that_is_too_long_is_refused(made_store):
    job = resolved(made_store, plan__max_context_transitions=9)
    with closing(in_process()) as vector, pytest.raises(SeqrlError, match="a context of 9"):
        make_context(made_store, job, load_initial_policy(job, Heard()), playing_in(vector), Heard())


def test_settings_that_are_odd_are_warned_of(made_store):
    heard = Heard()
    warn_of_settings(resolved(made_store, plan__target_return=1e6, online__exploration_return=1e7), heard.warn)
    told = " ".join(heard.warnings)
    assert len(heard.warnings) == 2 and "the target return 1,000,000" in told and "exploration return" in told
    warn_of_settings(resolved(made_store, online__capacity=2), heard.warn)
    assert heard.warnings[2].startswith("the buffer holds 2 episodes, fewer than train.batch_size = 4")


def test_evaluations_are_means_and_need_an_episode(made_store):
    with pytest.raises(SeqrlError, match="no evaluation episode had finite numbers"):
        setup._summarize_evaluation([], None)
    summary = setup._summarize_evaluation(trajectories_of(swings()), (-200.0, 0.0))
    mean = float(np.mean(swings().returns))
    assert summary.return_ == pytest.approx(mean) and summary.score == pytest.approx(100 * (mean + 200) / 200)
    assert summary.length == 20.0


def test_iterations_that_are_done_are_those_logged(tmp_path):
    run = RunFolder(tmp_path)
    assert iterations_done(run) == 0
    append_line(run.metrics, 5, {"iteration": 3, "env_steps": 9, "elapsed": 1.0})
    assert iterations_done(run) == 3


def test_a_fine_tuning_resumes_with_other_bookkeeping(store, one_process):
    finetune(tuning(store, online__iterations=1), Heard())
    run = store.dataset(NAME).run("odt-s42-online")
    run.config.write_text(run.config.read_text().replace("log_every: 1", "log_every: 9"))
    run.config.write_text(run.config.read_text().replace("keep_checkpoints: 3", "keep_checkpoints: 1"))
    report = finetune(tuning(store, online__eval_every=1, online__checkpoint_every=1), Heard())
    assert report.fresh and report.iterations == 2 and len(saved_steps(run.checkpoints)) == 1
    assert [line.iteration for line in read_online_lines(run.metrics)] == [0, 1, 2]
    assert json.loads(run.record.read_text())["status"] == "finished"
