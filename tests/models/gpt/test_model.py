from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.block import masked_attention
from seqrl_cli.models.build import build_model
from seqrl_cli.models.dropout import Dropout, keep_mask, keep_scale
from seqrl_cli.models.embedding import PositionHead, TokenEmbedding
from seqrl_cli.models.gpt.model import GPT, initialize, visible_keys

SIZES = dict(bins=10, observation_dim=4, action_dim=2, block_size=31, n_layer=2, n_head=2, width=16)
TRANSITION_DIM = 8


def make(seed: int = 0, **changes) -> GPT:
    """A model in evaluation, its position embeddings and biases not zero as they are at first."""
    generator = torch.Generator().manual_seed(seed)
    model = GPT(**{**SIZES, **changes}, generator=generator)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model.eval()


def tokens_like_data(batch: int = 3, time: int = 31, seed: int = 1) -> Tensor:
    return torch.randint(0, 11, (batch, time), generator=torch.Generator().manual_seed(seed))


def naive_logits(model: GPT, tokens: Tensor) -> Tensor:
    """The same function, one token and one head at a time."""
    rows = [
        [10 * 8 if token == 10 else 10 * (position % 8) + token for position, token in enumerate(sequence)]
        for sequence in tokens.tolist()
    ]
    x = model.token_embedding.weight[torch.tensor(rows)] + model.position_embedding[: tokens.shape[1]]
    for block in model.blocks:
        query, key, value = (layer(block.norm_attention(x)) for layer in (block.query, block.key, block.value))
        x = x + block.projection(naive_attention(query, key, value, heads=2))
        x = x + block.mlp_out(functional.gelu(block.mlp_in(block.norm_mlp(x))))
    x = model.norm(x)
    return torch.stack([x[:, t] @ model.head.weight[t % 8].T for t in range(tokens.shape[1])], dim=1)


def naive_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    mixed = torch.zeros_like(query)
    size = query.shape[2] // heads
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for t in range(query.shape[1]):
            seen = [s for s in range(t + 1) if s % TRANSITION_DIM != TRANSITION_DIM - 1]
            scores = torch.einsum("bw,bsw->bs", query[:, t, part], key[:, seen, part]) / math.sqrt(size)
            mixed[:, t, part] = torch.einsum("bs,bsw->bw", scores.softmax(1), value[:, seen, part])
    return mixed


@pytest.mark.parametrize("time", [1, 7, 8, 9, 24, 31])
def test_equals_the_naive_form(time):
    model, tokens = make(), tokens_like_data(time=time)
    torch.testing.assert_close(model(tokens), naive_logits(model, tokens), atol=1e-5, rtol=1e-5)


def test_gradients_equal_the_naive_form():
    model, tokens = make(), tokens_like_data(time=29)
    gradients = [
        torch.autograd.grad(form(tokens).square().mean(), list(model.parameters()))
        for form in (model, lambda tokens: naive_logits(model, tokens))
    ]
    for ours, naive in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, naive, atol=1e-5, rtol=1e-4)


def test_explicit_attention_equals_pytorchs():
    """With so small a dropout share that no weight is dropped, the two forms must agree."""
    query, key, value = torch.randn(3, 2, 4, 31, 8, generator=torch.Generator().manual_seed(0)).unbind()
    visible = visible_keys(31, TRANSITION_DIM, mask_values=True)
    explicit = masked_attention(query, key, value, visible, dropout=1e-9)
    torch.testing.assert_close(explicit, masked_attention(query, key, value, visible), atol=1e-5, rtol=1e-5)


def test_attention_in_bfloat16_is_the_same_up_to_rounding():
    generator = torch.Generator().manual_seed(0)
    heads = torch.randn(3, 2, 4, 31, 24, generator=generator).bfloat16().float().requires_grad_()
    visible = visible_keys(31, TRANSITION_DIM, mask_values=True)
    results = []
    for precision in (torch.float32, torch.bfloat16):
        mixed = masked_attention(*heads.to(precision).unbind(), visible).float()
        results.append((mixed, *torch.autograd.grad(mixed.square().mean(), heads)))
    for half, full in zip(*results, strict=True):
        assert (half - full).norm() < 0.01 * full.norm()


