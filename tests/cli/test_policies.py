"""Decision Transformers and behaviour cloning go the whole chain: trained, played, drawn, compared, collected with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from gymnasium.envs.mujoco.hopper_v4 import HopperEnv
from safetensors.numpy import load_file

from seqrl_cli.config.architectures import names_with
from seqrl_cli.config.presets import load_config, preset_names, resolve_config
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import write_d4rl
from tests.cli.conftest import assert_refused, invoke, succeed

pytestmark = pytest.mark.slow

TINY = (
    *("model.n_layer=2", "model.width=16", "train.updates=4", "train.batch_size=8"),
    *("train.checkpoint_every=2", "train.log_every=1", "policy.curve=constant", "--preset", "base"),
)
PLAY = ("--episodes", 3, "--envs", 2, "plan.max_steps=7")
FOLDERS = {"odt": "RTG{best:g}-ctx5-steps7-s0", "dt": "RTG{best:g}-ctx5-steps7-s0", "bc": "mode-steps7-s0"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Made once: a dataset without tokens, a run of each policy, and three episodes of each. Do not write here."""
    runs = tmp_path_factory.mktemp("policies") / "runs"
    succeed(runs, "download", "sim/hopper-medium", "data.transitions=1500")
    for arch in names_with("policy"):
        succeed(runs, "train", "sim/hopper-medium", "--arch", arch, *TINY)
        succeed(runs, "plan", f"{arch}-s42", *PLAY)
    return runs


@pytest.fixture
def seqrl(trained, tmp_path):
    """Call commands on a copy, ``tmp_path / "runs"``."""
    shutil.copytree(trained, tmp_path / "runs")
    return lambda *words: invoke(tmp_path / "runs", *words)


def best_return(runs: Path) -> float:
    record = json.loads((runs / "sim/hopper-medium/odt-s42/run.json").read_text())
    assert record["return_range"][0] < record["return_range"][1]
    return round(record["return_range"][1], 1)


@pytest.mark.parametrize("arch", names_with("policy"))
def test_more_updates_go_on_to_the_same_weights(trained, seqrl, tmp_path, arch):
    more = ("train", "sim/hopper-medium", "--arch", arch, *TINY, "--updates", 7)
    told = seqrl(*more)
    assert told.exit_code == 0 and "resuming from update 4 of 7" in told.stderr
    assert seqrl(*more, "--name", "whole").exit_code == 0
    one, two = (
        load_file(tmp_path / f"runs/sim/hopper-medium/{name}/checkpoints/00000007/model.safetensors")
        for name in (f"{arch}-s42", "whole")
    )
    assert one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)
    assert "already trained" in seqrl(*more).stderr
    fewer = seqrl("train", "sim/hopper-medium", "--arch", arch, *TINY)
    assert_refused(fewer, 1, "is a run of 7 updates, more than 4", "--name")


@pytest.mark.parametrize("arch", names_with("policy"))
def test_a_run_is_a_run_like_any_other(trained, arch):
    run = trained / "sim/hopper-medium" / f"{arch}-s42"
    assert not (trained / "sim/hopper-medium/tokens.h5").exists()
    assert (run / "checkpoints/last").read_text() == "00000004\n"
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["arch"] == arch and "horizon" not in config["plan"] and "bins" not in config["data"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4] and np.isfinite(lines[-1]["validation_loss"])
    assert ("temperature" in lines[-1]) == (arch == "odt")
    folder = run / "plans" / FOLDERS[arch].format(best=best_return(trained))
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    assert len(records) == 3 and {record["arch"] for record in records} == {arch}
    assert records[0]["settings"].get("target_return") == (None if arch == "bc" else best_return(trained))
    assert "beam_width" not in records[0]["settings"]
    with h5py.File(folder / "episode-001.h5") as file:
        assert file["actions"].shape[1] == 3 and "plan_observations" not in file
        assert np.allclose(file["rewards"][:].sum(), records[1]["return"], atol=1e-4)


def test_looking_and_comparing(seqrl):
    table = json.loads(seqrl("table", "--json").stdout)
    methods = {row["method"].split()[0] for row in table["rows"] if row["kind"] == "result"}
    assert methods == set(names_with("policy"))
    assert json.loads(seqrl("render", "odt-s42", "--json").stdout)["frames"] >= 2
    refused = seqrl("export", "odt-s42", "--format", "trajectory-transformer")
    assert_refused(refused, 1, "is an odt, which cannot be exported as a trajectory-transformer", "another run")


