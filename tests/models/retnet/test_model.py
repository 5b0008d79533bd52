from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.build import build_decoder, build_model, load_weights
from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.retnet.model import RetNet, initialize

pytestmark = pytest.mark.slow

SIZES = dict(bins=10, observation_dim=4, action_dim=2, n_layer=2, n_head=2, width=16, value_width=12, ffn_width=20)
TRANSITION_DIM = 8
MODES = [("parallel", 1), ("recurrent", 1), ("chunkwise", 1), ("chunkwise", 5), ("chunkwise", 100)]


def make(seed: int = 0, **changes) -> RetNet:
    """A model in double precision and evaluation, its norms not one as they are at first."""
    generator = torch.Generator().manual_seed(seed)
    model = RetNet(**{**SIZES, **changes}, generator=generator).double()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def random_tokens(batch: int = 3, time: int = 31, seed: int = 1) -> Tensor:
    return torch.randint(0, 11, (batch, time), generator=torch.Generator().manual_seed(seed))


def naive_logits(model: RetNet, tokens: Tensor) -> Tensor:
    """The paper's equations 5 to 9 for a token and a head at a time."""
    rows = [
        [10 * 8 if token == 10 else 10 * (position % 8) + token for position, token in enumerate(sequence)]
        for sequence in tokens.tolist()
    ]
    x = model.token_embedding.weight[torch.tensor(rows)]
    for block in model.blocks:
        query, key, value, gate = block.qkvg(block.norm_retention(x)).split([16, 16, 12, 12], dim=2)
        heads = [
            naive_head(query[..., 8 * h : 8 * h + 8], key[..., 8 * h : 8 * h + 8], value[..., 6 * h : 6 * h + 6], h)
            for h in range(2)
        ]
        x = x + block.projection(functional.silu(gate) * torch.cat(heads, dim=2))
        inner, inner_gate = block.mlp_in(block.norm_mlp(x)).split(20, dim=2)
        x = x + block.mlp_out(functional.gelu(inner) * inner_gate)
    x = model.norm(x)
    return torch.stack([x[:, t] @ model.head.weight[t % 8].T for t in range(tokens.shape[1])], dim=1)


def naive_head(query: Tensor, key: Tensor, value: Tensor, head: int) -> Tensor:
    decay = 1 - 2.0 ** (-5 - head)
    angles = 10_000.0 ** -torch.linspace(0, 1, 4, dtype=torch.float64)
    mixed = []
    for n in range(query.shape[1]):
        read = torch.zeros_like(value[:, 0])
        for m in range(n + 1):
            if m % TRANSITION_DIM != TRANSITION_DIM - 1:
                pairs = torch.view_as_complex(query[:, n].unflatten(1, (4, 2)))
                others = torch.view_as_complex(key[:, m].unflatten(1, (4, 2)))
                turned = pairs * torch.exp(1j * (n - m) * angles) * others.conj()
                read = read + turned.real.sum(1, keepdim=True) * decay ** (n - m) * value[:, m]
        read = read / (8 * sum(decay**i for i in range(n + 1))) ** 0.5
        mixed.append(read / (read.square().mean(1, keepdim=True) + 1e-6).sqrt())
    return torch.stack(mixed, dim=1)


@pytest.mark.parametrize(("mode", "chunk_size"), MODES)
@pytest.mark.parametrize("time", [1, 7, 8, 9, 31])
def test_equals_the_naive_form(mode, chunk_size, time):
    model, tokens = make(mode=mode, chunk_size=chunk_size), random_tokens(time=time)
    torch.testing.assert_close(model(tokens), naive_logits(model, tokens), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("mode", "chunk_size"), MODES[1:])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_all_modes_agree_in_logits_state_and_gradients(mode, chunk_size, dtype, tolerance):
    results = []
    for chosen in ("parallel", mode):
        model = make(mode=chosen, chunk_size=chunk_size).to(dtype)
        _, state = model.advance(random_tokens(time=19, seed=2))
        logits, after = model.advance(random_tokens(time=13), state)
        gradients = torch.autograd.grad(logits.square().mean(), list(model.parameters()))
        results.append([logits, *after.layers, *gradients])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("before", ["parallel", "chunkwise"])
@pytest.mark.parametrize("first", [1, 8, 15])
def test_the_recurrent_form_continues_a_prefill(before, first):
    model, tokens = make(mode=before, chunk_size=3), random_tokens()
    whole = model(tokens)
    start, state = model.advance(tokens[:, :first])
    model.mode = "recurrent"
    seen = [start]
    for token in tokens[:, first:].split(1, dim=1):
        logits, state = model.advance(token, state)
        seen.append(logits)
    assert state.position == 31
    torch.testing.assert_close(torch.cat(seen, dim=1), whole, atol=1e-9, rtol=0)


@pytest.mark.slow
def test_a_state_carried_far_stays_exact():
    """After 20,000 tokens in float32, whatever the cuts, logits are those of float64 over what is not yet forgotten."""
    tokens = random_tokens(1, 20_003)
    exact = make()(tokens[:, -2051:])[0, -3:]
    single, state = make(mode="chunkwise", chunk_size=128).float(), None
    with torch.no_grad():
        for part in tokens.split(999, dim=1):
            logits, state = single.advance(part, state)
    torch.testing.assert_close(logits[0, -3:].double(), exact, atol=1e-4, rtol=0)


