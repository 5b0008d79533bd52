"""``seqrl import`` and ``seqrl export``: other projects' checkpoints become runs like any other."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.interop.torch_files import read_state_dict
from tests.cli.conftest import TINY_PLAN, TINY_TRAIN, assert_refused, invoke, succeed
from tests.interop import folders
from tests.interop.spelling import END, call, name, text, zip_file

pytestmark = pytest.mark.slow

PLAN = (*TINY_PLAN[:4], "--episodes", "1", "plan.max_context_transitions=2", "plan.max_steps=3")
TT, FASTER = "sim/hopper-medium/trajectory-transformer", "hopper-medium-v2/faster-trajectory-transformer"


def files(folder) -> set:
    """All files below a folder but those of locks."""
    return {path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".lock")}


@pytest.mark.slow
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_a_trajectory_transformer_plans_renders_and_is_compared(seqrl, runs, tmp_path, is_zip):
    folder = folders.trajectory_transformer(tmp_path / "tt", is_zip=is_zip)
    imported = seqrl("import", folder, "--dataset", "sim/hopper-medium")
    assert imported.exit_code == 0, imported.output
    assert "trained on 'hopper-medium-v2', and is imported for sim/hopper-medium" in imported.stderr
    planned = seqrl("plan", TT, *PLAN, "--json")
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["mean_steps"] > 0
    assert seqrl("render", TT, "--view", "software").exit_code == 0
    table = seqrl("table", TT, "--json")
    assert table.exit_code == 0 and "sim/hopper-medium" in table.stdout
    assert seqrl("runs", "show", TT).exit_code == 0


def test_a_faster_one_brings_its_bins_and_needs_no_dataset(fresh, tmp_path):
    folder = folders.faster_trajectory_transformer(tmp_path / "ftt")
    imported = fresh("import", folder, "--json")
    assert imported.exit_code == 0, imported.output
    assert json.loads(imported.stdout)["bins"] == "of its own"
    planned = fresh("plan", "--episodes", "1", "plan.max_steps=3", "--json")
    assert planned.exit_code == 0, planned.output
    assert "-B3-" in json.loads(planned.stdout)["folder"]  # the beam width that the folder asks for
    assert fresh("table").exit_code == 0
    assert fresh("render", "--view", "software").exit_code == 0


@pytest.mark.slow
def test_a_trajectory_retnet_plans_and_is_compared(seqrl, tmp_path):
    folder = folders.trajectory_retnet(tmp_path / "trn")
    imported = seqrl("import", folder, "--dataset", "sim/hopper-medium", "--name", "theirs")
    assert imported.exit_code == 0, imported.output
    planned = seqrl("plan", "theirs", *PLAN)
    assert planned.exit_code == 0, planned.output
    assert seqrl("table", "sim/hopper-medium/theirs").exit_code == 0
    assert_refused(
        seqrl("export", "theirs"), 1, "is a retnet, which cannot be exported as a trajectory-transformer", "another run"
    )


def test_the_published_files_with_weights_beside_them(fresh, tmp_path, golden_file):
    """The bins and configuration that the project ships; its weights are not in the golden folder, so random ones."""
    published = golden_file("faster_tt_pretrained_hopper")
    folder = folders.faster_trajectory_transformer(tmp_path / "ftt")
    shutil.copyfile(published / "discretizer.pt", folder / "discretizer.pt")
    config = yaml.safe_load((published / "config.yaml").read_text())
    own = yaml.safe_load((folder / "config.yaml").read_text())["model"]
    bins = config["model"]["vocab_size"]
    config["model"] |= {key: own[key] for key in ("seq_len", "embedding_dim", "num_layers", "num_heads")}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    state = read_state_dict(folder / "model_last.pt")
    state["tok_emb.weight"] = torch.zeros(16 * bins, folders.WIDTH)
    state["head.weight"] = torch.randn(16, bins, folders.WIDTH)
    torch.save(state, folder / "model_last.pt")
    assert fresh("import", folder).exit_code == 0
    planned = fresh("plan", "--episodes", "1", "--beam-width", "4", "--horizon", "2", "plan.max_steps=3")
    assert planned.exit_code == 0, planned.output


def test_the_same_import_twice(fresh, tmp_path):
    folder = folders.faster_trajectory_transformer(tmp_path / "ftt")
    assert fresh("import", folder).exit_code == 0
    again = fresh("import", folder)
    assert again.exit_code == 0 and "already imported" in again.stderr
    assert fresh("import", folder, "--force").exit_code == 0
    folders.faster_trajectory_transformer(folder, seed=1)
    assert_refused(fresh("import", folder), 1, "is another run", "--name")
    assert fresh("import", folder, "--name", "second").exit_code == 0
    assert len(json.loads(fresh("runs", "--json").stdout)["runs"]) == 2


def test_the_newest_of_several_weights_or_the_one_asked_for(seqrl, runs, tmp_path):
    for epoch in (3, 20, 7):
        folders.trajectory_transformer(tmp_path / "tt", epoch=epoch, seed=epoch)
    words = ("import", tmp_path / "tt", "--dataset", "sim/hopper-medium", "--json")
    assert json.loads(seqrl(*words).stdout)["weights"].endswith("state_20.pt")
    assert json.loads(seqrl(*words, "--epoch", "3", "--name", "third").stdout)["weights"].endswith("state_3.pt")
    assert (runs / "sim/hopper-medium/third/checkpoints/00000003").is_dir()
    assert_refused(seqrl(*words[:-1], "--epoch", "4"), 1, "has no state_4.pt", "3, 7, 20")


def test_a_dry_run_writes_nothing(fresh, tmp_path):
    folder = folders.faster_trajectory_transformer(tmp_path / "ftt")
    shown = fresh("import", folder, "--dry-run")
    assert shown.exit_code == 0 and "stop_token: false" in shown.stdout
    assert not (tmp_path / "empty").exists()


def test_a_trained_run_is_exported_and_imported_again(seqrl, runs, tmp_path):
    succeed(runs, "train", "sim/hopper-medium", *TINY_TRAIN, "train.recipe=paper", "--name", "originals")
    exported = seqrl("export", "-o", tmp_path / "out", "--json")
    assert exported.exit_code == 0, exported.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model_config.pkl", "data_config.pkl", "state_4.pt"}
    assert "already exists" in seqrl("export", "-o", tmp_path / "out").stderr
    imported = seqrl("import", tmp_path / "out")
    assert imported.exit_code == 0, imported.output
    own, again = (
        next((runs / "sim/hopper-medium" / run / "checkpoints/00000004").glob("model.safetensors")).read_bytes()
        for run in ("originals", "trajectory-transformer")
    )
    assert own == again


def test_what_cannot_be_exported(fresh, tmp_path):
    folder = folders.faster_trajectory_transformer(tmp_path / "ftt")
    assert fresh("import", folder).exit_code == 0
    before = files(tmp_path / "empty")
    assert_refused(fresh("export"), 1, "without a stop token", "another run")
    assert_refused(fresh("export", "--format", "tensorrt"), 2, "unknown format 'tensorrt'", "trajectory-transformer")
    assert_refused(fresh("export", "a=1"), 2, "takes no key=value", "--help")
    assert files(tmp_path / "empty") == before


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[:-700])


BAD_TT = {
    "no dataset": (lambda f: None, "hopper-medium-v2, from which they are computed, is missing", "seqrl download"),
    "no model config": (lambda f: (f / "model_config.pkl").unlink(), "no file", "complete"),
    "no data config": (lambda f: (f / "data_config.pkl").unlink(), "no file", "complete"),
    "no weights": (lambda f: (f / "state_7.pt").unlink(), "has no weights", "copy"),
    "weights cut short": (lambda f: cut(f / "state_7.pt"), "cut short or damaged", "copy"),
    "config cut short": (lambda f: (f / "model_config.pkl").write_bytes(b"\x80\x02"), "not a whole pickle", "copy"),
    "empty weights": (lambda f: (f / "state_7.pt").write_bytes(b""), "not a whole pickle", "copy"),
    "other data": (lambda f: (f / "data_config.pkl").write_bytes(b"K\x01."), "no configuration", "own file"),
}
CHANGED_TT = {
    "another dataset": ({}, {"env": "chess-v2"}, "'chess-v2', a dataset that seqrl does not know", "--dataset"),
    "a path for a dataset": (
        {},
        {"env": "../../evil"},
        "'../../evil', a dataset that seqrl",
        "--dataset",
    ),
    "a size that is none": ({"n_embd": 0}, {}, "n_embd 0", "folder"),
    "a size of another type": ({"n_layer": "2"}, {}, "n_layer of type str", "folder"),
    "dims that do not add up": ({"transition_dim": 17}, {}, "transition_dim 17, not 16", "folder"),
    "other bins": ({}, {"N": 50}, "N 50, not 20", "folder"),
    "another discretizer": ({}, {"discretizer": "Other"}, "discretizer 'Other'", "folder"),
    "steps left out": ({}, {"step": 2}, "step 2, not 1", "folder"),
    "a bad dropout": ({"embd_pdrop": 1.5}, {}, "embedding_dropout = 1.5", "folder"),
}
LARGER_TT = {
    "more layers": ({"n_layer": 3}, "lacks 'blocks.2"),
    "fewer layers": ({"n_layer": 1}, "does not describe: 'blocks.1"),
    "wider": ({"n_embd": 32}, "of shape"),
    "a longer window": ({"block_size": 16 * 50 - 1}, "pos_emb of shape (63, 16)"),
    "heads that do not divide": ({"n_head": 3}, "model.n_head = 3"),
    "enormous": ({"n_embd": 60_000, "n_layer": 900}, "the model needs"),
}


@pytest.mark.parametrize("what", BAD_TT)
def test_incomplete_folders(fresh, tmp_path, what):
    spoil, message, hint = BAD_TT[what]
    spoil(folders.trajectory_transformer(tmp_path / "tt"))
    assert_refused(fresh("import", tmp_path / "tt"), 1, message, hint)
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("what", CHANGED_TT)
def test_configurations_that_do_not_fit(seqrl, runs, tmp_path, what):
    model, data, message, hint = CHANGED_TT[what]
    data = {"env": "sim/hopper-medium", **data}
    before = files(runs)
    folder = folders.trajectory_transformer(tmp_path / "tt", model=model, data=data)
    assert_refused(seqrl("import", folder), 1, message, hint)
    assert files(runs) == before


@pytest.mark.slow
@pytest.mark.parametrize("what", LARGER_TT)
def test_weights_that_disagree_with_the_configuration(seqrl, runs, tmp_path, what):
    model, message = LARGER_TT[what]
    before = files(runs)
    folder = folders.trajectory_transformer(tmp_path / "tt", model=model, data={"env": "sim/hopper-medium"})
    assert_refused(seqrl("import", folder), 1, message, "")
    assert files(runs) == before


@pytest.mark.parametrize(
    ("weight", "value", "message"),
    [
        ("pos_emb", torch.zeros(3), "does not contain a complete GPT"),
        ("ln_f.weight", torch.full((folders.WIDTH,), torch.nan), "not finite"),
        ("blocks.0.attn.key.weight", None, "lacks"),
        ("blocks.1.attn.mask", torch.ones(1, 1, folders.BLOCK - 1, folders.BLOCK - 1), "not causal"),
        ("head.weight", None, "lacks 'head.weight'"),
        ("lora.weight", torch.zeros(2), "does not describe: 'lora.weight'"),
    ],
)
def test_weights_that_are_no_such_model(seqrl, runs, tmp_path, weight, value, message):
    folder = folders.trajectory_transformer(tmp_path / "tt", data={"env": "sim/hopper-medium"})
    state = read_state_dict(folder / "state_7.pt") | {weight: value}
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, folder / "state_7.pt")
    before = files(runs)
    assert_refused(seqrl("import", folder), 1, message, "")
    assert files(runs) == before


def test_incomplete_folders_of_the_faster_one(fresh, tmp_path):
    for name_ in ("config.yaml", "discretizer.pt", "model_last.pt"):
        folder = folders.faster_trajectory_transformer(tmp_path / name_)
        (folder / name_).unlink()
        assert_refused(fresh("import", folder), 1, f"no file {folder / name_}", "complete")
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("edges", "model", "message"),
    [
        (np.zeros((15, 21)), {}, "shape (15, 21)"),
        (np.full((16, 21), np.nan), {}, "not finite"),
        (np.tile(np.arange(21.0)[::-1], (16, 1)), {}, "ascending"),
        (None, {"use_sep_heads": False}, "use_sep_heads False"),
        (None, {"seq_len": 7}, "windows of 7 tokens"),
        (None, {"vocab_size": 21}, "num_bins 20, not 21"),
    ],
)
def test_faster_ones_that_do_not_fit(fresh, tmp_path, edges, model, message):
    folder = folders.faster_trajectory_transformer(tmp_path / "ftt", edges=edges, model=model)
    assert_refused(fresh("import", folder), 1, message, "")
    assert not (tmp_path / "empty").exists()


def test_hostile_folders(fresh, tmp_path):
    """A program in each file that may hold one; nothing runs."""
    fire = call(name("os", "system"), text(f"touch {tmp_path / 'canary'}")) + END
    yaml_fire = f"!!python/object/apply:os.system ['touch {tmp_path / 'canary'}']"
    for spoiled, content in {
        "model_config.pkl": fire,
        "data_config.pkl": fire,
        "state_7.pt": zip_file(fire),
        "discretizer.pt": zip_file(fire),
        "model_last.pt": zip_file(fire),
        "config.yaml": yaml_fire.encode(),
    }.items():
        is_tt = spoiled.endswith(".pkl") or spoiled.startswith("state")
        make = folders.trajectory_transformer if is_tt else folders.faster_trajectory_transformer
        folder = make(tmp_path / spoiled)
        (folder / spoiled).write_bytes(content)
        message = "cannot be read as YAML" if spoiled == "config.yaml" else "was refused: it names 'os.system'"
        assert_refused(fresh("import", folder), 1, message, "")
    assert not (tmp_path / "canary").exists() and not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("nowhere", "there is no folder", "path"),
        (".", "contains no checkpoint that seqrl knows", "model_config.pkl"),
        ("file.pt", "is a file, and a checkpoint is a folder", "seqrl import"),
    ],
)
def test_paths_that_are_no_checkpoint(fresh, tmp_path, path, message, hint):
    (tmp_path / "file.pt").touch()
    assert_refused(fresh("import", tmp_path / path), 1, message, hint)


@pytest.mark.parametrize("name", ["../outside", "../../../outside", ".", "..", ".hidden", "a/b", "", "a\nb", "plans"])
def test_names_that_no_run_may_have(fresh, tmp_path, name):
    """An imported run lies in its dataset's folder, whatever its name."""
    folder = folders.faster_trajectory_transformer(tmp_path / "ftt")
    assert_refused(fresh("import", folder, f"--name={name}"), 2, "cannot be the name of a run", "letters")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ftt"]


