"""Bad input: one sentence, a hint, the right exit code, nothing lost."""

import json
import shutil

import h5py
import numpy as np
import pytest
import torch
from torch._inductor.exc import InductorError

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.data.tokens_file import load_tokens
from seqrl_cli.training.checkpoints import SCHEMA_VERSION
from tests.cli.conftest import TINY_PLAN, TINY_TRAIN, assert_refused
from tests.data.files import write_file

pytestmark = pytest.mark.slow

RUN = "sim/hopper-medium/gpt-s42"


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("download", "hoper-medium-v2"), "unknown dataset 'hoper-medium-v2'", "hopper-medium-v2"),
        (("download",), "no dataset given", "sim/hopper-medium"),
        (("download", "https://example.com/a.hdf5"), "https://example.com/a.hdf5 is an address", "curl"),
        (("download", "--list", "chess"), "no dataset matches 'chess'", "--list"),
        (("train", "sim/hopper-medium", "sim/ant-medium"), "one dataset at a time", "key=value"),
        (("train", "sim/hopper-medium", "--arch", "gtp"), "arch", "seqrl presets show"),
        (("train", "sim/hopper-medium", "train.learningrate=1"), "unknown key", "train.learning_rate"),
        (("train", "sim/hopper-medium", "train.learning_rate=fast"), "train.learning_rate = 'fast'", "presets show"),
        (("train", "sim/hopper-medium", "--preset", "hoper-medium-v2"), "unknown preset", "hopper-medium-v2"),
        (("train", "sim/hopper-medium", "--size", "huge"), "unknown size 'huge'", "paper"),
        (("train", "sim/hopper-medium", "--device", "gpu"), "unknown device 'gpu'", "cuda"),
        (("plan", "train.updates=3"), "cannot be changed when planning", "plan."),
        (("plan", "plan.percentile=2"), "percentile", "mean"),
        (("render", "--view", "blender"), "unknown view 'blender'", "mujoco"),
        (("render", "-o", "episode.avi"), ".avi", ".gif"),
        (("render", "--view", "blender", "--dry-run"), "unknown view 'blender'", "mujoco"),
        (("render", "-o", "episode.avi", "--dry-run"), ".avi", ".gif"),
        (("render", "size=3"), "takes no key=value", "--help"),
        (("report", "--by", "seed"), "unknown grouping 'seed'", "method"),
        (("runs", "list", "--status", "done"), "unknown status 'done'", "finished"),
        (("runs", "list", "--arch", "gtp"), "unknown architecture 'gtp'", "gpt"),
        (("train", "sim/hopper-medium", "--jobs", "2"), "--jobs is for several runs", "--seeds"),
        (("finetune", "gpt-s42"), "no dataset given: gpt-s42 is a run", "DATASET"),
        (("finetune", "gpt-s42", "sim/hopper-medium", "--rank", "2"), "--rank is the rank of LoRA", "--adapter lora"),
        (("render", "--episode", "7"), "no episode 7", "it has 0, 1"),
        (("demo", "hopper-medium-v2"), "not a simulated dataset", "seqrl train hopper-medium-v2"),
        (("demo", "hopper-medium-v2", "--dry-run"), "not a simulated dataset", "seqrl train hopper-medium-v2"),
        (("download", "nofile.hdf5"), "there is no file nofile.hdf5", "check the path"),
        (("runs", "shw"), "unknown action 'shw'", "show"),
        (("train", "sim/hopper-medium", "train.learning_rate=2020-13-01"), "= '2020-13-01'", "presets show"),
        (("train", "sim/hopper-medium", "train.learning_rate=[1"), "cannot be read", "quote"),
        (("table", "-f", "html"), "unknown format 'html'", "markdown"),
        (("collect", "hopper", "--policy", "medium-replay"), "medium-replay", "did you mean 'medium'?"),
        (("presets", "show", "nothing-like-it"), "nothing-like-it", ""),
    ],
    ids=lambda value: "-".join(map(str, value)).replace("/", "-") if isinstance(value, tuple) else None,
)
def test_usage(seqrl, words, message, hint):
    result = seqrl(*words)
    assert result.exit_code in (1, 2)
    assert_refused(result, result.exit_code, message, hint)


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_cuda_without_one(seqrl):
    result = seqrl("train", "sim/hopper-medium", *TINY_TRAIN, "--device", "cuda", "--name", "x")
    assert_refused(result, 1, "no cuda device", "--device cpu")


