"""LoRA goes to peft's format and comes back, and equals peft's own where that is installed."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from seqrl_cli.errors import SeqrlError
from seqrl_cli.interop.peft_folder import attach_peft_folder, write_peft_folder
from seqrl_cli.models.adapters import IA3Spec, LoRASpec
from tests.models.adapters.adapted import ALL, adapted, make

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
SPEC = LoRASpec(rank=2, alpha=3)


@pytest.mark.parametrize("arch", ["gpt", "dt", "mddt"])
def test_an_adapter_goes_to_peft_and_comes_back(tmp_path, arch):
    adapters, run = adapted(arch, SPEC, 2)
    adapters.select(1)
    write_peft_folder(tmp_path, adapters, 1, "base")
    expected = run(ALL)
    model, run = make(arch)
    again = attach_peft_folder(tmp_path, model)
    again.select(0)
    assert torch.equal(run(ALL), expected)
    assert again.share() == adapters.share()


def test_parts_of_one_layer_become_one_pair_of_matrices(tmp_path):
    adapters, _ = adapted("retnet", LoRASpec(rank=2, alpha=3, targets=("query", "value", "feed-forward")))
    write_peft_folder(tmp_path, adapters, 0, "base")
    config, tensors = json.loads((tmp_path / CONFIG).read_text()), load_file(tmp_path / WEIGHTS)
    layer = adapters.layers["blocks.1.qkvg"]
    rank, alpha = config["rank_pattern"]["blocks.1.qkvg"], config["alpha_pattern"]["blocks.1.qkvg"]
    down, up = (tensors[f"base_model.model.blocks.1.qkvg.lora_{matrix}.weight"] for matrix in "AB")
    torch.testing.assert_close(layer.weight + alpha / rank * up @ down, layer.merged(0)[0])
    assert rank == 4 and "blocks.1.mlp_in" not in config["rank_pattern"]


def test_rank_stabilised_scales_are_read(tmp_path):
    adapters, _ = adapted("dt", LoRASpec(rank=4, alpha=3))
    write_peft_folder(tmp_path, adapters, 0, "base")
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, "use_rslora": True}))
    assert attach_peft_folder(tmp_path, make("dt")[0]).spec.alpha == 6


def test_layers_with_a_rank_and_an_alpha_of_their_own_are_read(tmp_path):
    adapters, run = adapted("dt", SPEC)
    adapters.select(0)
    expected = run(ALL)
    write_peft_folder(tmp_path, adapters, 0, "base")
    tensors, config = load_file(tmp_path / WEIGHTS), json.loads((tmp_path / CONFIG).read_text())
    layer = "base_model.model.blocks.1.mlp_in"
    for matrix, dim in (("A", 0), ("B", 1)):  # a third rank that adds nothing
        own = tensors[f"{layer}.lora_{matrix}.weight"]
        shape = [1 if place == dim else size for place, size in enumerate(own.shape)]
        fill = torch.zeros(shape) if matrix == "A" else torch.ones(shape)
        tensors[f"{layer}.lora_{matrix}.weight"] = torch.cat([own, fill], dim).contiguous()
    tensors[f"{layer}.lora_B.weight"] /= 4
    save_file(tensors, tmp_path / WEIGHTS)
    patterns = {"rank_pattern": {"blocks.1.mlp_in": 3}, "alpha_pattern": {"1.mlp_in": 4 * 3 * SPEC.alpha / SPEC.rank}}
    (tmp_path / CONFIG).write_text(json.dumps({**config, **patterns}))
    model, run = make("dt")
    again = attach_peft_folder(tmp_path, model)
    again.select(0)
    torch.testing.assert_close(run(ALL), expected, rtol=1e-5, atol=1e-6)
    assert again.spec.rank == 3 and again.spec.alpha / 3 == SPEC.alpha / SPEC.rank


def test_several_parts_of_one_layer_come_back(tmp_path):
    adapters, run = adapted("retnet", LoRASpec(rank=2, alpha=3, targets=("query", "value", "feed-forward")))
    adapters.select(0)
    write_peft_folder(tmp_path, adapters, 0, "base")
    model, theirs = make("retnet")
    attach_peft_folder(tmp_path, model).select(0)
    torch.testing.assert_close(theirs(ALL), run(ALL), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", [IA3Spec(), LoRASpec(targets=("feed-forward-output",))])
def test_what_peft_does_not_have_is_not_exported(tmp_path, spec):
    with pytest.raises(SeqrlError, match="peft has no adapter like"):
        write_peft_folder(tmp_path, adapted("dt", spec)[0], 0, "base")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"peft_type": "IA3"}, "has the adapter IA3"),
        ({"use_dora": True}, "has use_dora set"),
        ({"bias": "all"}, "has bias set"),
        ({"r": 3}, "of the shapes"),
        ({"r": "2"}, "its r is missing or not a whole number"),
        ({"rank_pattern": {"mlp_in": 5}}, "of the shapes"),
        ({"rank_pattern": {"(a+)+$": 2}}, "its rank_pattern is not a list of numbers by names of layers"),
        ({"alpha_pattern": {"mlp_in": "x"}}, "its mlp_in is missing or not a finite number"),
    ],
)
def test_an_adapter_that_cannot_be_read_is_refused(tmp_path, changes, words):
    write_peft_folder(tmp_path, adapted("dt", SPEC)[0], 0, "base")
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, **changes}))
    with pytest.raises(SeqrlError, match=words):
        attach_peft_folder(tmp_path, make("dt")[0])


def test_an_adapter_of_another_model_is_refused(tmp_path):
    write_peft_folder(tmp_path, adapted("dt", SPEC)[0], 0, "base")
    with pytest.raises(SeqrlError, match="a layer that this model does not have|of the shapes"):
        attach_peft_folder(tmp_path, make("retnet")[0])
    tensors = load_file(tmp_path / WEIGHTS)
    save_file(dict(list(tensors.items())[1:]), tmp_path / WEIGHTS)
    with pytest.raises(SeqrlError, match="only one matrix"):
        attach_peft_folder(tmp_path, make("dt")[0])
    (tmp_path / WEIGHTS).write_bytes(b"")
    with pytest.raises(SeqrlError, match="cannot be read"):
        attach_peft_folder(tmp_path, make("dt")[0])


@pytest.mark.slow
def test_lora_equals_peft(tmp_path):
    peft = pytest.importorskip("peft")
    adapters, run = adapted("mddt", SPEC)
    adapters.select(0)
    run(ALL).square().sum().backward()
    write_peft_folder(tmp_path, adapters, 0, "base")
    model, theirs = make("mddt")
    loaded = peft.PeftModel.from_pretrained(model, tmp_path, is_trainable=True)
    torch.testing.assert_close(theirs(ALL), run(ALL), rtol=1e-5, atol=1e-6)
    theirs(ALL).square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in loaded.named_parameters() if parameter.requires_grad}
    for name, parameter in adapters.named_parameters():
        layer = name.removeprefix("0.").rpartition(".")[0].rpartition(".")[0]
        matrix = "A" if name.endswith("down") else "B"
        other = gradients[f"base_model.model.{layer}.lora_{matrix}.default.weight"]
        torch.testing.assert_close(parameter.grad, other, rtol=1e-4, atol=1e-5)