@pytest.mark.parametrize("arch", ["odt", "bc"])
def test_a_policy_collects_a_dataset(seqrl, tmp_path, arch):
    words = ("collect", "hopper", "--policy", f"sim/hopper-medium/{arch}-s42", "-n", 25, "--name", "collected/own")
    assert json.loads(seqrl(*words, "--json").stdout)["transitions"] == 25
    first = (tmp_path / "runs/collected/own/dataset.h5").read_bytes()
    assert seqrl(*words, "--force").exit_code == 0
    assert (tmp_path / "runs/collected/own/dataset.h5").read_bytes() == first


@pytest.mark.parametrize("arch", names_with("policy"))
def test_the_same_command_again_and_by_its_config(seqrl, tmp_path, arch):
    assert "already trained" in seqrl("train", "sim/hopper-medium", "--arch", arch, *TINY).stderr
    assert "already has 3 episodes" in seqrl("plan", f"{arch}-s42", *PLAY).stderr
    folder = tmp_path / "runs/sim/hopper-medium"
    result = seqrl("train", "--config", folder / f"{arch}-s42/config.yaml", "--name", "again")
    assert result.exit_code == 0, result.output
    one, two = ((folder / name / "checkpoints/00000004/model.safetensors") for name in (f"{arch}-s42", "again"))
    assert one.read_bytes() == two.read_bytes()


def test_played_again_with_force_or_another_target(seqrl, tmp_path):
    (before,) = (tmp_path / "runs/sim/hopper-medium/odt-s42/plans").glob("RTG*/episode-001.h5")
    with h5py.File(before) as file:
        actions = file["actions"][:]
    assert seqrl("plan", "odt-s42", *PLAY, "--force").exit_code == 0
    with h5py.File(before) as file:
        assert np.array_equal(file["actions"][:], actions)
    told = json.loads(seqrl("plan", "odt-s42", *PLAY, "--target-return", 500, "--json").stdout)
    assert told["folder"].endswith("RTG500-ctx5-steps7-s0")
    with h5py.File(Path(told["folder"]) / "episode-001.h5") as file:
        assert not np.array_equal(file["actions"][0], actions[0])


@pytest.mark.parametrize("arch", ["dt", "odt"])
def test_null_asks_for_the_best_return_of_the_data(seqrl, trained, tmp_path, arch):
    told = json.loads(seqrl("plan", f"{arch}-s42", *PLAY, "plan.target_return=null", "--json").stdout)
    assert Path(told["folder"]).name == FOLDERS[arch].format(best=best_return(trained)) and told["fresh"] == 0


def exact_best_return(runs: Path) -> float:
    return float(json.loads((runs / "sim/hopper-medium/dt-s42/run.json").read_text())["return_range"][1])


def test_a_multiple_asks_for_more_than_the_best_return_of_the_data(seqrl, trained):
    best = exact_best_return(trained)
    more = ("plan", "dt-s42", *PLAY, "plan.target_multiple=1.5", "--json")
    told = json.loads(seqrl(*more).stdout)
    assert Path(told["folder"]).name == FOLDERS["dt"].format(best=round(1.5 * best, 1))
    given = json.loads(seqrl(*more, "--target-return", 70).stdout)
    assert Path(given["folder"]).name == FOLDERS["dt"].format(best=70)


