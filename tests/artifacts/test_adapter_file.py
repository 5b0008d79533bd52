"""An adapter's file contains the adapter alone, and fits its base model only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seqrl_cli.artifacts.adapter_file import base_hash, read_adapter, write_adapter
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.adapters import HoulsbySpec, IA3Spec, LoRASpec, PrefixSpec, PromptSpec, attach
from seqrl_cli.runs.record import BaseRecord
from tests.models.adapters.adapted import ALL, adapted, make

SPECS = (LoRASpec(rank=2, targets=("query", "head")), IA3Spec(), HoulsbySpec(4), PromptSpec(3), PrefixSpec(3))


def write(path: Path, spec=SPECS[0], pool: int = 2, **extra):
    """A saved adapter of an mddt; returns it and the model's outputs with its last member."""
    model, _ = make("mddt")
    base = BaseRecord(run="runs/suite/mddt-s0", step=700, sha256=base_hash(model))
    adapters, run = adapted("mddt", spec, pool)
    assert base_hash(adapters.model) == base.sha256
    write_adapter(path, adapters, base, extra)
    adapters.select(pool - 1)
    with torch.no_grad():
        return adapters, run(ALL)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_an_adapter_comes_back_from_its_file(tmp_path, spec):
    path = tmp_path / "adapter.safetensors"
    adapters, expected = write(path, spec, keys=torch.arange(3.0))
    saved = read_adapter(path)
    assert (saved.spec, saved.pool, saved.base.run, saved.base.step) == (spec, 2, "runs/suite/mddt-s0", 700)
    assert saved.tensors.keys() == adapters.state_dict().keys() and saved.extra["keys"].tolist() == [0, 1, 2]
    weights = sum(parameter.numel() for parameter in adapters.parameters())
    assert sum(tensor.numel() for tensor in load_file(path).values()) == weights + 3
    model, run = make("mddt")
    again = saved.attach(model)
    again.select(1)
    with torch.no_grad():
        assert torch.equal(run(ALL), expected)


def test_a_base_that_was_trained_further_is_refused(tmp_path):
    path = tmp_path / "adapter.safetensors"
    write(path)
    model, _ = make("mddt")
    with torch.no_grad():
        model.norm.bias[0] += 1e-6
    with pytest.raises(SeqrlError, match="runs/suite/mddt-s0 at update 700, whose weights") as refused:
        read_adapter(path).attach(model)
    assert "checkpoint 700" in refused.value.hint
    assert all(type(module).__name__ != "AdaptedLinear" for module in model.modules())


def test_the_hash_does_not_depend_on_the_order_of_weights():
    model, _ = make("dt")
    before = base_hash(model)
    model.load_state_dict(dict(reversed(model.state_dict().items())))
    assert base_hash(model) == before != base_hash(make("odt")[0])
    attach(model, IA3Spec())
    assert base_hash(model) == before


def damage_metadata(path: Path, old: str, new: str) -> None:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].replace(old.encode(), new.encode())
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (r"\"schema_version\": 1", r"\"schema_version\": 9", "schema version 9, newer"),
        (r"\"pool\": 2", r"\"pool\": \"2\"", "no valid pool"),
        (r"\"rank\": 2", r"\"rank\": 0", "rank 0"),
        (r"\"rank\": 2", r"\"rank\": \"2\"", "the setting rank='2'"),
        (r"\"kind\": \"lora\"", r"\"kind\": \"dora\"", "names the adapter 'dora'"),
        (r"\"kind\": \"lora\"", r"\"kind\": [\"lora\"]", "names the adapter"),
        (r"\"alpha\": 16.0", r"\"alpha\": NaN", "alpha"),
        (r"\"rank\": 2", rf"\"rank\": {10**30}", "the setting rank="),
        ("seqrl-adapter", "other-adapter", "contains no adapter of seqrl"),
        ('"0.head.head.up"', '"0.tail.head.up"', "does not match its own hash"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, old, new, words):
    path = tmp_path / "adapter.safetensors"
    write(path)
    damage_metadata(path, old, new)
    with pytest.raises(SeqrlError, match=words) as refused:
        read_adapter(path)
    assert str(path) in refused.value.message or "rank 0" in words


def test_missing_cut_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "adapter.safetensors"
    with pytest.raises(SeqrlError, match="there is no adapter"):
        read_adapter(path)
    write(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SeqrlError, match="is damaged"):
        read_adapter(path)
    content = bytearray(path.read_bytes() + bytes(9))
    path.write_bytes(content)
    with pytest.raises(SeqrlError, match="does not match"):
        read_adapter(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(SeqrlError, match="contains no adapter of seqrl") as refused:
        read_adapter(path)
    assert "seqrl import" in refused.value.hint
