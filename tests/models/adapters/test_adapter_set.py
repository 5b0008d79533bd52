"""Adapters of every kind leave the base model alone until they are chosen and trained."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.adapters import LoRASpec, attach
from tests.models.adapters.adapted import ALL, ARCHITECTURES, BATCH, adapted, make, shake

SPECS = (
    LoRASpec(rank=2, alpha=2),
    LoRASpec(rank=2, alpha=2, targets=("query", "key", "value", "projection", "feed-forward-output")),
)
MIXED = torch.tensor([2, -1, 0, 0, 1, 2, -1, 1])
every_kind = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind}-{len(spec.targets)}")
every_architecture = pytest.mark.parametrize("arch", ARCHITECTURES)


@every_kind
@every_architecture
@torch.no_grad()
def test_a_new_adapter_changes_no_bit(arch, spec):
    model, run = make(arch)
    before = run(ALL)
    adapters = attach(model, spec, 2)
    for choice in (None, 1, torch.tensor([0, 1, -1, 1] * (BATCH // 4))):
        adapters.select(choice)
        assert torch.equal(run(ALL), before)


@every_kind
@every_architecture
@torch.no_grad()
def test_without_a_choice_the_model_is_the_base_model(arch, spec):
    model, run = make(arch)
    before = run(ALL)
    adapters = attach(model, spec, 3)
    shake(adapters)
    for nothing in (None, -1, torch.full((BATCH,), -1)):
        adapters.select(nothing)
        assert torch.equal(run(ALL), before)
    adapters.select(MIXED)
    mixed = run(ALL)
    assert torch.allclose(mixed[MIXED == -1], before[MIXED == -1], atol=1e-6)
    changed = (mixed - before).flatten(1).abs().amax(1) > 1e-3
    assert torch.equal(changed, MIXED != -1)


@every_kind
@every_architecture
def test_members_of_samples_equal_members_of_batches(arch, spec):
    adapters, run = adapted(arch, spec, pool=3)
    adapters.select(MIXED)
    together = run(ALL)
    together.square().sum().backward()
    gradients = [parameter.grad for parameter in adapters.parameters()]
    for parameter in adapters.parameters():
        parameter.grad = None
    for member in range(3):
        adapters.select(member)
        (rows,) = torch.where(MIXED.eq(member))
        alone = run(rows)
        torch.testing.assert_close(together[rows], alone, rtol=1e-4, atol=1e-5)
        alone.square().sum().backward()
    alone = [parameter.grad for parameter in adapters.parameters()]
    for one, other in zip(gradients, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@every_kind
@every_architecture
@torch.no_grad()
def test_merged_weights_equal_the_adapter(arch, spec):
    adapters, run = adapted(arch, spec, pool=2)
    adapters.select(1)
    expected = run(ALL)
    names = set(make(arch)[0].state_dict())
    adapters.merge(1)
    torch.testing.assert_close(run(ALL), expected, rtol=1e-5, atol=1e-5)
    assert set(adapters.model.state_dict()) == names
    assert not any(type(module).__name__ == "AdaptedLinear" for module in adapters.model.modules())


@every_architecture
@torch.no_grad()
def test_removed_adapters_leave_the_base_model(arch):
    model, run = make(arch)
    before, names = run(ALL), list(model.state_dict())
    adapters = attach(model, LoRASpec(rank=2), 2)
    assert set(names) <= set(model.state_dict())
    shake(adapters)
    adapters.select(0)
    adapters.detach()
    assert torch.equal(run(ALL), before) and list(model.state_dict()) == names


@every_kind
@every_architecture
def test_training_one_member_changes_no_bit_of_another(arch, spec):
    adapters, run = adapted(arch, spec, pool=3)
    with torch.no_grad():
        adapters.select(0)
        before = run(ALL)
    base = {name: tensor.clone() for name, tensor in adapters.model.state_dict().items() if "adapters" not in name}
    others = {name: tensor.clone() for name, tensor in adapters.state_dict().items() if not name.startswith("1.")}
    optimizer = torch.optim.AdamW(adapters.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        adapters.select(torch.where(torch.arange(BATCH) < 2, -1, 1))
        optimizer.zero_grad()
        run(ALL).square().sum().backward()
        optimizer.step()
    state, model = adapters.state_dict(), adapters.model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in others.items())
    assert all(torch.equal(model[name], tensor) for name, tensor in base.items())
    adapters.select(0)
    assert torch.equal(run(ALL), before)
    adapters.select(1)
    assert not torch.allclose(run(ALL), before, atol=1e-2)


@every_kind
def test_only_the_adapter_is_trainable_and_saved(spec):
    model, run = make("mddt")
    size = sum(parameter.numel() for parameter in model.parameters())
    adapters = attach(model, spec, 2)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert {id(one) for one in trainable} == {id(one) for one in adapters.parameters()}
    state = adapters.state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == 2 * adapters.share().trainable
    assert {name.split(".")[0] for name in state} == {"0", "1"}
    assert adapters.share().total == size + adapters.share().trainable
    assert 0 < adapters.share().fraction < 0.2
    assert len(adapters.parameters(1)) == len(adapters.parameters()) / 2


@every_kind
@torch.no_grad()
def test_saved_members_come_back(spec):
    adapters, run = adapted("mddt", spec, pool=2)
    adapters.select(1)
    expected = run(ALL)
    state = {name: tensor.clone() for name, tensor in adapters.state_dict().items()}
    model, run = make("mddt")
    again = attach(model, spec, 2)
    again.load_state_dict(state)
    again.copy_member(1, to=0)
    again.select(0)
    assert torch.equal(run(ALL), expected)


@pytest.mark.parametrize(
    ("spec", "pool", "words", "hint"),
    [
        (LoRASpec(targets=("query", "valeu")), 1, "'valeu'", "did you mean 'value'?"),
        (LoRASpec(targets=()), 1, "without targets", "query, value"),
        (LoRASpec(targets=("nothing-like-it",)), 1, "'nothing-like-it'", "feed-forward"),
        (LoRASpec(rank=64), 1, "rank 64 is larger than blocks.0.query", "rank of 32"),
        (LoRASpec(), 0, "pool of 0", "1 or more"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_before_the_model_changes(spec, pool, words, hint):
    model, _ = make("mddt")
    modules = [type(module) for module in model.modules()]
    with pytest.raises(SeqrlError, match=words) as refused:
        attach(model, spec, pool)
    assert hint in refused.value.hint
    assert [type(module) for module in model.modules()] == modules
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_rank_of_0_is_refused():
    with pytest.raises(SeqrlError, match="rank 0"):
        LoRASpec(rank=0)


def test_weights_of_other_adapters_are_refused():
    state = adapted("mddt", LoRASpec(rank=2))[0].state_dict()
    for spec, word in [(LoRASpec(rank=3), "shape"), (LoRASpec(rank=2, alpha=2, targets=("query",)), "unexpected")]:
        with pytest.raises(SeqrlError, match=word):
            adapted("mddt", spec)[0].load_state_dict(state)


def test_layers_are_found_by_name_too():
    model, run = make("mddt")
    adapters = attach(model, LoRASpec(rank=2, alpha=2, targets=("head", "encoders.vector.project", "mlp_out")), 1)
    assert {*adapters.layers} == {"head", "encoders.vector.project", *(f"blocks.{n}.mlp_out" for n in range(3))}
    assert len(adapters.state_dict()) == 10