def not_finite():
    observations = np.zeros((40, 11), np.float32)
    observations[7, 3] = np.nan
    return observations


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observations": not_finite()}, "row 7"),
        ({"rewards": np.full(40, np.inf, np.float32)}, "rewards"),
        ({"actions": None}, "actions"),
        ({"actions": np.zeros((39, 3), np.float32)}, "39"),
        ({"observations": np.zeros((40, 8, 8, 3), np.float32)}, "observations"),
        ({"rewards": np.array([b"x"] * 40)}, "rewards"),
        (
            {
                key: np.zeros((0, *shape), np.float32)
                for key, shape in {
                    "observations": (11,),
                    "actions": (3,),
                    "rewards": (),
                    "terminals": (),
                    "timeouts": (),
                }.items()
            },
            "no transitions",
        ),
    ],
    ids=["nan", "infinite", "missing", "lengths", "images", "strings", "empty"],
)
def test_bad_datasets(fresh, tmp_path, changes, message):
    path = write_file(tmp_path / "mine.hdf5", **changes)
    assert_refused(fresh("train", path, *TINY_TRAIN), 1, message, "")
    assert not list((tmp_path / "empty").rglob("*.h5"))


@pytest.mark.parametrize("damage", ["truncated", "foreign", "absent"])
def test_damaged_files(fresh, tmp_path, damage):
    path = write_file(tmp_path / "mine.hdf5")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "foreign":
        path.write_text("not a dataset")
    else:
        path.unlink()
    assert_refused(fresh("download", path), 1, "mine.hdf5", "")
    assert not list((tmp_path / "empty").rglob("dataset.h5"))


@pytest.mark.slow
def test_own_file_without_an_environment_trains_and_says_what_planning_needs(fresh, tmp_path):
    path = write_file(tmp_path / "mine.hdf5")
    assert fresh("train", path, *TINY_TRAIN).exit_code == 0
    assert_refused(fresh("plan", *TINY_PLAN), 1, "which environment it is from", "data.env_id=Hopper-v4")
    told = fresh("download", "local/mine", "data.env_id=Hopper-v4")
    assert told.exit_code == 0 and "now states that it is from Hopper-v4" in told.stderr
    assert fresh("plan", *TINY_PLAN).exit_code == 0
    assert json.loads(fresh("table", "--json").stdout)["rows"][0]["mean_score"] is not None


@pytest.mark.slow
def test_an_environment_without_reference_scores_has_returns_but_no_scores(fresh, tmp_path):
    rng = np.random.default_rng(0)
    changes = {"observations": rng.normal(size=(40, 8)), "actions": rng.uniform(-1, 1, size=(40, 2))}
    path = write_file(tmp_path / "mine.hdf5", **changes)
    assert fresh("train", path, *TINY_TRAIN, "data.env_id=Swimmer-v4").exit_code == 0
    assert fresh("plan", *TINY_PLAN).exit_code == 0
    rows = json.loads(fresh("table", "--json").stdout)["rows"]
    assert rows[0]["mean_return"] is not None and rows[0]["mean_score"] is None
    for style in ("terminal", "markdown", "csv", "latex"):
        assert fresh("table", "-f", style).exit_code == 0


def test_environment_of_another_size(fresh, tmp_path):
    path = write_file(tmp_path / "mine.hdf5")
    told = fresh("train", path, *TINY_TRAIN, "data.env_id=Walker2d-v4")
    assert_refused(told, 1, "sizes (11, 3), but Walker2d-v4 has sizes (17, 6)", "data.env_id")
    assert_refused(fresh("train", path, *TINY_TRAIN, "data.env_id=Hoper-v4"), 1, "Hoper-v4", "Hopper-v4")
    assert not list((tmp_path / "empty").rglob("*.h5"))


