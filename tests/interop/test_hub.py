"""Runs as folders for hubs: they play as before, hostile ones are refused, and the hub's interface is spoken."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from seqrl_cli import load
from seqrl_cli.config.extras import is_installed
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.interop.hub_transfer import parse_address
from seqrl_cli.runs.record import read_record, write_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.exchange import export_hub, import_hub
from seqrl_cli.workflows.exchange.export_hub import HubExportRequest
from seqrl_cli.workflows.exchange.import_hub import HubImportRequest
from seqrl_cli.workflows.plan.run import run as plan
from seqrl_cli.workflows.plan.setup import PlanRequest
from tests.interop.hub_server import TOKEN, Hub
from tests.workflows.tiny import NAME, TINY, Heard, make_runs


@pytest.fixture(scope="session")
def made_runs(made_once) -> Path:
    return made_once("workflows", make_runs)


@pytest.fixture
def store(made_runs, tmp_path) -> RunStore:
    return RunStore(Path(shutil.copytree(made_runs, tmp_path / "runs")))


@pytest.fixture
def other(tmp_path) -> RunStore:
    """A run directory elsewhere, without the dataset."""
    return RunStore(tmp_path / "other")


def exported(store: RunStore, run: str, folder: Path) -> Path:
    export_hub.run(HubExportRequest(store, run, folder), Heard())
    return folder


def imported(store: RunStore, folder: Path, **options):
    return import_hub.run(HubImportRequest(store, str(folder), **options), Heard())


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("files", [0, 1, 3])
def test_an_export_that_was_cut_is_completed(store, other, tmp_path, files, force):
    whole = exported(store, "gpt-s42", tmp_path / "whole")
    cut = tmp_path / "cut"
    cut.mkdir()
    for name in ("config.yaml", "README.md", "model.safetensors")[:files]:
        shutil.copy(whole / name, cut / name)
    (cut / ".model-abcdefgh.tmp.safetensors").write_bytes(b"half")
    export_hub.run(HubExportRequest(store, "gpt-s42", cut, force=force), Heard())
    assert (cut / "config.json").read_bytes() == (whole / "config.json").read_bytes()
    assert not list(cut.glob(".*"))
    imported(other, cut)


def test_a_folder_of_another_model_is_not_written_into(store, tmp_path):
    for name in ("model.safetensors", "README.md"):
        (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(SeqrlError, match="contains something else"):
        exported(store, "gpt-s42", tmp_path)


def test_a_run_fine_tuned_online_keeps_its_parent(store, other, tmp_path):
    folder = store.find("dt-s42")
    write_record(folder.record, read_record(folder.record).model_copy(update={"parent": "pretrained"}))
    source = exported(store, "dt-s42", tmp_path / "shared")
    imported(other, source)
    assert read_record(other.find("dt-s42").record).parent == "pretrained"
    description = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**description, "parent": "../elsewhere"}))
    with pytest.raises(SeqrlError, match="elsewhere"):
        imported(other, source, name="hostile")


def actions(run: str, store: RunStore) -> np.ndarray:
    agent = load(run, runs_dir=store.root)
    agent.reset(seed=1)
    observations = np.random.default_rng(0).normal(size=(6, 3)) * [1, 1, 4]
    return np.array([agent.act(observation, -1.0) for observation in observations])


@pytest.mark.parametrize("arch", TINY)
def test_an_imported_run_plays_the_same_bits(store, other, tmp_path, arch):
    folder = exported(store, f"{arch}-s42", tmp_path / "shared")
    shutil.move(folder, tmp_path / "elsewhere")
    report = imported(other, tmp_path / "elsewhere")
    assert report.run == str(other.root / NAME / f"{arch}-s42") and report.env_id == "Pendulum-v1"
    assert np.array_equal(actions(f"{arch}-s42", store), actions(report.run, other))
    returns = [
        plan(
            PlanRequest(runs, f"{arch}-s42", {"plan.max_steps": 4, "plan.episodes": 2}, threads=1), Heard()
        ).mean_return
        for runs in (store, other)
    ]
    assert returns[0] == returns[1]


def test_own_reference_scores_travel_with_the_run(store, other, tmp_path):
    from seqrl_cli.artifacts.facts import DatasetFile, state_also
    from seqrl_cli.artifacts.locate import locate

    dataset = locate(store, NAME)
    state_also(
        DatasetFile(dataset.folder.dataset), dataset.load_episodes(), reference_min=-1600.0, reference_max=-150.0
    )
    imported(other, exported(store, "bc-s42", tmp_path / "shared"))
    short = {"plan.max_steps": 4, "plan.episodes": 1}
    scores = [plan(PlanRequest(runs, "bc-s42", short, threads=1), Heard()).mean_score for runs in (store, other)]
    assert scores[0] == scores[1] is not None


def test_the_card_has_the_scores_and_the_commands(store, tmp_path):
    short = {"plan.max_steps": 4, "plan.episodes": 2, "plan.target_return": -20.0}
    report = plan(PlanRequest(store, "dt-s42", short, seed=5, threads=1), Heard())
    folder = exported(store, "dt-s42", tmp_path / "shared")
    card = (folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"] == {"type": "Pendulum-v1", "name": NAME}
    assert result["metrics"][0]["value"] == pytest.approx(report.mean_return, rel=1e-4)
    assert f"seqrl plan {NAME}/dt-s42 plan.target_return=-20.0 plan.max_steps=4 plan.episodes=2 --seed=5" in card
    assert f"seqrl train {NAME} --config config.yaml --name dt-s42-again" in card
    assert str(tmp_path) not in card + (folder / "config.json").read_text() + (folder / "config.yaml").read_text()


def test_an_export_is_kept_and_an_import_too(store, other, tmp_path):
    folder = exported(store, "bc-s42", tmp_path / "shared")
    assert export_hub.run(HubExportRequest(store, "bc-s42", folder), Heard()).fresh is False
    assert export_hub.run(HubExportRequest(store, "bc-s42", folder, force=True), Heard()).fresh is True
    assert imported(other, folder).fresh is True and imported(other, folder).fresh is False
    exported(store, "dt-s42", tmp_path / "dt")
    with pytest.raises(SeqrlError, match="is another run"):
        imported(other, tmp_path / "dt", name="bc-s42")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(SeqrlError, match="contains something else"):
        exported(store, "bc-s42", tmp_path / "mine")


def changed(folder: Path, **values) -> None:
    """Change ``config.json``, and state the hashes of the files as they are now."""
    path = folder / "config.json"
    known = json.loads(path.read_text())
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in known["sha256"]}
    path.write_text(json.dumps({**known, "sha256": hashes, **values}))


class Trap:
    """What a pickle may hold."""

    def __reduce__(self):
        return os.system, ("touch trapped",)


def pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))


def pickle_for_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Trap()))
    changed(folder)


def other_bytes(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def pipe(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def huge_model(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())["config"]
    changed(folder, config={**config, "model": {**config["model"], "width": 2**20, "n_layer": 64}})


def missing_weight(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(dict(list(tensors.items())[1:]), folder / "model.safetensors")
    changed(folder)


def deep(folder: Path) -> None:
    text = (folder / "config.json").read_text().rstrip("}\n")
    (folder / "config.json").write_text(f'{text}, "x": {"[" * 5000}{"]" * 5000}}}')


def falling_edges(folder: Path) -> None:
    edges = load_file(folder / "bins.safetensors")["edges"]
    save_file({"edges": edges.flip(0).contiguous()}, folder / "bins.safetensors")
    changed(folder)


HOSTILE = {
    pickled_weights: "has no model.safetensors; pytorch_model.bin could only be read by running code",
    pickle_for_safetensors: "cannot be read",
    other_bytes: "does not have the hash",
    pipe: "it is a pipe, not a file",
    huge_model: "weights of .* are not those of a model of its configuration",
    missing_weight: "weights of .* are not those of a model of its configuration",
    deep: "nested too deeply",
    falling_edges: "not finite and ascending",
    (lambda folder: changed(folder, name="../../outside")): "cannot be the name of a run",
    (lambda folder: changed(folder, datasets=["../outside"])): "not a folder's name",
    (lambda folder: changed(folder, suite="a/../../b")): "not a folder's name",
    (lambda folder: changed(folder, arch="bc")): "states the architectures bc and gpt",
    (lambda folder: changed(folder, schema_version=99)): "newer seqrl",
    (lambda folder: changed(folder, surprise=1)): "surprise",
    (lambda folder: changed(folder, config={"seed": "x"})): None,
}


@pytest.mark.parametrize("damage", HOSTILE, ids=lambda damage: damage.__name__)
def test_a_hostile_folder_is_refused_and_leaves_nothing(store, other, tmp_path, monkeypatch, damage):
    monkeypatch.chdir(tmp_path)
    folder = exported(store, "gpt-s42", tmp_path / "shared")
    damage(folder)
    with pytest.raises(SeqrlError, match=HOSTILE[damage]):
        imported(other, folder)
    assert not (tmp_path / "trapped").exists()
    assert not list(other.root.rglob("run.json")) and not list(tmp_path.glob("outside*"))


def test_a_module_that_a_folder_names_is_not_imported(store, other, tmp_path):
    folder = exported(store, "bc-s42", tmp_path / "shared")
    changed(folder, env_id="antigravity:Trap-v0")
    report = imported(other, folder)
    with pytest.raises(SeqrlError, match="would run the code of module 'antigravity'"):
        plan(PlanRequest(other, report.run, threads=1), Heard())
    assert "antigravity" not in sys.modules and load(report.run, runs_dir=other.root).env_id == "antigravity:Trap-v0"


def test_a_dataset_of_the_same_name_but_another_environment_is_told(store, tmp_path):
    folder = exported(store, "bc-s42", tmp_path / "shared")
    changed(folder, env_id="CartPole-v1")
    with pytest.raises(SeqrlError, match="is here data of Pendulum-v1, but the model is for CartPole-v1"):
        imported(store, folder, name="new")


@pytest.mark.parametrize(
    "address", ["hf://", "hf://name", "hf://a/b/c", "hf://a/../b", "hf://a/b@", "hf://a/b@x y", "a b/c"]
)
def test_addresses_are_checked(address):
    if address == "hf://a/b@":
        assert parse_address(address) == ("a/b", None)
        return
    with pytest.raises(UsageError, match="is not the name of a repository"):
        parse_address(address)


def test_a_push_to_a_revision_is_refused(store, tmp_path):
    with pytest.raises(UsageError, match="--push takes no revision, but user/x@dev names dev"):
        export_hub.run(HubExportRequest(store, "bc-s42", tmp_path / "shared", push="user/x@dev"), Heard())


@pytest.fixture
def hub():
    server = Hub()
    yield server
    server.shutdown()
    server.server_close()


def seqrl(hub: Hub, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, because the client reads its address when it is imported."""
    known = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    environment = {**os.environ, **known, "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "seqrl_cli", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home)


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("hub"), reason="the extra hub is not installed")
def test_a_run_is_pushed_to_the_hub_and_pulled_from_it(store, other, hub, tmp_path):
    words = ("export", "gpt-s42", "--format", "hub", "--push", "user/swing", "--runs-dir", str(store.root))
    pushed = seqrl(hub, tmp_path, *words)
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.splitlines()[-1] == "seqrl import hf://user/swing"
    repository = hub.repositories["user/swing"]
    (files,) = repository.commits.values()
    assert repository.private
    assert set(files) >= {"config.json", "config.yaml", "model.safetensors", "bins.safetensors", "README.md"}

    files["evil.bin"] = pickle.dumps(Trap())
    hub.asked.clear()
    pulled = seqrl(hub, tmp_path, "import", "hf://user/swing", "--runs-dir", str(other.root), "--json")
    assert pulled.returncode == 0, pulled.stderr
    report = json.loads(pulled.stdout)
    assert report["source"] == f"hf://user/swing@{next(iter(repository.commits))}"
    assert not any("evil" in path for path in hub.asked) and not list(other.root.glob(".hub-*"))
    assert np.array_equal(actions("gpt-s42", store), actions(report["run"], other))

    gone = seqrl(hub, tmp_path, "import", "hf://user/gone", "--runs-dir", str(other.root))
    assert gone.returncode == 1 and "error: cannot fetch hf://user/gone: Repository not found" in gone.stderr
    again = seqrl(hub, tmp_path, "import", "hf://user/swing@" + "0" * 40, "--runs-dir", str(other.root), "--name", "x")
    assert again.returncode == 1 and "Traceback" not in again.stderr


def test_without_the_extra_the_line_that_installs_it_is_named(store, tmp_path, monkeypatch):
    monkeypatch.setattr("seqrl_cli.config.extras.is_installed", lambda extra: False)
    with pytest.raises(SeqrlError, match="huggingface_hub, which is not installed") as raised:
        export_hub.run(HubExportRequest(store, "bc-s42", tmp_path / "shared", push="user/x"), Heard())
    assert "pip install" in raised.value.hint


def test_what_is_written_is_safetensors_of_the_same_weights(store, tmp_path):
    folder = exported(store, "bc-s42", tmp_path / "shared")
    weights = load_file(folder / "model.safetensors")
    (kept,) = (store.root / NAME / "bc-s42/checkpoints").glob("00000002/model.safetensors")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in load_file(kept).items())
