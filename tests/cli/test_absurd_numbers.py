"""Numbers that nothing has: each is refused in a sentence before anything is built or started."""

from __future__ import annotations

import pytest

from tests.cli.conftest import assert_refused

DATASET = "sim/hopper-medium"
GPT, ODT = f"{DATASET}/gpt-s42", f"{DATASET}/odt-s42"
HUGE, FAR_TOO_HUGE = str(2**31 - 1), str(2**64)
TRAIN = ("train", DATASET, "--name", "new", "model.n_head=2", "--dry-run")

MEMORY = [
    "model.width=2147483648",
    "model.width=1048576",
    f"model.sequence_length={HUGE}",
    "model.sequence_length=1000000",
]


@pytest.mark.parametrize("setting", MEMORY)
def test_models_that_no_machine_holds_are_not_built(seqrl, setting):
    assert_refused(seqrl(*TRAIN, setting), 1, "the model needs ", "lower model.width, model.n_layer")


def test_a_training_that_does_not_fit_is_refused_though_its_model_fits(seqrl, monkeypatch):
    monkeypatch.setattr("seqrl_cli.models.size.available_memory", lambda device: 12_000_000)
    assert_refused(seqrl(*TRAIN, "model.width=256"), 1, "training this model needs ", "or train.batch_size")
    assert seqrl(*TRAIN, "model.width=16", "train.batch_size=8").exit_code == 0


LIMITS = [
    (*TRAIN, "model.n_layer=1001"),
    (*TRAIN, f"model.n_layer={FAR_TOO_HUGE}"),
    (*TRAIN, f"model.n_head={FAR_TOO_HUGE}"),
    (*TRAIN, f"model.width={FAR_TOO_HUGE}"),
    (*TRAIN, f"train.batch_size={FAR_TOO_HUGE}"),
    (*TRAIN, f"train.updates={FAR_TOO_HUGE}"),
    (*TRAIN, "--arch", "odt", f"policy.entropy_samples={HUGE}"),
    (*TRAIN, "--arch", "odt", "policy.temperature_rate=1e300"),
    (*TRAIN, "--threads", HUGE),
    (*TRAIN, "--devices", HUGE),
    (*TRAIN, "--jobs", HUGE, "--seeds", "1-2"),
    ("plan", GPT, f"plan.episodes={FAR_TOO_HUGE}"),
    ("plan", GPT, "--threads", FAR_TOO_HUGE),
    ("collect", "Pendulum-v1", "--policy", "random", "--workers", HUGE),
    ("collect", "Pendulum-v1", "--policy", "random", "-n", FAR_TOO_HUGE),
    ("render", GPT, "--every", FAR_TOO_HUGE),
    ("tune", DATASET, "model.n_layer=1..3", "--trials", HUGE),
    ("demo", "--dry-run", "--threads", HUGE),
    ("continual", GPT, "cw3", f"continual.pool={HUGE}"),
    ("continual", GPT, "cw3", f"continual.prompt_length={HUGE}"),
]


@pytest.mark.parametrize("words", LIMITS, ids=lambda words: " ".join((words[0], *words[-2:]))[:60])
def test_numbers_have_limits(seqrl, words):
    assert_refused(seqrl(*words), 2, "should be less than or equal to", "seqrl")


def test_the_whole_plan_counts_not_only_its_window(seqrl):
    assert_refused(seqrl("plan", GPT, "--horizon", HUGE, "--episodes", "1"), 1, "one plan needs ", "--horizon")


def test_the_largest_seed_is_no_absurd_number(seqrl):
    assert seqrl(*TRAIN, "--seed", str(2**64 - 1)).exit_code == 0
