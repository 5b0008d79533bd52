"""Imported checkpoints compute what their own projects compute; exported ones are what the original writes."""

from __future__ import annotations

import pickle
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from seqrl_cli.artifacts.families import load_trained
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.config.presets import load_config
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import write_d4rl
from seqrl_cli.data.tokens_file import load_tokens
from seqrl_cli.files.safe_pickle.read import read_pickle
from seqrl_cli.interop.checkpoint_data import CHECKPOINTS
from seqrl_cli.interop.faster_trajectory_transformer import read_discretizer
from seqrl_cli.interop.pickle_writer import dump_object
from seqrl_cli.interop.torch_files import read_state_dict
from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.planning.beam import beam_plan, draw_noise
from seqrl_cli.planning.settings import SearchSettings
from seqrl_cli.planning.value_readout import ValueReadout
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.exchange import export_model, import_checkpoint
from seqrl_cli.workflows.exchange.export_model import ExportRequest
from seqrl_cli.workflows.exchange.import_checkpoint import ImportRequest
from tests.interop.listener import Listener

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory, golden_file) -> RunStore:
    """A run directory with the golden dataset in the place of hopper-medium-v2."""
    store = RunStore(tmp_path_factory.mktemp("golden") / "runs")
    raw = np.load(golden_file("tt_dataset.npz"))
    keys = ("observations", "actions", "rewards", "terminals", "timeouts")
    dataset = store.dataset("hopper-medium-v2").dataset
    dataset.parent.mkdir(parents=True)
    write_d4rl(dataset, Episodes.from_flags(*(raw[f"raw_{key}"] for key in keys)), {"env_id": "Hopper-v4"})
    return store


@pytest.fixture(scope="module")
def tt(store, golden_file) -> RunFolder:
    return RunFolder(Path(import_checkpoint.run(ImportRequest(store, golden_file("tt_checkpoint")), Listener()).run))


@pytest.fixture(scope="module")
def faster(store, golden_file) -> TrainedModel:
    report = import_checkpoint.run(ImportRequest(store, golden_file("faster_tt_checkpoint")), Listener())
    return load_trained(RunFolder(Path(report.run)), CPU)