@pytest.mark.parametrize(
    ("words", "multiple"),
    [
        (("sim/hopper-medium",), 2.0),  # of its preset
        (("sim/hopper-medium", "plan.target_multiple=1.2"), 1.2),
        (("sim/hopper-medium", "--size", "paper", "plan.target_multiple=1.5", "policy.time_embedding=false"), 1.5),
        (("--config", "runs/sim/hopper-medium/dt-s42/config.yaml", "plan.target_multiple=1.5"), 1.5),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_run_keeps_its_target_as_a_number(seqrl, trained, tmp_path, monkeypatch, words, multiple):
    monkeypatch.chdir(tmp_path)
    tiny = [word for word in TINY if word not in ("--preset", "base")]
    told = seqrl("train", *words, "--arch", "dt", *tiny, "--name", "other", "--json")
    assert told.exit_code == 0, told.stderr
    plan = load_config(tmp_path / "runs/sim/hopper-medium/other/config.yaml").plan
    assert (plan.target_return, plan.target_multiple) == (round(multiple * exact_best_return(trained), 1), 1.0)


def test_null_is_refused_where_the_best_return_is_not_known(seqrl, tmp_path):
    record = tmp_path / "runs/sim/hopper-medium/odt-s42/run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"return_range": None}))
    for command in ("plan", "finetune-online"):
        result = seqrl(command, "odt-s42", "plan.target_return=null")
        assert_refused(result, 1, "the target return depends on the dataset's best", "--target-return")


def test_percentile_cloning_trains_on_the_best_steps(seqrl, tmp_path):
    words = ("train", "sim/hopper-medium", "--arch", "bc", *TINY)
    shares = {}
    for share in (1.0, 0.1):
        lines = seqrl(*words, "--name", f"share{share}", f"policy.top_share={share}")
        assert lines.exit_code == 0, lines.output
        last = (tmp_path / f"runs/sim/hopper-medium/share{share}/metrics.jsonl").read_text().splitlines()[-1]
        shares[share] = json.loads(last)["epoch"]
    assert shares[0.1] > 2 * shares[1.0]  # the same updates are more epochs of fewer windows


@pytest.mark.parametrize("arch", names_with("policy"))
def test_a_dry_run_writes_nothing_with_and_without_the_data(seqrl, tmp_path, arch):
    for dataset in ("sim/hopper-medium", "sim/walker2d-medium"):
        told = json.loads(seqrl("train", dataset, "--arch", arch, *TINY, "--name", "new", "--dry-run", "--json").stdout)
        assert told["parameters"] > 300 and told["updates"] == 4 and "tokens are there" not in told
    assert not (tmp_path / "runs/sim/walker2d-medium").exists()
    told = json.loads(seqrl("plan", f"{arch}-s42", "--dry-run", "--json").stdout)
    assert "plan.horizon" not in told and ("plan.target_return" in told) == (arch != "bc")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("plan", "odt-s42", "--target-return", "nan"), "plan.target_return = nan", "presets show"),
        (("plan", "odt-s42", "--horizon", 15), "only a gpt or a retnet has it, not an odt", "leave it out"),
        (("plan", "bc-s42", "--beam-width", 2), "only a gpt or a retnet has it, not a bc", "presets show"),
        (("plan", "bc-s42", "--target-return", 9), "only a dt or an odt has it, not a bc", "presets show"),
        (("plan", "dt-s42", "--max-memory", 1), "--max-memory limits the beam search", "leave it out"),
        (("train", "sim/hopper-medium", "--arch", "dt", "policy.entropy_samples=3"), "only an odt has it", "presets"),
        (("train", "sim/hopper-medium", "policy.top_share=0.1"), "only a dt, an odt or a bc has it", "presets show"),
        (("train", "sim/hopper-medium", "plan.target_return=9"), "only a dt or an odt has it, not a gpt", "presets"),
        (("train", "sim/hopper-medium", "--arch", "odt", "train.updates=null"), "needs a number of updates", "presets"),
        (("train", "sim/hopper-medium", "--arch", "odt", "policy.optimizer=adam"), "did you mean 'adamw'?", "presets"),
    ],
    ids=lambda value: "-".join(map(str, value))[:60] if isinstance(value, tuple) else "",
)
def test_what_is_not_for_this_architecture_is_refused(seqrl, words, message, hint):
    assert_refused(seqrl(*words), 2, message, hint)


def test_a_context_that_the_model_does_not_have(seqrl):
    result = seqrl("plan", "odt-s42", *PLAY, "plan.max_context_transitions=6")
    assert_refused(result, 1, "context of 6 steps was requested, but the model sees 1 to 5", "max_context_transitions")
    warned = seqrl("train", "sim/hopper-medium", "--arch", "odt", *TINY, "--name", "new", "model.sequence_length=4")
    assert warned.exit_code == 0 and "`seqrl plan` will refuse this configuration" in warned.stderr


def test_an_absurd_target_is_warned_about_with_the_range_of_the_data(seqrl):
    result = seqrl("plan", "odt-s42", *PLAY, "--target-return", 1e6)
    assert result.exit_code == 0
    assert "target return 1,000,000 is far from the returns in sim/hopper-medium, which are" in result.stderr
    assert "warning" not in seqrl("plan", "odt-s42", *PLAY, "--target-return", 2500).stderr


def test_a_target_that_float32_cannot_hold_is_refused(seqrl):
    result = seqrl("plan", "odt-s42", *PLAY, "--target-return", 1e38)
    assert_refused(result, 2, "plan.target_return = 1e+38, but beyond ±1e+09", "the returns in sim/hopper-medium are")


def test_an_episode_that_blows_up_is_not_scored(seqrl, tmp_path, monkeypatch):
    def blow_up(self, action):
        observation, *rest = step(self, action)
        return (np.full_like(observation, np.nan) if self.data.time > 0.03 else observation), *rest

    step = HopperEnv.step
    monkeypatch.setattr(HopperEnv, "step", blow_up)
    message = "in Hopper-v4 has observations of step 4 that are not finite"
    assert_refused(seqrl("plan", "odt-s42", *PLAY, "--seed", 1), 1, message, "another --seed")
    words = ("collect", "hopper", "--policy", "sim/hopper-medium/odt-s42", "-n", 25, "--name", "collected/own")
    assert_refused(seqrl(*words), 1, message, "another --seed")
    assert not (tmp_path / "runs/collected/own/dataset.h5").exists()


