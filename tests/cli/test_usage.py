"""Command lines that cannot be parsed: errors as sentences, exit code 2, and one object with --json."""

import json

import pytest

from tests.cli.conftest import assert_refused, invoke

WRONG = [
    (("train", "--sede", "1"), "no such option: --sede; did you mean "),
    (("train", "--seed", "x"), "invalid value for '--seed', 'x': input should be a valid integer"),
    (("plan", "--horizon=0"), "invalid value for '--horizon', '0': input should be greater than or equal to 1"),
    (("plan", "--horizon"), "option '--horizon' requires an argument"),
    (("collect",), "missing argument 'ENV'"),
    (("trian",), "no such command 'trian'; did you mean 'train'?"),
    (("info", "one", "two"), "unexpected extra argument(s) (two)"),
]


@pytest.mark.parametrize(
    ("words", "message"), WRONG, ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_typer_s_own_errors_are_told_like_ours(tmp_path, words, message):
    result = invoke(tmp_path, *words)
    assert_refused(result, 2, message, "--help` lists")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "message"), WRONG, ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_they_are_one_json_object_too(tmp_path, words, message):
    told = json.loads(invoke(tmp_path, words[0], "--json", *words[1:]).stdout)
    assert told["exit_code"] == 2 and message in told["error"] and told["hint"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("train", "--learning-rate", "1e-3"), "did you mean train.learning_rate=VALUE? `seqrl train"),
        (("plan", "--max-steps=50"), "did you mean plan.max_steps=VALUE? "),
        (("sweep", "--updates", "20"), "did you mean train.updates=VALUE? "),
        (("finetune-online", "--capacity", "9"), "did you mean online.capacity=VALUE? "),
        (("plan", "--updates", "20"), "`seqrl plan --help` lists its options"),
        (("demo", "contnual"), "did you mean 'continual'?"),
        (("demo", "--updates", "20"), "`seqrl demo --help` lists its options"),
        (("train", "--arch"), "`seqrl train --help` lists its options"),
        (("trian",), "`seqrl --help` lists the commands"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_the_next_step_is_one_that_helps(tmp_path, words, hint):
    told = invoke(tmp_path, *words)
    assert_refused(told, 2, "", f"hint: {hint}")


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("arch", "model.arch"),
        ("learning_rate", "train.learning_rate"),
        ("plan.learning_rate", "train.learning_rate"),
        ("modle.width", "model.width"),
        ("train.initial_temprature", "policy.initial_temperature"),
    ],
)
def test_a_key_is_found_by_its_last_part(tmp_path, key, near):
    told = invoke(tmp_path, "train", "sim/hopper-medium", f"{key}=1")
    assert_refused(told, 2, f"unknown key '{key}'", f"did you mean '{near}'? `seqrl presets show base --arch ARCH")


def test_nothing_at_all_shows_the_help(tmp_path):
    result = invoke(tmp_path)
    assert result.exit_code == 0 and "demo" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("train", "sim/hopper-medium", "--seed", str(2**64)),
        ("train", "sim/hopper-medium", f"seed={2**64}"),
        ("train", "loop"),
        ("train", "loop.hdf5"),
        ("train", f"{'n' * 300}.hdf5"),
        ("collect", "hopper", "--policy", "random", "--name", f"a/{'n' * 300}"),
        ("plan", "n" * 300),
    ],
)
def test_seeds_names_and_links_that_cannot_be_are_mistakes_of_usage(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    for name in ("loop", "loop.hdf5"):
        (tmp_path / name).symlink_to(name)
    result = invoke(tmp_path / "runs", *words)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.exit_code == 2 and len(errors) == 1, result.output
    assert not (tmp_path / "runs").exists()


def interrupt(*arguments, **named):
    raise KeyboardInterrupt


def test_an_interruption_says_whether_anything_was_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("seqrl_cli.workflows.show.machine.show_machine", interrupt)
    monkeypatch.setattr("seqrl_cli.workflows.data.download.dry_run", interrupt)
    monkeypatch.setattr("seqrl_cli.workflows.data.download.run", interrupt)
    for words, hint in (
        (("info",), "nothing was written"),
        (("download", "sim/hopper-random", "--dry-run"), "nothing was written"),
        (("download", "sim/hopper-random"), "finished work was kept; the same command resumes"),
    ):
        assert_refused(invoke(tmp_path, *words), 130, "interrupted", hint)


def test_an_interruption_before_a_command_begins_is_told_too(tmp_path, monkeypatch):
    monkeypatch.setattr("seqrl_cli.cli.info.command_session", interrupt)
    assert_refused(invoke(tmp_path, "info"), 130, "interrupted", "nothing was written")


def test_a_place_that_takes_no_folders(tmp_path):
    refused = invoke("/proc/nowhere", "collect", "Pendulum-v1", "--policy", "random", "-n", 10)
    assert_refused(refused, 1, "there is no such folder, and none can be made there", "--runs-dir")


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--lr", "did you mean train.learning_rate=VALUE?"),
        ("--learning-rate", "did you mean train.learning_rate=VALUE?"),
        ("-updates", "did you mean --updates?"),
        ("--wibble", "`seqrl train --help` lists its options"),
    ],
)
def test_options_of_other_projects_are_understood(tmp_path, option, meant):
    refused = invoke(tmp_path, "train", "sim/hopper-medium", option, "3")
    assert_refused(refused, 2, f"no such option: {option if option[1] == '-' else '-u'}", meant)


TRAIN = ("train", "sim/hopper-medium", "--dry-run")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            (*TRAIN, "--seeds", "1-2", "seed=3"),
            "--seed is for one run, and --seeds for several",
            "leave one of them out",
        ),
        ((*TRAIN, "train.recipe=[1]"), "train.recipe = [1]: input should be 'paper' or 'modern'", "seqrl presets show"),
        ((*TRAIN, "model.arch=[1]"), "model.arch = [1]: input should be 'gpt', ", "seqrl presets show"),
        ((*TRAIN, "seed=[1"), "the value of 'seed' cannot be read: '[1' (line 1: ", "quote it for the shell"),
        ((*TRAIN, "train=3"), "unknown key 'train'", "it is a section; name one of its keys, for example train."),
        (
            (*TRAIN, "--arch", "mddt", "tasks.max_memory=abc"),
            "tasks.max_memory = 'abc': an amount of",
            "seqrl",
        ),
        ((*TRAIN, "--arch", "mddt", "tasks.max_memory=2"), "tasks.max_memory = 2 is 2 bytes; write ", "seqrl"),
        ((*TRAIN, "--max-memory", "9" * 400), "an amount of memory is written as 2GiB", "for example"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_values_that_contradict_or_mean_nothing(tmp_path, words, message, hint):
    assert_refused(invoke(tmp_path, *words), 2, message, hint)


def test_a_value_given_twice_alike_is_no_contradiction_and_the_last_word_counts(tmp_path):
    assert invoke(tmp_path, *TRAIN, "train.updates=5", "--updates", 5).exit_code == 0
    assert "updates: 5\n" in invoke(tmp_path, *TRAIN, "train.updates=6", "train.updates=5").output