def test_later_tokens_and_value_tokens_do_not_matter():
    model, tokens = make(), random_tokens()
    logits = model(tokens)
    changed = tokens.clone()
    changed[:, 20:] = 0
    torch.testing.assert_close(model(changed)[:, :20], logits[:, :20], atol=1e-12, rtol=0)
    changed = tokens.clone()
    changed[:, 7::8] = (changed[:, 7::8] + 1) % 10
    values = torch.arange(31) % 8 == 7
    for mode in ("parallel", "chunkwise", "recurrent"):
        model.mode = mode
        assert torch.equal(model(changed)[:, ~values], model(tokens)[:, ~values])
    assert not torch.allclose(make(mask_values=False)(changed)[:, 8:15], make(mask_values=False)(tokens)[:, 8:15])


def test_time_passes_at_a_value_token():
    """The state after one transition, read one transition later, has decayed and rotated by all eight steps."""
    model, tokens = make(), random_tokens(1, 8)
    _, before = model.advance(tokens[:, :7])
    _, after = model.advance(tokens[:, 7:], before)
    sizes = [layer.square().sum(dim=(0, 2, 3)).sqrt() for layer in (before.layers[0], after.layers[0])]
    torch.testing.assert_close(sizes[1] / sizes[0], torch.tensor([0.96875, 0.984375], dtype=torch.float64))


def test_every_size_and_dropout_is_honoured():
    model = RetNet(**{**SIZES, "n_layer": 3, "n_head": 4, "width": 24, "value_width": 20, "ffn_width": 36})
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes["blocks.2.qkvg.weight"] == (24 + 24 + 20 + 20, 24)
    assert shapes["blocks.2.projection.weight"] == (24, 20)
    assert shapes["blocks.2.mlp_in.weight"] == (72, 24) and "blocks.3.mlp_in.weight" not in shapes
    tokens, none = random_tokens(), dict.fromkeys(("embedding_dropout", "residual_dropout", "attention_dropout"), 0.0)
    for name in none:
        model = make(**{**none, name: 0.3}).train()
        assert not torch.equal(model(tokens), model(tokens)), name
    model = make(**none).train()
    assert torch.equal(model(tokens), model.eval()(tokens))


def test_parameter_counts():
    sizes = dict(bins=100, observation_dim=11, action_dim=3)
    gpt, original, ours, small_gpt, small = (
        sum(parameter.numel() for parameter in build_model(arch, **sizes, **own).parameters())
        for arch, own in (
            ("gpt", {"block_size": 159}),
            ("retnet", {"ffn_width": 512}),
            ("retnet", {}),
            ("gpt", {"block_size": 79, "width": 96, "n_layer": 3}),
            ("retnet", {"width": 96, "n_layer": 3}),
        )
    )
    assert original == 1_527_040
    assert ours == pytest.approx(gpt, rel=0.02) and small == pytest.approx(small_gpt, rel=0.02)


def test_the_generator_decides_the_weights():
    ours, theirs = RetNet(**SIZES), RetNet(**SIZES)
    for model in (ours, theirs):
        initialize(model, torch.Generator().manual_seed(5))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_head": 3}, "width 16 is not divisible by n_head 3"),
        ({"value_width": 13}, "value_width 13 is not divisible by n_head 2"),
        ({"width": 18, "n_head": 2}, "but rotation needs pairs"),
        ({"ffn_width": 0}, "ffn_width is 0"),
        ({"mode": "paralel"}, "unknown mode 'paralel'"),
        ({"chunk_size": -1}, "chunk_size is -1"),
        ({"residual_dropout": 1.0}, "residual_dropout is 1.0"),
    ],
)
def test_impossible_sizes(changes, message):
    with pytest.raises(SeqrlError, match=message):
        RetNet(**{**SIZES, **changes})


def test_weights_of_another_model_are_refused():
    sizes = dict(bins=10, observation_dim=4, action_dim=2, n_layer=2, n_head=2, width=16)
    gpt, retnet = build_model("gpt", block_size=31, **sizes), build_model("retnet", **sizes)
    with pytest.raises(SeqrlError, match="here holds weights of a gpt, not of this retnet"):
        load_weights(retnet, gpt.state_dict(), "here")
    with pytest.raises(SeqrlError, match="here holds weights of a retnet, not of this gpt"):
        load_weights(gpt, retnet.state_dict(), "here")
    with pytest.raises(SeqrlError, match="weights of other sizes"):
        load_weights(retnet, make().state_dict(), "here")
    with pytest.raises(SeqrlError, match="a gpt cannot carry"):
        build_decoder(gpt, None)
    assert build_decoder(retnet, Window(3)).bins == build_decoder(gpt, Window(3)).bins == 10


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiles_with_the_same_logits_and_gradients():
    model, tokens = make(n_layer=1).float(), random_tokens(2, 15)
    results = []
    for form in (model, torch.compile(model)):
        logits = form(tokens)
        results.append([logits, *torch.autograd.grad(logits.square().mean(), list(model.parameters()))])
    for plain, compiled in zip(*results, strict=True):
        torch.testing.assert_close(plain, compiled, atol=1e-5, rtol=1e-4)