def test_a_dataset_that_does_not_fit(seqrl, runs, tmp_path):
    folder = folders.trajectory_transformer(tmp_path / "tt")
    assert_refused(seqrl("import", folder, "--dataset", "chess"), 2, "unknown dataset 'chess'", "--list")
    assert_refused(seqrl("import", folder, "--dataset", "sim/ant-medium"), 1, "sim/ant-medium", "seqrl download")


def test_a_run_directory_that_cannot_be_written(tmp_path):
    folder = folders.faster_trajectory_transformer(tmp_path / "ftt")
    (tmp_path / "taken").touch()
    assert_refused(invoke(tmp_path / "taken", "import", folder), 1, "cannot write", "--runs-dir")


@pytest.mark.parametrize("from_mirror", [True, False])
def test_export_fetches_as_the_environment_allows(tmp_path, monkeypatch, from_mirror):
    file = "mini_kitchen_microwave_kettle_light_slider-v0.hdf5"
    rng = np.random.default_rng(0)
    ends = np.arange(50) % 25 == 24
    parts = [rng.uniform(-1, 1, shape).astype(np.float32) for shape in ((50, 60), (50, 9), 50)]
    write_d4rl(tmp_path / "mirror" / file, Episodes.from_flags(*parts, np.zeros(50, bool), ends), {})
    monkeypatch.setenv("SEQRL_OFFLINE", "1")
    monkeypatch.setenv("SEQRL_MIRRORS", str(tmp_path / ("mirror" if from_mirror else "nothing")))
    done = invoke(tmp_path / "runs", "export", "kitchen-complete-v0", "--format", "d4rl")
    if from_mirror:
        assert done.exit_code == 0, done.output
    else:
        assert_refused(done, 1, "--offline forbids", "SEQRL_MIRRORS")


def test_an_environment_that_says_neither_yes_nor_no(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQRL_OFFLINE", "perhaps")
    assert_refused(invoke(tmp_path / "runs", "plan"), 2, "SEQRL_OFFLINE is 'perhaps'", "1 or 0")
