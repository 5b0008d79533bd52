"""What a training consists of before it begins, and how its run is loaded."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from seqrl_cli.artifacts.facts import write_dataset
from seqrl_cli.artifacts.families import FAMILIES, family_of, load_trained
from seqrl_cli.artifacts.policy_family import policy_settings, policy_train_settings
from seqrl_cli.artifacts.sizes import Sizes
from seqrl_cli.artifacts.token_family import train_settings
from seqrl_cli.artifacts.train_job import TrainJob, count_parameters, estimate_seconds, parameters_text
from seqrl_cli.artifacts.trained_run import SavedRun, warn_unfinished
from seqrl_cli.config.architectures import ARCHITECTURES, names_with
from seqrl_cli.config.presets import load_config
from seqrl_cli.data.policy_windows import PolicyWindows
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.data.windows import Windows
from seqrl_cli.errors import RunConflictError, SeqrlError, UsageError
from seqrl_cli.runs.record import read_record, write_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import read_training_lines
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.workflows.train.resume import check_resumable
from seqrl_cli.workflows.train.run import run as train
from seqrl_cli.workflows.train.setup import TrainRequest, check_before_training, complete_config
from tests.workflows.tiny import ENVIRONMENT, EPISODES, LENGTH, LIMIT, NAME, TINY, Heard, make_request, swings

CPU = torch.device("cpu")
PLANNERS = [name for name, one in ARCHITECTURES.items() if one.kind.name == "planner"]
POLICIES = [name for name in ARCHITECTURES if name in names_with("policy")]


def prepare(request: TrainRequest) -> TrainJob:
    family = family_of(request.config.model.arch)
    data = family.ensure(request.dataset, request.config, Heard())
    return family.prepare(complete_config(request.dataset, request.config, data), data, request.dataset.step_limit, CPU)


def test_a_run_is_named_by_its_architecture_and_seed_or_as_asked(made_store):
    request = make_request(made_store, "dt", seed=7)
    assert request.run.path == made_store.dataset(NAME).run("dt-s7").path
    named = TrainRequest(request.dataset, request.config, name="mine")
    assert named.run.path.name == "mine"
    with pytest.raises(UsageError, match="plans"):
        _ = TrainRequest(request.dataset, request.config, name="plans").run


def test_the_datasets_environment_is_settled_and_a_policys_return(made_store):
    best = float(swings().returns.max())
    for arch in TINY:
        request = make_request(made_store, arch)
        data = family_of(arch).ensure(request.dataset, request.config, Heard())
        config = complete_config(request.dataset, request.config, data)
        assert config.data.env_id == ENVIRONMENT and config.data.transitions is None
        expected = pytest.approx(best, rel=1e-3) if arch in ("dt", "odt") else None
        assert config.plan.target_return == expected
    assert complete_config(request.dataset, request.config).data.env_id == ENVIRONMENT


def test_a_simulated_datasets_size_and_seed_are_settled(store):
    stated = {"source": "sim", "env_id": "Hopper-v4", "transitions": 100, "seed": 3}
    write_dataset(store.dataset("sim/hopper-medium").dataset, swings(sizes=(11, 3)), stated)
    request = make_request(store, "gpt", dataset="sim/hopper-medium")
    data = complete_config(request.dataset, request.config).data
    assert (data.env_id, data.transitions, data.seed) == ("Hopper-v4", 100, 3)


def test_early_warnings(store):
    write_dataset(store.dataset("collected/one").dataset, swings(1), {"source": "collected"})
    request, heard = make_request(store, "gpt", dataset="collected/one", plan__max_context_transitions=9), Heard()
    check_before_training(request, prepare(request), heard)
    whole = " ".join(heard.warnings)
    assert len(heard.warnings) == 3 and "seqrl download collected/one data.env_id=ID" in whole
    assert "there is no validation loss" in whole and "`seqrl plan` will refuse this configuration" in whole
    fine, quiet = make_request(store, "gpt"), Heard()
    check_before_training(fine, prepare(fine), quiet)
    assert not quiet.warnings


def test_every_kind_has_a_family():
    assert {one.kind.name for one in ARCHITECTURES.values()} == set(FAMILIES)
    assert family_of("gpt") is family_of("retnet") is not family_of("bc") is family_of("odt")


@pytest.mark.parametrize("arch", TINY)
def test_the_same_request_gives_the_same_job(made_store, arch):
    one, two = (prepare(make_request(made_store, arch)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))
    assert one.settings == two.settings and one.data.fingerprint == two.data.fingerprint
    other = prepare(make_request(made_store, arch, seed=7))
    assert any(not torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))


@pytest.mark.parametrize("arch", PLANNERS)
def test_a_token_models_windows_hold_out_whole_episodes(made_store, arch):
    job = prepare(make_request(made_store, arch, train__validation_share=0.4))
    assert isinstance(job.train, Windows) and job.return_range is None and job.validation
    assert (len(job.train), len(job.validation)) == (3 * (LENGTH - 1), 2 * (LENGTH - 1))


@pytest.mark.parametrize("arch", POLICIES)
def test_a_policy_is_normalized_by_what_it_trains_on(made_store, arch):
    job = prepare(make_request(made_store, arch, train__validation_share=0.4))
    assert isinstance(job.train, PolicyWindows) and isinstance(job.validation, PolicyWindows)
    returns = swings().returns
    assert job.return_range == pytest.approx((returns.min(), returns.max()))
    whole = prepare(make_request(made_store, arch))
    assert not torch.equal(job.model.normalizer.observation_mean, whole.model.normalizer.observation_mean)
    assert job.model.normalizer.action_low.tolist() == [-2.0]


def test_steps_of_an_episode_that_are_embedded(made_store):
    def steps(limit: int) -> int:
        request = make_request(made_store, "dt", policy__time_embedding=True)
        data = family_of("dt").ensure(request.dataset, request.config, Heard())
        model = family_of("dt").prepare(request.config, data, limit, CPU).model
        return len(model.state_dict()["embed_time.weight"])

    assert steps(LIMIT) == LIMIT and steps(LENGTH // 2) == LENGTH


def test_updates_are_those_asked_for_or_of_the_paper(made_store):
    asked = make_request(made_store, "gpt").config
    paper = make_request(made_store, "gpt", train__updates=None, train__n_epochs_ref=50).config
    assert train_settings(asked, 1000, 20).updates == 2
    settings = train_settings(paper, 100_000, 20)
    assert settings.updates == 50 * 1_000_000 // 4
    assert settings.schedule.final_tokens > train_settings(asked, 100_000, 20).schedule.final_tokens


def test_a_policy_learns_as_configured(made_store):
    config = make_request(made_store, "odt", train__beta2=0.9, policy__warmup_updates=3, seed=5).config
    settings = policy_settings(config)
    assert (settings.seed, settings.betas, settings.warmup_updates) == (5, (config.train.beta1, 0.9), 3)
    assert settings.rate(10_000) == settings.learning_rate


def test_a_line_ends_with_the_training_and_not_online(made_store):
    config = make_request(made_store, "dt", train__updates=400, policy__curve="linear").config
    offline = policy_train_settings(config).learner
    assert offline.rate(300) == offline.learning_rate and offline.rate(350) == offline.learning_rate / 2
    assert offline.rate(400) == 0.0 and policy_settings(config).rate(400) == offline.learning_rate


@pytest.mark.parametrize("arch", TINY)
def test_a_placeholder_makes_the_same_model(made_store, arch):
    request = make_request(made_store, arch)
    offsets = np.arange(0, EPISODES * LENGTH + 1, LENGTH)
    sizes = Sizes(EPISODES * LENGTH, Spaces.of_vectors(3, 1), counted=True)
    family = family_of(arch)
    placeholder = family.placeholder(request.dataset, request.config, sizes, offsets)
    config = request.config.model_copy(
        update={"plan": request.config.plan.model_copy(update={"target_return": 1.0})}
    )  # nothing is pinned to data without meaning
    job, real = family.prepare(config, placeholder, LIMIT, CPU), prepare(request)
    assert count_parameters(job.model) == count_parameters(real.model) and len(job.train) == len(real.train)
    assert family.placeholder(request.dataset, request.config, Sizes(100, None, counted=True), offsets) is None


def test_current_data_are_none_before_there_is_a_dataset(tmp_path, made_store):
    for arch in ("gpt", "dt"):
        request = make_request(RunStore(tmp_path), arch, dataset="sim/hopper-medium")
        assert family_of(arch).current(request.dataset, request.config, Heard()) is None
        there = make_request(made_store, arch)
        assert family_of(arch).current(there.dataset, there.config, Heard()) is not None


def test_what_is_left_takes_time(made_store):
    job = prepare(make_request(made_store, "bc"))
    assert estimate_seconds(job, done=2) == 0.0 == estimate_seconds(job, done=3)
    assert parameters_text(job.model) == f"{count_parameters(job.model):,} parameters"
    next(job.model.parameters()).requires_grad_(False)
    assert parameters_text(job.model).endswith(" trainable")


@pytest.mark.parametrize("arch", TINY)
def test_a_run_is_loaded_with_its_newest_or_a_named_checkpoint(made_store, arch):
    run = made_store.dataset(NAME).run(f"{arch}-s42")
    newest, first = load_trained(run, CPU), load_trained(SavedRun.read(run), CPU, 1)
    assert (newest.step, first.step) == (2, 1) and newest.spaces == Spaces.of_vectors(3, 1)
    assert newest.record.arch == arch == newest.config.model.arch and not newest.model.training
    with pytest.raises(SeqrlError, match="has no checkpoint 9") as caught:
        load_trained(run, CPU, 9)
    assert caught.value.hint == "choose one of 1, 2"


def test_a_run_without_checkpoint_says_why(gpt):
    shutil.rmtree(gpt.checkpoints)
    write_record(gpt.record, read_record(gpt.record).model_copy(update={"status": "interrupted"}))
    with pytest.raises(SeqrlError, match="gpt-s42, which .*, has no checkpoint yet"):
        load_trained(gpt, CPU)


def test_a_run_of_other_tokens_is_refused(gpt):
    write_record(gpt.record, read_record(gpt.record).model_copy(update={"tokens_fingerprint": "0"}))
    with pytest.raises(SeqrlError, match="was trained on other tokens"):
        load_trained(gpt, CPU)


@pytest.mark.parametrize("missing", ["run.json", "config.yaml"])
def test_a_run_is_both_files(gpt, missing):
    (gpt.path / missing).unlink()
    with pytest.raises(SeqrlError):
        SavedRun.read(gpt)


def test_an_unfinished_run_is_named(gpt):
    heard = Heard()
    record = read_record(gpt.record)
    warn_unfinished(gpt, record, 2, heard.warn)
    assert not heard.warnings
    warn_unfinished(gpt, record.model_copy(update={"status": "interrupted"}), 1, heard.warn)
    assert len(heard.warnings) == 1 and "its newest checkpoint, of update 1, is used" in heard.warnings[0]


def test_a_run_without_configuration_resumes(gpt, store):
    request = make_request(store, "gpt")
    data = family_of("gpt").ensure(request.dataset, request.config, Heard())
    gpt.config.unlink()
    record, is_longer = check_resumable(gpt, request.config, data)
    assert record.name == "gpt-s42" and not is_longer


def test_a_policy_is_not_made_shorter(store):
    request = make_request(store, "dt", train__updates=1)
    data = family_of("dt").ensure(request.dataset, request.config, Heard())
    config = complete_config(request.dataset, request.config, data)
    with pytest.raises(RunConflictError, match="a run of 2 updates, more than 1"):
        check_resumable(request.run, config, data)


def test_good_episodes_are_trained_on_more_often(made_store):
    plain, more = (prepare(make_request(made_store, "gpt", train__return_emphasis=power)) for power in (0.0, 3.0))
    assert len(plain.train) == len(more.train)

    def mean_value(windows: Windows) -> float:
        inputs, _, _ = windows.batch(np.arange(len(windows)))
        return float(inputs[:, windows.dims - 1].mean())  # tokens are in the order of values

    assert mean_value(more.train) > mean_value(plain.train)
    assert mean_value(more.validation) == mean_value(plain.validation)


@pytest.mark.parametrize("arch", ["gpt", "odt"])
def test_a_training_that_was_cut_resumes_with_other_bookkeeping(store, arch):
    run = store.dataset(NAME).run(f"{arch}-s42")
    shutil.rmtree(run.checkpoints / "00000002")
    write_record(run.record, read_record(run.record).model_copy(update={"status": "interrupted"}))
    request = make_request(store, arch, train__keep_checkpoints=1, train__log_every=2, train__checkpoint_every=2)
    report = train(request, Heard())
    assert report.fresh and report.updates == 2
    assert saved_steps(run.checkpoints) == sorted({report.best_checkpoint, 2})
    assert load_config(run.config).train.keep_checkpoints == 1 and json.loads(run.record.read_text())["seed"] == 42
    assert [line.step for line in read_training_lines(run.metrics)] == [1, 2]