def test_an_environment_that_contradicts_the_catalogue(seqrl):
    told = seqrl("download", "sim/hopper-medium", "data.env_id=Walker2d-v4")
    assert_refused(told, 2, "is data of Hopper-v4, not of Walker2d-v4", "leave data.env_id out")


def test_contact_forces_of_an_ant_file_are_cut_off(fresh, tmp_path):
    rng = np.random.default_rng(0)
    changes = {"observations": rng.normal(size=(40, 111)), "actions": rng.uniform(-1, 1, size=(40, 8))}
    path = write_file(tmp_path / "ant.hdf5", **changes)
    assert fresh("train", path, *TINY_TRAIN, "data.env_id=Ant-v4").exit_code == 0
    told = json.loads(fresh("info", "local/ant", "--json").stdout)
    assert told["observation_dim"] == 27 and told["attributes"]["observation_slice"] == 27
    assert load_tokens(tmp_path / "empty/local/ant/tokens.h5").observation_slice == 27


def test_names_that_would_hide_or_destroy(runs, seqrl, tmp_path):
    for name in ("plans", ".", "exp/one", "..", "-x"):
        told = seqrl("train", "sim/hopper-medium", *TINY_TRAIN, "--force", f"--name={name}")
        assert_refused(told, 2, "cannot be the name of a run", "letters")
    assert (runs / "sim/hopper-medium/tokens.h5").exists()
    told = seqrl("collect", "hopper", "--policy", "random", "-n", 50, "--name", "hopper-medium-v2")
    assert_refused(told, 2, "is the name of a known dataset", "collected/hopper-medium-v2")


def test_force_with_an_impossible_model_keeps_the_old_run(runs, seqrl):
    told = seqrl("train", "sim/hopper-medium", *TINY_TRAIN, "model.n_head=3", "--force")
    assert_refused(
        told,
        2,
        "model.width = 16 is not divisible by model.n_head = 3",
        "use model.width=12, 18 or 24, or model.n_head=2",
    )
    assert (runs / RUN / "checkpoints/last").exists() and (runs / RUN / "plans").exists()


@pytest.mark.slow
def test_data_made_again_is_discretized_again(runs, seqrl):
    assert seqrl("download", "sim/hopper-medium", "data.transitions=1200", "--force").exit_code == 0
    told = seqrl("train", "sim/hopper-medium", *TINY_TRAIN, "--seed", 7)
    assert told.exit_code == 0 and "has changed since it was discretized" in told.stderr
    assert json.loads(seqrl("discretize", "sim/hopper-medium", "--json").stdout)["transitions"] == 1200
    assert_refused(seqrl("plan", RUN, *TINY_PLAN), 1, "trained on other tokens", "--force")


@pytest.mark.slow
def test_the_same_data_made_again_leaves_runs_alone(runs, seqrl):
    assert seqrl("download", "sim/hopper-medium", "data.transitions=1500", "--force").exit_code == 0
    before = (runs / "sim/hopper-medium/tokens.h5").read_bytes()
    assert seqrl("train", "sim/hopper-medium", *TINY_TRAIN).exit_code == 0
    assert (runs / "sim/hopper-medium/tokens.h5").read_bytes() == before
    assert seqrl("plan", *TINY_PLAN).exit_code == 0


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(runs, seqrl):
    path = runs / RUN / "checkpoints/00000004/model.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    told = seqrl("plan", *TINY_PLAN, "--force")
    assert told.exit_code == 0 and told.stderr.count("warning:") == 1
    assert "00000004 is damaged" in told.stderr and "using the newest whole checkpoint, of update 2" in told.stderr
    record = json.loads((runs / RUN / "plans/H2-B4-ctx3-steps6-s0/episode-000.json").read_text())
    assert record["checkpoint_step"] == 2


def test_training_on_passes_over_a_damaged_checkpoint_in_the_same_words(runs, seqrl):
    path = runs / RUN / "checkpoints/00000004/model.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    record = runs / RUN / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"interrupted"'))
    told = seqrl("train", "sim/hopper-medium", *TINY_TRAIN)
    assert told.exit_code == 0 and told.stderr.count("warning:") == 1
    assert "00000004 is damaged" in told.stderr and "using the newest whole checkpoint, of update 2" in told.stderr


