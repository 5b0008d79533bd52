"""Fine-tuning of trained runs: what learns, what is saved, what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from seqrl_cli.artifacts.facts import write_dataset
from seqrl_cli.artifacts.families import load_trained
from seqrl_cli.config.presets import dump_config, load_config
from seqrl_cli.errors import RunConflictError, SeqrlError, UsageError
from seqrl_cli.models.adapters.linear import AdaptedLinear
from seqrl_cli.reports.results import read_results
from seqrl_cli.reports.table.build import build_table
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import read_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoint_folders import step_folder
from seqrl_cli.workflows.exchange.export_model import ExportRequest
from seqrl_cli.workflows.exchange.export_model import run as export
from seqrl_cli.workflows.exchange.import_adapter import AdapterImportRequest
from seqrl_cli.workflows.exchange.import_adapter import dry_run as foresee_import
from seqrl_cli.workflows.exchange.import_adapter import run as import_adapter
from seqrl_cli.workflows.finetune.run import FinetuneReport, FinetuneRequest, dry_run, run
from seqrl_cli.workflows.finetune_online.run import run as finetune_online
from seqrl_cli.workflows.plan.run import run as plan
from seqrl_cli.workflows.plan.setup import PlanRequest
from seqrl_cli.workflows.train.run import run as train
from tests.workflows.tiny import ENVIRONMENT, NAME, Heard, make_request, make_runs, swings, tuning

pytestmark = pytest.mark.slow

OTHER = "collected/swings"
EVERYWHERE = [(arch, adapter) for arch in ("gpt", "retnet", "dt", "odt", "mddt") for adapter in ("lora", "ia3")]
IN_POLICIES = [("dt", "houlsby"), ("odt", "prompt"), ("mddt", "prefix")]
OWN = [(arch, "none") for arch in ("gpt", "bc", "dt", "mddt")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    make_runs(root)
    store = RunStore(root)
    write_dataset(store.dataset(OTHER).dataset, swings(seed=7), {"env_id": ENVIRONMENT, "source": "collected"})
    wide = swings(sizes=(4, 1))
    write_dataset(store.dataset("collected/wide").dataset, wide, {"env_id": ENVIRONMENT, "source": "collected"})
    train(make_request(store, "mddt"), Heard())
    return root


@pytest.fixture
def store(trained, tmp_path) -> RunStore:
    return RunStore(Path(shutil.copytree(trained, tmp_path / "runs")))


def asked(store: RunStore, arch: str, adapter: str = "lora", dataset: str = OTHER, **changes: Any) -> FinetuneRequest:
    keys = {key.replace("__", "."): value for key, value in changes.items() if "__" in key}
    options = {key: value for key, value in changes.items() if "__" not in key}
    settings = {"train.updates": 4, "finetune.adapter": adapter, "finetune.rank": 1, "finetune.reduction": 4, **keys}
    return FinetuneRequest(
        store, f"collected/pendulum/{arch}-s42", dataset, settings, device="cpu", threads=1, **options
    )


def tune(store: RunStore, *words: Any, **changes: Any) -> FinetuneReport:
    return run(asked(store, *words, **changes), Heard())


def model_of(folder: RunFolder) -> torch.nn.Module:
    return load_trained(folder, torch.device("cpu")).model


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(step_folder(folder / "checkpoints", step) / "model.safetensors")


@pytest.mark.parametrize(("arch", "adapter"), EVERYWHERE + IN_POLICIES + OWN)
def test_every_architecture_is_fine_tuned_saved_alone_and_planned(store, arch, adapter):
    report = tune(store, arch, adapter)
    folder = RunFolder(Path(report.run))
    assert report.updates == 4 and report.fresh and folder.path.parent == store.root / OTHER
    record = read_record(folder.record)
    assert record.base is not None and record.base.run == f"collected/pendulum/{arch}-s42" and record.base.step == 2
    saved = weights(folder.path, 4)
    assert sum(tensor.numel() for tensor in saved.values()) == report.trainable
    assert adapter == "none" or report.trainable < report.parameters / 2
    learned, own = model_of(folder), model_of(RunFolder(store.root / f"collected/pendulum/{arch}-s42"))
    base = own.state_dict()
    assert all(torch.equal(learned.state_dict()[name], base[name]) for name in base if name not in saved)
    played = plan(PlanRequest(store, str(folder.path), {"plan.episodes": 1, "plan.max_steps": 2}), Heard())
    assert played.fresh == 1
    assert not tune(store, arch, adapter).fresh


def test_a_new_adapter_changes_nothing_and_a_learned_one_does(store):
    first = RunFolder(Path(tune(store, "dt", train__updates=1, train__learning_rate=1e-12, name="first").run))
    later = RunFolder(Path(tune(store, "dt", train__learning_rate=0.1, name="later").run))
    parent = model_of(RunFolder(store.root / "collected/pendulum/dt-s42"))
    generator = torch.Generator().manual_seed(0)
    sizes = ((1, 3, 3), (1, 3, 1), (1, 3))
    inputs = (*(torch.randn(size, generator=generator) for size in sizes), torch.zeros(1, 3, dtype=torch.int64))
    outputs = [model(*inputs).mode for model in (parent, model_of(first), model_of(later))]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=1e-7)
    assert not torch.allclose(outputs[2], outputs[0], atol=1e-4)


@pytest.mark.parametrize("arch", ["dt", "gpt", "mddt"])
def test_an_interrupted_run_resumes_with_the_same_bits(store, arch):
    constant = {"tasks__curve": "constant"} if arch == "mddt" else {}
    whole = Path(tune(store, arch, name="whole", **constant).run)
    shutil.copytree(whole, store.root / OTHER / "half")
    half = store.root / OTHER / "half"
    for step in (3, 4):
        shutil.rmtree(step_folder(half / "checkpoints", step), ignore_errors=True)
    record = read_record(half / "run.json")
    (half / "run.json").write_text(record.model_copy(update={"status": "interrupted"}).model_dump_json())
    assert tune(store, arch, name="half", **constant).updates == 4
    one, other = weights(whole, 4), weights(half, 4)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("preset", "share", "kept"),
    [("hopper-medium-v2", 0.3, False), ("hopper-medium-v2", 0.2, True), ("base", 0.3, True), ("gone", 0.3, True)],
    ids=["the preset's", "given", "given over base", "of another version"],
)
def test_other_data_have_their_own_share_of_good_episodes_unless_one_was_given(store, preset, share, kept):
    parent = RunFolder(store.root / "collected/pendulum/dt-s42").config
    config = load_config(parent)
    policy = config.policy.model_copy(update={"top_share": share})
    parent.write_text(dump_config(config.model_copy(update={"preset": preset, "policy": policy})))
    tuned = load_config(RunFolder(Path(tune(store, "dt").run)).config)
    assert tuned.policy.top_share == (share if kept else 1.0)


def test_groups_learn_with_or_without_an_adapter(store):
    head = tune(store, "dt", "none", finetune__groups=["head"])
    both = tune(store, "dt", "lora", finetune__groups=["head"])
    assert Path(head.run).name == "dt-s42-head" and Path(both.run).name == "dt-s42-lora-head"
    alone = tune(store, "dt", "lora")
    assert both.trainable == head.trainable + alone.trainable
    assert set(weights(Path(head.run), 4)) <= set(weights(Path(both.run), 4))


def test_a_fine_tuned_run_is_fine_tuned_again(store):
    first = tune(store, "dt")
    again = run(FinetuneRequest(store, "dt-s42-lora", OTHER, {"finetune.adapter": "ia3"}, threads=1), Heard())
    assert Path(again.run).name == "dt-s42-lora-ia3" and again.parent == f"{OTHER}/{Path(first.run).name}"
    tune(store, "odt", "prompt")
    with pytest.raises(SeqrlError, match="cannot be merged"):
        run(FinetuneRequest(store, "odt-s42-prompt", OTHER, {"finetune.adapter": "ia3"}, threads=1), Heard())


@pytest.mark.parametrize("arch", ["dt", "gpt", "mddt"])
def test_a_lora_goes_to_peft_and_comes_back_as_a_run(store, arch, tmp_path):
    first = RunFolder(Path(tune(store, arch, train__learning_rate=0.1).run))
    exported = export(ExportRequest(store, str(first.path), "peft", tmp_path / "peft"), Heard())
    assert (
        exported.fresh and not export(ExportRequest(store, str(first.path), "peft", tmp_path / "peft"), Heard()).fresh
    )
    request = AdapterImportRequest(store, tmp_path / "peft", name="theirs")
    imported = RunFolder(Path(import_adapter(request, Heard()).run))
    assert imported.path == store.root / "collected/pendulum/theirs"
    before, after = model_of(first), model_of(imported)
    for name, layer in before.named_modules():
        if isinstance(layer, AdaptedLinear):
            own = after.get_submodule(name)
            assert isinstance(own, AdaptedLinear)
            torch.testing.assert_close(own.merged_weight(), layer.merged_weight())
            assert not torch.equal(own.merged_weight(), own.weight)
    played = plan(PlanRequest(store, str(imported.path), {"plan.episodes": 1, "plan.max_steps": 2}), Heard())
    assert played.fresh == 1
    assert not import_adapter(request, Heard()).fresh
    for base in (store.dataset(NAME).run(f"{arch}-s42"), first):
        itself = replace(request, name=base.path.name, base=str(base.path), force=True)
        with pytest.raises(UsageError, match="is the name of the trained run itself"):
            import_adapter(itself, Heard())
    (tmp_path / "peft" / "adapter_model.safetensors").write_bytes(
        save({name: tensor + 1 for name, tensor in load_file(tmp_path / "peft" / "adapter_model.safetensors").items()})
    )
    for verb in (import_adapter, foresee_import):
        with pytest.raises(SeqrlError, match="is another run"):
            verb(request, Heard())


def test_a_run_that_says_it_was_made_from_itself_is_refused(store):
    tuned = RunFolder(Path(tune(store, "dt").run))
    base = json.loads(tuned.record.read_text())["base"]
    parent = store.dataset(NAME).run("dt-s42")
    record = json.loads(parent.record.read_text())
    parent.record.write_text(json.dumps({**record, "base": {**base, "run": f"{NAME}/dt-s42"}}))
    with pytest.raises(SeqrlError, match="says that it was fine-tuned from itself"):
        model_of(parent)


def test_what_peft_has_no_adapter_for_is_not_exported(store):
    for words, keys in (("ia3", {}), ("lora", {"finetune__groups": ["head"]})):
        made = tune(store, "dt", words, **keys)
        with pytest.raises(SeqrlError, match="no adapter of LoRA|beside its adapter"):
            export(ExportRequest(store, made.run, "peft"), Heard())
    with pytest.raises(SeqrlError, match="has no adapter of LoRA"):
        export(ExportRequest(store, "collected/pendulum/dt-s42", "peft"), Heard())


def test_the_table_sets_a_run_beside_its_parent(store):
    made = tune(store, "bc", "none", finetune__groups=["head"])
    for run_name in ("collected/pendulum/bc-s42", made.run):
        plan(PlanRequest(store, run_name, {"plan.episodes": 1, "plan.max_steps": 3}), Heard())
    report = build_table(read_results(store.root).episodes)
    assert {row.method.removesuffix(" steps3") for row in report.rows} == {"bc", "bc head"}
    (delta,) = report.deltas
    assert delta.label == "bc head steps3 − parent"


def test_a_run_that_learned_offline_does_not_explore(store):
    tune(store, "odt")
    with pytest.raises(SeqrlError, match="cannot be fine-tuned online"):
        finetune_online(tuning(store, "odt-s42-lora"), Heard())


def test_a_dry_run_states_the_share_and_writes_nothing(store):
    console = Heard()
    dry_run(asked(store, "gpt"), console)
    assert not (store.root / OTHER / "gpt-s42-lora").exists()


@pytest.mark.parametrize(
    ("arch", "adapter", "changes", "message"),
    [
        ("gpt", "prompt", {}, "cannot be adapted by a prompt"),
        ("dt", "lora", {"finetune__targets": ["quary"]}, "no layer of this model is called 'quary'"),
        ("dt", "lora", {"finetune__rank": 0}, "rank"),
        ("dt", "lora", {"finetune__rank": 99}, "rank 99 is larger"),
        ("dt", "none", {"finetune__groups": ["tail"]}, "tail"),
        ("dt", "lora", {"dataset": "collected/wide"}, "sizes"),
        ("gpt", "lora", {"dataset": "collected/wide"}, "sizes"),
        ("mddt", "lora", {"dataset": "collected/wide"}, "shape"),
        ("dt", "lora", {"model__width": 16}, "'model.width' cannot be changed"),
        ("gpt", "lora", {"data__bins": 5}, "'data.bins' cannot be changed"),
        ("dt", "lora", {"name": "dt-s42", "dataset": "collected/pendulum"}, "name of the trained run itself"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(store, arch, adapter, changes, message):
    with pytest.raises(SeqrlError, match=message):
        run(asked(store, arch, adapter, **changes), Heard())


def test_a_parent_that_is_gone_or_another_one_is_named(store):
    child = RunFolder(Path(tune(store, "dt").run))
    parent = store.root / "collected/pendulum/dt-s42"
    folder = step_folder(parent / "checkpoints", 2)
    kept = folder.rename(parent / "kept")
    with pytest.raises(SeqrlError, match="from update 2 of collected/pendulum/dt-s42, which now has 1"):
        model_of(child)
    kept.rename(folder)
    shutil.rmtree(parent)
    train(make_request(store, "dt", train__learning_rate=0.5), Heard())
    with pytest.raises(SeqrlError, match="with the weights"):
        model_of(child)
    shutil.rmtree(parent)
    with pytest.raises(SeqrlError, match="which is not in"):
        model_of(child)


def test_a_run_of_another_kind_keeps_its_name(store):
    train(make_request(store, "dt", dataset=OTHER), Heard())
    with pytest.raises(RunConflictError, match="was not fine-tuned from"):
        tune(store, "dt", name="dt-s42")
    tune(store, "dt")
    with pytest.raises(RunConflictError, match="finetune.rank"):
        tune(store, "dt", finetune__rank=2)
    with pytest.raises(UsageError):
        tune(store, "dt", dataset="no/such")
