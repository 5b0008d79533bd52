"""Adapters of every kind leave the base model alone until they are chosen and trained."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.adapters import HoulsbySpec, IA3Spec, LoRASpec, PrefixSpec, PromptSpec, attach
from tests.models.adapters.adapted import ALL, ARCHITECTURES, BATCH, POLICIES, adapted, make, shake

pytestmark = pytest.mark.slow
LINEAR = (
    LoRASpec(rank=2, alpha=2),
    LoRASpec(rank=2, alpha=2, targets=("query", "key", "value", "projection", "feed-forward-output")),
    IA3Spec(),
    HoulsbySpec(4),
)
TOKENS = (PromptSpec(3), PrefixSpec(3), PrefixSpec(3, reparametrize=True), PrefixSpec(3, blocks="first"))
MIXED = torch.tensor([2, -1, 0, 0, 1, 2, -1, 1])


def name_of(spec) -> str:
    return f"{spec.kind}-{len(SPECS) - SPECS.index(spec)}" if spec in SPECS else spec


SPECS = (*LINEAR, *TOKENS)
EVERYWHERE = [(arch, spec) for arch in ARCHITECTURES for spec in LINEAR if spec.mergeable or arch in POLICIES]
IN_POLICIES = [(arch, spec) for arch in POLICIES for spec in TOKENS]
linear_kinds = pytest.mark.parametrize(("arch", "spec"), EVERYWHERE, ids=name_of)
every_kind = pytest.mark.parametrize(("arch", "spec"), EVERYWHERE + IN_POLICIES, ids=name_of)
mergeable_kinds = pytest.mark.parametrize(
    ("arch", "spec"), [(arch, spec) for arch, spec in EVERYWHERE if spec.mergeable], ids=name_of
)


@linear_kinds
@torch.no_grad()
def test_a_new_adapter_changes_no_bit(arch, spec):
    model, run = make(arch)
    before = run(ALL)
    adapters = attach(model, spec, 2)
    for choice in (None, 1, torch.tensor([0, 1, -1, 1] * (BATCH // 4))):
        adapters.select(choice)
        assert torch.equal(run(ALL), before)


@every_kind
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


@mergeable_kinds
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


@every_kind
@torch.no_grad()
def test_removed_adapters_leave_the_base_model(arch, spec):
    model, run = make(arch)
    before, names = run(ALL), list(model.state_dict())
    adapters = attach(model, spec, 2)
    assert set(names) <= set(model.state_dict())
    shake(adapters)
    adapters.select(0)
    adapters.detach()
    assert torch.equal(run(ALL), before) and list(model.state_dict()) == names


@every_kind
def test_training_one_member_changes_no_bit_of_another(arch, spec):
    adapters, run = adapted(arch, spec, pool=3)
    with torch.no_grad():
        adapters.select(0)
        before = run(ALL)
    base = {name: tensor.clone() for name, tensor in adapters.model.state_dict().items() if "adapter" not in name}
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
    assert not torch.allclose(run(ALL), before, rtol=0, atol=1e-4)


@every_kind
def test_only_the_adapter_is_trainable_and_saved(arch, spec):
    model, run = make(arch)
    size = sum(parameter.numel() for parameter in model.parameters())
    adapters = attach(model, spec, 2)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert {id(one) for one in trainable} == {id(one) for one in adapters.parameters()}
    state = adapters.state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == 2 * adapters.share().trainable
    assert {name.split(".")[0] for name in state} == {"0", "1"}
    assert adapters.share().total == size + adapters.share().trainable
    assert 0 < adapters.share().fraction < 0.5
    assert len(adapters.parameters(1)) == len(adapters.parameters()) / 2


@every_kind
@torch.no_grad()
def test_saved_members_come_back(arch, spec):
    adapters, run = adapted(arch, spec, pool=2)
    adapters.select(1)
    expected = run(ALL)
    state = {name: tensor.clone() for name, tensor in adapters.state_dict().items()}
    model, run = make(arch)
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
        (HoulsbySpec(64), 1, "1/64 of the 32 outputs of blocks.0.projection", "reduction of 32"),
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


@pytest.mark.parametrize(
    ("make_spec", "words"),
    [
        (lambda: LoRASpec(rank=0), "rank 0"),
        (lambda: LoRASpec(dropout=1.0), "dropout is 1.0"),
        (lambda: HoulsbySpec(0), "0 times"),
        (lambda: PromptSpec(0), "0 tokens"),
        (lambda: PrefixSpec(-1), "-1 tokens"),
    ],
)
def test_settings_without_sense_are_refused(make_spec, words):
    with pytest.raises(SeqrlError, match=words):
        make_spec()


@pytest.mark.parametrize("spec", [HoulsbySpec(4), *TOKENS], ids=name_of)
def test_what_is_no_linear_layer_is_not_merged(spec):
    adapters, _ = adapted("mddt", spec)
    with pytest.raises(SeqrlError, match=f"{spec.kind} adapter cannot be merged"):
        adapters.merge(0)


@pytest.mark.parametrize("arch", ["gpt", "retnet"])
@pytest.mark.parametrize("spec", [HoulsbySpec(4), PromptSpec()], ids=name_of)
def test_planners_take_no_adapters_that_they_cannot_decode(arch, spec):
    model, _ = make(arch)
    with pytest.raises(SeqrlError, match=f"cannot be adapted by a {spec.kind}"):
        attach(model, spec)


def test_pools_are_where_episodes_can_choose():
    model, _ = make("mddt")
    with pytest.raises(SeqrlError, match="embed_return cannot have a pool of 2"):
        attach(model, LoRASpec(rank=1, targets=("query", "embed_return")), 2)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("arch", POLICIES)
@torch.no_grad()
def test_a_prompt_equals_tokens_before_the_sequence(arch):
    adapters, run = adapted(arch, PromptSpec(3), pool=2)
    model = adapters.model
    adapters.select(1)
    expected = run(ALL)
    adapters.select(None)
    tokens = adapters.parameters(1)[0]

    def with_tokens(block, arguments):
        """Put the prompt before the sequence in the first block; the others find it there."""
        x, visible = arguments[:2]
        if block is model.blocks[0]:
            x = torch.cat([tokens.expand(len(x), -1, -1), x], dim=1)
        longer = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        time = visible.shape[1]
        longer[3:, 3:] = visible if arch == "mddt" else model.visible[:time, :time]
        return x, longer

    for block in model.blocks:
        block.register_forward_pre_hook(with_tokens)
    last = model.blocks[-1]
    last.forward_rows = lambda x, visible, rows: last(x, model.visible[: x.shape[1] - 3, : x.shape[1] - 3])[:, 3:][
        :, rows
    ]
    if arch == "mddt":
        last.register_forward_hook(lambda block, arguments, output: output[:, 3:])
    torch.testing.assert_close(run(ALL), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arch", POLICIES)
@pytest.mark.parametrize("spec", TOKENS, ids=name_of)
@torch.no_grad()
def test_prompts_of_several_members_go_one_after_the_other(arch, spec):
    adapters, run = adapted(arch, spec, pool=3)
    choice = torch.tensor([[0, 2], [2, 1], [-1, -1], [0, 2], [1, 0], [1, 1], [2, 1], [-1, -1]])
    adapters.select(choice)
    together = run(ALL)
    for pair in choice.unique(dim=0):
        (rows,) = torch.where((choice == pair).all(dim=1))
        adapters.select(pair.expand(len(rows), 2))
        torch.testing.assert_close(together[rows], run(rows), rtol=1e-4, atol=1e-5)
    adapters.select(torch.tensor([[2, 0]]).expand(BATCH, 2))
    assert not torch.allclose(together[0], run(ALL)[0], atol=1e-3) or spec.kind == "prefix"


def test_weights_of_other_adapters_are_refused():
    state = adapted("mddt", LoRASpec(rank=2))[0].state_dict()
    for spec, word in [(LoRASpec(rank=3), "shape"), (LoRASpec(rank=2, alpha=2, targets=("query",)), "unexpected")]:
        adapters = adapted("mddt", spec)[0]
        before = {name: tensor.clone() for name, tensor in adapters.state_dict().items()}
        with pytest.raises(SeqrlError, match=word):
            adapters.load_state_dict(state)
        assert all(torch.equal(tensor, before[name]) for name, tensor in adapters.state_dict().items())


def test_layers_are_found_by_name_too():
    model, run = make("mddt")
    adapters = attach(model, LoRASpec(rank=2, alpha=2, targets=("head", "encoders.vector.project", "mlp_out")), 1)
    assert {*adapters.layers} == {"head", "encoders.vector.project", *(f"blocks.{n}.mlp_out" for n in range(3))}
    assert len(adapters.state_dict()) == 10