def test_a_newest_checkpoint_of_a_newer_version_is_an_error_and_no_reason_to_use_an_older_one(runs, seqrl):
    state = runs / RUN / "checkpoints/00000004/state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "schema_version": 99}))
    record = runs / RUN / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"interrupted"'))
    for words in (("plan", *TINY_PLAN, "--force"), ("train", "sim/hopper-medium", *TINY_TRAIN)):
        told = seqrl(*words)
        assert told.exit_code == 1 and f"has schema version 99, newer than {SCHEMA_VERSION}" in told.stderr
        assert "hint: upgrade seqrl" in told.stderr


def test_force_never_mixes_old_and_new_episodes(runs, seqrl):
    assert seqrl("plan", *TINY_PLAN, "--episodes", 1, "--force").exit_code == 0
    assert [path.name for path in (runs / RUN / "plans/H2-B4-ctx3-steps6-s0").glob("*.json")] == ["episode-000.json"]


@pytest.mark.slow
def test_states_that_are_cut_short_are_played_again(runs, seqrl):
    states = runs / RUN / "plans/H2-B4-ctx3-steps6-s0/episode-001.h5"
    states.write_bytes(states.read_bytes()[:100])
    assert "1 of 2 episodes exist already" in seqrl("plan", *TINY_PLAN).stderr
    assert seqrl("render", "--episode", 1, "--every", 3).exit_code == 0


def test_a_run_plans_where_its_dataset_is_gone(runs, seqrl):
    (runs / "sim/hopper-medium/dataset.h5").unlink()
    assert seqrl("plan", *TINY_PLAN, "--seed", 3).exit_code == 0


def test_a_file_that_changed_is_not_taken_for_the_old_one(fresh, tmp_path):
    path = write_file(tmp_path / "mine.hdf5")
    assert fresh("download", path).exit_code == 0
    write_file(path, rewards=np.ones(40, np.float32))
    assert_refused(fresh("train", path, *TINY_TRAIN), 1, "made from another mine.hdf5", "--force")


def test_a_run_with_other_settings_is_not_overwritten(seqrl):
    result = seqrl("train", "sim/hopper-medium", *TINY_TRAIN, "train.learning_rate=0.5")
    assert_refused(result, 1, "train.learning_rate 0.008 (asked: 0.5)", "--name")


def test_more_updates_of_a_token_model_are_another_run(seqrl):
    result = seqrl("train", "sim/hopper-medium", *TINY_TRAIN, "--updates", 9)
    assert_refused(result, 1, "has a learning-rate schedule for 4 updates", "--name gpt-s42-9")


def test_tokens_with_other_settings_are_not_overwritten(seqrl):
    result = seqrl("discretize", "sim/hopper-medium", "data.bins=50")
    assert_refused(result, 1, "made with bins 100, not 50", "data.bins=50 --force")


def test_a_run_made_from_other_data_than_the_tokens_at_hand(seqrl):
    assert seqrl("discretize", "sim/hopper-medium", "data.bins=50", "--force").exit_code == 0
    assert_refused(seqrl("plan", *TINY_PLAN), 1, "trained on other tokens", "--force")


def test_plans_of_another_checkpoint_are_not_mixed(runs, seqrl):
    assert seqrl("plan", *TINY_PLAN, "--checkpoint", 2).exit_code == 0
    assert (runs / RUN / "plans/H2-B4-ctx3-steps6-step2-s0/episode-001.json").exists()
    record = runs / RUN / "plans/H2-B4-ctx3-steps6-s0/episode-001.json"
    record.write_text(record.read_text().replace('"checkpoint_step": 4', '"checkpoint_step": 2'))
    assert_refused(seqrl("plan", *TINY_PLAN), 1, "played with checkpoint 2, not 4", "--force")
    played = json.loads(record.read_text())
    record.write_text(json.dumps({**played, "checkpoint_step": 4, "weights": "0" * 16}))
    assert_refused(seqrl("plan", *TINY_PLAN), 1, "played with other weights", "--force")
    assert_refused(seqrl("plan", *TINY_PLAN, "--checkpoint", 3), 1, "no checkpoint 3", "2, 4")