def test_later_tokens_and_value_tokens_do_not_matter():
    model, tokens = make(), tokens_like_data()
    logits = model(tokens)
    changed = tokens.clone()
    changed[:, 20:] = 0
    assert torch.equal(model(changed)[:, :20], logits[:, :20])
    changed = tokens.clone()
    changed[:, 7::8] = (changed[:, 7::8] + 1) % 10
    values = torch.arange(31) % 8 == 7
    torch.testing.assert_close(model(changed)[:, ~values], logits[:, ~values])
    assert not torch.allclose(make(mask_values=False)(changed)[:, 8:15], make(mask_values=False)(tokens)[:, 8:15])


def test_the_residual_is_the_input_not_the_normed_input():
    block = make().blocks[0]
    for layer in (block.projection, block.mlp_out):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    x = torch.randn(2, 31, 16)
    assert torch.equal(block(x, torch.ones(31, 31, dtype=torch.bool).tril()), x)


@pytest.mark.parametrize("first", [0, 3, 8, 13])
@pytest.mark.parametrize("time", [1, 2, 8, 12])
def test_embedding_and_head_start_anywhere(first, time):
    embedding, head = TokenEmbedding(10, 8, 4), PositionHead(10, 8, 4)
    torch.nn.init.normal_(head.weight)
    tokens = tokens_like_data(time=first + time)
    whole = embedding(tokens)
    torch.testing.assert_close(embedding(tokens[:, first:], first), whole[:, first:])
    torch.testing.assert_close(head(whole[:, first:], first), head(whole)[:, first:])


def test_initial_weights():
    model = GPT(**{**SIZES, "width": 128, "n_layer": 4}, generator=torch.Generator().manual_seed(0))
    weights = dict(model.named_parameters())
    bound = 1 / math.sqrt(128)
    assert weights["head.weight"].abs().max() <= bound
    assert weights["head.weight"].std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    for name in (
        "token_embedding.weight",
        "blocks.0.query.weight",
        "blocks.0.value.weight",
        "blocks.3.mlp_out.weight",
        "blocks.1.projection.weight",
    ):
        assert weights[name].std().item() == pytest.approx(0.02, rel=0.05)
    assert not weights["position_embedding"].any() and not weights["blocks.2.mlp_in.bias"].any()
    assert (weights["norm.weight"] == 1).all() and not weights["norm.bias"].any()


def test_the_generator_decides_the_weights():
    ours, theirs = GPT(**SIZES), GPT(**SIZES)
    for model in (ours, theirs):
        initialize(model, torch.Generator().manual_seed(5))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize(("observation_dim", "action_dim", "expected"), [(11, 3, 1_225_472), (17, 6, 1_468_544)])
def test_parameter_counts_of_the_paper(observation_dim, action_dim, expected):
    block_size = 10 * (observation_dim + action_dim + 2) - 1
    model = GPT(bins=100, observation_dim=observation_dim, action_dim=action_dim, block_size=block_size)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_head": 3}, "width 16 is not divisible by n_head 3"),
        ({"n_layer": 0}, "n_layer is 0"),
        ({"bins": -1}, "bins is -1"),
        ({"attention_dropout": 1.0}, "attention_dropout is 1.0"),
    ],
)
def test_impossible_sizes(changes, message):
    with pytest.raises(SeqrlError, match=message):
        build_model("gpt", **{**SIZES, **changes})


def test_too_long_a_sequence_and_an_unknown_architecture():
    with pytest.raises(SeqrlError, match="32 tokens"):
        make()(tokens_like_data(time=32))
    with pytest.raises(SeqrlError, match="gtp"):
        build_model("gtp", **SIZES)


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(999, 1001)
    dropped = Dropout(0.1)(x)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.1, abs=1e-3)
    assert dropped.mean().item() == pytest.approx(1.0, abs=1e-3)
    assert Dropout(0.1).eval()(x) is x and Dropout(0.0)(x) is x
    mask = keep_mask(x, 0.1)
    assert torch.corrcoef(mask.T[:5]).fill_diagonal_(0).abs().max() < 0.15  # four draws share one random word
    assert keep_scale(0.5) == 2.0
    assert torch.isfinite(Dropout(1 - 1e-9)(x)).all()


def test_dropout_is_in_training_only():
    model, tokens = make(), tokens_like_data()
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))