@pytest.mark.parametrize(("ours", "theirs"), [("odt", "dt"), ("dt", "odt"), ("bc", "dt"), ("odt", "bc")])
def test_weights_of_another_architecture(seqrl, tmp_path, ours, theirs):
    folder = tmp_path / "runs/sim/hopper-medium"
    shutil.rmtree(folder / f"{ours}-s42/checkpoints")
    shutil.copytree(folder / f"{theirs}-s42/checkpoints", folder / f"{ours}-s42/checkpoints")
    result = seqrl("plan", f"{ours}-s42", *PLAY, "--force")
    assert_refused(result, 1, f"holds weights of a{'n' * (theirs == 'odt')} {theirs}, not of this {ours}", "--force")


def test_an_environment_of_other_sizes(seqrl, tmp_path):
    folder = tmp_path / "runs/sim/hopper-medium"
    (folder / "dataset.h5").unlink()
    record = json.loads((folder / "odt-s42/run.json").read_text())
    assert seqrl("plan", "odt-s42", *PLAY, "--force").exit_code == 0, "a policy plays without its dataset"
    (folder / "odt-s42/run.json").write_text(json.dumps({**record, "env_id": "Walker2d-v4"}))
    result = seqrl("plan", "odt-s42", *PLAY, "--force")
    assert_refused(result, 1, "Walker2d-v4 has observations and actions of sizes (17, 6)", "right environment")


def test_a_dataset_that_changed(seqrl):
    assert seqrl("download", "sim/hopper-medium", "data.transitions=1600", "--force").exit_code == 0
    result = seqrl("train", "sim/hopper-medium", "--arch", "odt", *TINY)
    assert_refused(result, 1, "was trained on other data than sim/hopper-medium now has", "--force")


SIZES = {"hopper": (11, 3), "halfcheetah": (17, 6), "walker2d": (17, 6), "ant": (27, 8), "antmaze": (29, 8)}


@pytest.mark.parametrize("arch", names_with("policy"))
def test_every_preset_trains_for_two_updates(tmp_path, arch):
    """Each at its own width, layers and settings, but for the size of a batch."""
    rng = np.random.default_rng(0)
    seen = set()
    for preset in preset_names(arch):
        family = preset.split("-")[0] if preset != "base" else "hopper"
        expected = resolve_config("x", size="paper", preset=preset, overrides={"model.arch": arch})
        key = (family, expected.model_dump_json(exclude={"preset"}))
        if key in seen:
            continue
        seen.add(key)
        if not (tmp_path / f"{family}.h5").exists():
            observation, action = SIZES[family]
            columns = (rng.normal(size=(24, observation)), rng.uniform(-1, 1, (24, action)), rng.normal(size=24))
            episodes = Episodes.from_flags(*columns, np.arange(24) % 8 == 7, np.zeros(24))
            write_d4rl(tmp_path / f"{family}.h5", episodes, {})
        words = ("train", tmp_path / f"{family}.h5", "--arch", arch, "--preset", preset, "--size", "paper")
        few = ("--updates", 2, "train.batch_size=2", "model.n_layer=1", "--name", preset, "--json", "-q")
        told = json.loads(succeed(tmp_path / "runs", *words, *few).stdout)
        assert told["updates"] == 2 and np.isfinite(told["loss"])
        config = yaml.safe_load((Path(told["run"]) / "config.yaml").read_text())
        assert config["model"]["width"] == expected.model.width
        assert config["plan"].get("target_return") == expected.plan.target_return or preset == "base"


def test_presets_are_picked_by_dataset_and_architecture():
    odt = resolve_config("walker2d-medium-replay-v2", overrides={"model.arch": "odt"})
    assert (odt.model.width, odt.train.updates, odt.train.learning_rate, odt.plan.target_return) == (
        512, 10000, 1e-3, 5000,
    )  # fmt: skip
    assert resolve_config("hopper-medium-v2", overrides={"model.arch": "dt"}).policy.time_embedding
    assert resolve_config("antmaze-umaze-v2", overrides={"model.arch": "odt"}).policy.return_scale == 1.0
    laptop = resolve_config("sim/hopper-medium", overrides={"model.arch": "odt"})
    assert laptop.preset == "hopper-medium-v2" and laptop.plan.target_return is None and laptop.model.width < 512
    assert resolve_config("sim/hopper-medium").model.arch == "gpt"