def test_horizon_and_context_that_the_model_cannot_hold(seqrl):
    result = seqrl("plan", "--horizon", 2, "plan.max_context_transitions=9")
    assert_refused(result, 1, "holds 4", "shorten")
    result = seqrl("plan", "--horizon", 3, "plan.max_context_transitions=3", "plan.window=growing")
    assert_refused(result, 1, "holds 4", "shorten")


def test_a_newer_schema_is_refused(runs, seqrl):
    path = runs / RUN / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    assert_refused(seqrl("plan", RUN, *TINY_PLAN), 1, "newer seqrl", "upgrade")


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_named(runs, seqrl, name):
    for folder in (runs / RUN / "checkpoints").glob("0*"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-20])
    assert_refused(seqrl("plan", *TINY_PLAN, "--force"), 1, "damaged", "")


@pytest.mark.slow
def test_a_damaged_plan_is_played_again_and_left_out_of_the_table(runs, seqrl):
    record = runs / RUN / "plans" / "H2-B4-ctx3-steps6-s0" / "episode-001.json"
    record.write_text(record.read_text()[:40])
    told = seqrl("table", "--json")
    assert "episode-001.json" in told.stderr
    assert json.loads(told.stdout)["rows"][0]["episodes"] == 1
    assert "1 of 2 episodes exist already" in seqrl("plan", *TINY_PLAN).stderr
    assert json.loads(seqrl("table", "--json").stdout)["rows"][0]["episodes"] == 2


def test_no_run_yet(fresh):
    assert_refused(fresh("plan"), 1, "no run in", "seqrl train")
    assert_refused(fresh("render"), 1, "no run in", "seqrl train")
    assert_refused(fresh("table"), 1, "no planned episodes", "seqrl plan")


def test_changed_arrays_of_a_dataset_are_refused(runs, seqrl):
    with h5py.File(runs / "sim/hopper-medium/dataset.h5", "a") as file:
        file["observations"][0, 0] += 1
    tokens = (runs / "sim/hopper-medium/tokens.h5").read_bytes()
    refused = seqrl("discretize", "sim/hopper-medium", "--force")
    assert_refused(
        refused, 1, "is damaged: its arrays are not those that were written", "seqrl download sim/hopper-medium"
    )
    assert (runs / "sim/hopper-medium/tokens.h5").read_bytes() == tokens


def test_a_run_that_is_not_finished(runs, seqrl):
    later = shutil.copytree(runs / RUN, runs / "sim/hopper-medium/later")
    shutil.rmtree(later / "plans")
    record = json.loads((later / "run.json").read_text())
    (later / "run.json").write_text(json.dumps({**record, "status": "interrupted", "updated": "9999"}))
    assert "gpt-s42" in seqrl("render", "--dry-run", "--json").stdout  # the latest that has a plan
    other = shutil.copytree(runs / RUN, runs / "sim/hopper-medium/other")
    (other / "run.json").write_text(json.dumps({**record, "name": "other", "updated": "9998"}))
    for path in (runs / RUN / "plans").rglob("episode-*.json"):
        path.touch()
    assert "gpt-s42" in seqrl("render", "--dry-run", "--json").stdout  # the plan that was made last
    shutil.rmtree(other)
    assert_refused(seqrl("render", "later"), 1, "later has no planned episode", "seqrl plan " + str(later))
    told = seqrl("plan", "--dry-run")
    assert "later was interrupted while training: its newest checkpoint, of update 4, is used" in told.stderr
    assert "interrupted" not in seqrl("plan", "--dry-run", "--checkpoint", 2).stderr
    shutil.rmtree(later / "checkpoints")
    assert_refused(seqrl("plan"), 1, "later, which was interrupted while training, has no checkpoint yet", "seqrl runs")


def test_runs_dir_that_is_a_file(fresh, tmp_path):
    (tmp_path / "empty").write_text("in the way")
    result = fresh("download", "sim/hopper-random", "data.transitions=50")
    assert_refused(result, 1, "a file is where a folder should be", "--runs-dir")