@torch.no_grad()
def test_logits_of_the_trajectory_transformer(tt, golden_file):
    arrays = np.load(golden_file("tt_gpt.npz"))
    for tokens, expected in (("X", "logits"), ("X", "logits_short")):
        logits = load_trained(tt, CPU).model(torch.tensor(arrays[tokens][:, : arrays[expected].shape[1]]))
        torch.testing.assert_close(logits, torch.tensor(arrays[expected]), atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def retnet_folder(tmp_path_factory, golden_file) -> Path:
    """The golden RetNet in the files that its project writes."""
    arrays = np.load(golden_file("retnet.npz"))
    size = {name[4:]: arrays[name].item() for name in arrays if name.startswith("cfg_")}
    kept = ("decoder_layers", "decoder_value_embed_dim", "decoder_ffn_embed_dim", "vocab_size", "recurrent_chunk_size")
    rest = {key: value for key, value in size.items() if key not in kept}
    attributes = {key: size[key] for key in kept} | {"activation_fn": "gelu", "dropout": 0.0, "_dict": rest}
    folder = tmp_path_factory.mktemp("retnet")
    config = dump_object("torchscale.architecture.config.RetNetConfig", attributes)
    (folder / "model_config.pkl").write_bytes(config)
    shutil.copyfile(golden_file("tt_checkpoint") / "data_config.pkl", folder / "data_config.pkl")
    state = {name[6:]: torch.tensor(arrays[name]).float() for name in arrays if name.startswith("state/")}
    torch.save(state, folder / "state_49.pt")
    return folder


@torch.no_grad()
def test_logits_of_the_trajectory_retnet(store, retnet_folder, golden_file):
    report = import_checkpoint.run(ImportRequest(store, retnet_folder), Listener())
    arrays = np.load(golden_file("retnet.npz"))
    trained = load_trained(RunFolder(Path(report.run)), CPU)
    assert (trained.record.arch, trained.step, report.project) == ("retnet", 49, "trajectory-retnet")
    logits = trained.model(torch.tensor(arrays["X"]))
    torch.testing.assert_close(logits.double(), torch.tensor(arrays["logits_parallel"]), atol=1e-4, rtol=0)


def test_bins_of_the_trajectory_transformer(tt, golden_file):
    """Placed anew from the dataset, as the original does, without the row that the original loses."""
    arrays = np.load(golden_file("tt_dataset.npz"))
    tokens = load_tokens(tt.own_tokens)
    np.testing.assert_allclose(tokens.discretizer.edges, arrays["thresholds"], rtol=1e-12, atol=1e-10)
    assert tokens.discretizer.strategy == "quantile" and len(tokens.tokens) == 0


@torch.no_grad()
def test_logits_of_the_faster_one(faster, golden_file):
    arrays = np.load(golden_file("faster_tt.npz"))
    logits = faster.model(torch.tensor(arrays["X"]))
    torch.testing.assert_close(logits[..., :-1], torch.tensor(arrays["logits"]), atol=1e-5, rtol=0)
    assert bool((logits[..., -1] == -torch.inf).all())


def test_bins_of_the_faster_one(faster, golden_file):
    arrays = np.load(golden_file("faster_tt.npz"))
    discretizer = faster.tokens.discretizer
    np.testing.assert_array_equal(discretizer.edges.T, arrays["bin_edges"])
    np.testing.assert_array_equal(discretizer.encode(arrays["probe"]), arrays["tokens"])
    np.testing.assert_array_equal(discretizer.decode(arrays["tokens"]), arrays["reconstruction"])


def test_the_faster_ones_decoder_never_stops(gpt_decoder, faster, golden_file):
    arrays = np.load(golden_file("faster_tt.npz"))
    tokens = torch.tensor(arrays["X"])
    decoder = gpt_decoder(faster.model, Window(faster.config.model.sequence_length))
    known = decoder.transition_dim + 1
    first, state = decoder.prefill(tokens[:, :known])
    for time in range(known, tokens.shape[1]):
        torch.testing.assert_close(first[:, :-1], torch.tensor(arrays["logits"][:, time - 1]), atol=1e-5, rtol=0)
        assert bool((first[:, -1] == -torch.inf).all())
        first, state = decoder.step(tokens[:, time], state)


@pytest.mark.parametrize("filters", [{"k_act": None, "cdf_act": None}, {"k_act": 99, "cdf_act": 0.6, "k_obs": None}])
def test_a_beam_search_with_the_faster_one(gpt_decoder, faster, golden_file, filters):
    known = faster.model.transition_dim + faster.model.observation_dim
    tokens = torch.tensor(np.load(golden_file("faster_tt.npz"))["X"])[:, :known]
    settings = SearchSettings(horizon=5, beam_width=8, max_context_transitions=2, **filters)
    decoder = gpt_decoder(faster.model, settings.model_window)
    noise = draw_noise([np.random.default_rng(i) for i in range(len(tokens))], settings, decoder)
    values = ValueReadout(faster.tokens.discretizer.midpoints, "mean", CPU)
    plan = beam_plan(decoder, values, tokens, settings, noise)
    assert plan.shape == (len(tokens), 5, decoder.observation_dim + decoder.action_dim + 2)
    assert int(plan.max()) < faster.model.bins


def test_the_published_bins_are_read(golden_file):
    folder = golden_file("faster_tt_pretrained_hopper")
    model = yaml.safe_load((folder / "config.yaml").read_text())["model"]
    discretizer = read_discretizer(folder / "discretizer.pt", model["vocab_size"], model["transition_dim"])
    tokens = np.tile(np.arange(discretizer.bins)[:, None], (1, discretizer.dims))
    np.testing.assert_array_equal(discretizer.encode(discretizer.decode(tokens)), tokens)
    np.testing.assert_allclose(discretizer.edges[[0, -1], 0], [0.7, 1.74], atol=0.02)  # a hopper's height, m


def test_the_published_configurations_are_read(golden_file):
    folder = golden_file("tt_published_configs")
    model, data = (read_pickle(folder / f"{part}_config.pkl", CHECKPOINTS).attributes for part in ("model", "data"))
    assert model["_class"].name == "trajectory.models.transformers.GPT"
    assert (model["_dict"]["n_embd"], model["_dict"]["block_size"]) == (128, 159)
    assert data["_dict"]["env"] == "hopper-medium-v2" and data["_dict"]["penalty"] == -100


def test_the_configuration_says_what_the_folder_says(tt, golden_file):
    config = load_config(tt.config)
    sizes = read_pickle(golden_file("tt_checkpoint") / "model_config.pkl", CHECKPOINTS).attributes["_dict"]
    assert (config.model.n_layer, config.model.n_head, config.model.width, config.data.bins) == tuple(
        sizes[key] for key in ("n_layer", "n_head", "n_embd", "vocab_size")
    )
    assert config.plan.max_context_transitions <= config.model.sequence_length
    assert config.data.termination_penalty == -100.0


def test_export_writes_what_was_imported(store, tt, tmp_path, golden_file):
    original = golden_file("tt_checkpoint")
    report = export_model.run(
        ExportRequest(store, str(tt.path), "trajectory-transformer", tmp_path / "out"), Listener()
    )
    weights = Path(report.weights)
    assert weights.name == next(original.glob("state_*.pt")).name
    expected = read_state_dict(original / weights.name)
    written = torch.load(weights, weights_only=True)
    assert list(written) == list(expected)
    for name, tensor in expected.items():
        assert written[name].shape == tensor.shape and torch.equal(written[name], tensor), name
    for part in ("model_config.pkl", "data_config.pkl"):
        ours, theirs = (read_pickle(folder / part, CHECKPOINTS) for folder in (weights.parent, original))
        assert ours.attributes == theirs.attributes


def test_the_originals_classes_unpickle_what_was_exported(store, tt, tmp_path, monkeypatch):
    class Config:
        pass

    class Model:
        pass

    modules = {"trajectory.utils.config": {"Config": Config}, "trajectory.models.transformers": {"GPT": Model}}
    for name, contents in modules.items():
        for depth in range(1, name.count(".") + 2):
            parent = ".".join(name.split(".")[:depth])
            monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
        vars(sys.modules[name]).update(contents)
    export_model.run(ExportRequest(store, str(tt.path), "trajectory-transformer", tmp_path / "out"), Listener())
    config = pickle.loads((tmp_path / "out" / "model_config.pkl").read_bytes())
    assert type(config) is Config and config._class is Model and config._dict["action_weight"] == 5


def test_an_exported_run_is_imported_again(store, tt, tmp_path):
    export_model.run(ExportRequest(store, str(tt.path), "trajectory-transformer", tmp_path / "out"), Listener())
    report = import_checkpoint.run(ImportRequest(store, tmp_path / "out", name="again"), Listener())
    first, second = (load_trained(RunFolder(path), CPU) for path in (tt.path, Path(report.run)))
    assert first.tokens.fingerprint == second.tokens.fingerprint and first.step == second.step
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], tensor)