def test_two_stems_do_not_mix(fresh, tmp_path):
    one = write_file(tmp_path / "mine.hdf5")
    (tmp_path / "other").mkdir()
    two = write_file(tmp_path / "other" / "mine.hdf5", rewards=np.ones(40, np.float32))
    names = [json.loads(fresh("download", path, "--json").stdout)["dataset"] for path in (one, two, one, two)]
    assert names[:2] == names[2:] and names[0] == "local/mine" != names[1] and names[1].startswith("local/mine-")
    assert {spec["dataset"] for spec in [json.loads(fresh("info", name, "--json").stdout) for name in names]} == set(
        names
    )


def test_errors_are_json_too(seqrl):
    told = json.loads(seqrl("download", "hoper-medium-v2", "--json").stdout)
    assert told["exit_code"] == 2 and "hopper-medium-v2" in told["hint"]


def test_a_dataset_written_by_the_library_is_taken_in(fresh, tmp_path):
    rng = np.random.default_rng(1)
    ends = np.arange(30) % 10 == 9
    episodes = Episodes.from_flags(
        rng.normal(size=(30, 11)), rng.uniform(-1, 1, (30, 3)), np.ones(30), ends, ~ends & False
    )
    write_d4rl(tmp_path / "own.h5", episodes, {"env_id": "Hopper-v4"})
    told = json.loads(fresh("download", tmp_path / "own.h5", "--json").stdout)
    assert told["dataset"] == "local/own" and told["episodes"] == 3
    shutil.rmtree(tmp_path / "empty")


def test_a_state_that_lacks_a_key_is_a_damaged_checkpoint(runs, seqrl):
    words = ("train", "sim/hopper-medium", *TINY_TRAIN, "--name", "cut")
    assert seqrl(*words).exit_code == 0
    folder = runs / "sim/hopper-medium/cut"
    path = folder / "checkpoints/00000004/state.json"
    state = json.loads(path.read_text())
    parts = (("losses", state["training"]), ("position", state["training"]["sampler"]))
    for (key, where), says in zip(parts, ("has no 'losses'", "cannot be used: its position is missing"), strict=True):
        value = where.pop(key)
        path.write_text(json.dumps(state))
        record = folder / "run.json"
        record.write_text(record.read_text().replace('"finished"', '"interrupted"'))
        assert_refused(seqrl(*words), 1, f"state.json {says}", "remove that folder")
        where[key] = value


def test_a_model_that_cannot_be_compiled(seqrl, monkeypatch):
    def fails(model):
        def forward(*inputs):
            raise InductorError(RuntimeError("no compiler\nand more"), None)

        return forward

    monkeypatch.setattr(torch, "compile", fails)
    result = seqrl("train", "sim/hopper-medium", *TINY_TRAIN, "--name", "c", "train.compile=true")
    assert_refused(result, 1, "the model cannot be compiled: RuntimeError: no compiler", "without train.compile=true")
    assert "and more" not in result.output


def test_files_that_no_parser_takes_are_named(runs, seqrl):
    (runs / RUN / "config.yaml").write_text("dataset: [1\n")
    assert_refused(seqrl("plan"), 1, "config.yaml cannot be read as YAML", "")
    (runs / RUN / "run.json").write_text('{"seed": ' + "9" * 5000 + "}")
    assert "is damaged" in seqrl("runs").stderr


def test_one_episode_leaves_nothing_to_validate_on(fresh, tmp_path):
    path = write_file(tmp_path / "mine.hdf5", terminals=np.arange(40) == 39)
    result = fresh("train", path, *TINY_TRAIN)
    assert result.exit_code == 0 and "has one episode, so none is held out" in result.stderr


def test_a_damaged_newest_run_is_named_with_the_one_that_plans(runs, seqrl):
    newest = runs / "sim/hopper-medium/newest/run.json"
    newest.parent.mkdir()
    newest.write_text("{")
    for words in ((), ("sim/hopper-medium",)):
        told = seqrl("plan", *words, *TINY_PLAN)
        said = " ".join(told.stderr.split())
        assert told.exit_code == 0 and said.count("warning:") == 1, told.output
        assert "newest/run.json is damaged; the latest readable run is sim/hopper-medium/gpt-s42" in said
