"""The RetNet decoder keeps the contract in every window, and carries a recurrent state through an episode."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.retnet.decoder import MAX_OFFSET, RetNetDecoder
from seqrl_cli.models.retnet.model import RetNet
from seqrl_cli.native.library import available
from tests.contracts.decoder import (
    Reference,
    check_equals_reference,
    check_groups_are_independent,
    check_past_values_are_hidden,
)

pytestmark = pytest.mark.slow

TRANSITION_DIM = 7
SIZES = dict(bins=9, observation_dim=3, action_dim=2, n_layer=3, n_head=2, width=16, value_width=12, ffn_width=40)
PAPER_SIZES = dict(n_head=4, width=128, value_width=128, ffn_width=300)
WINDOWS = [Window(3, slides=True), Window(3, slides=False), None]
WINDOW_NAMES = ["sliding", "growing", "all"]


def make_model(**changes) -> RetNet:
    """A small model whose weights and norms are far from their initial values."""
    generator = torch.Generator().manual_seed(0)
    model = RetNet(**{**SIZES, **changes}, generator=generator)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@pytest.fixture(params=[False, True], ids=["torch", "compiled"])
def compiled(request) -> bool:
    """Whether linear layers are C++, where there is a compiler."""
    if request.param and not available():
        pytest.skip("no C++ compiler")
    return request.param


def naive(model: RetNet, window: Window | None, transition_dim: int = TRANSITION_DIM) -> Reference:
    """Encode the whole window again for every token."""

    def logits(tokens, past):
        first = window.overflow(tokens.shape[1] if window.slides else past, transition_dim) if window else 0
        with torch.no_grad():
            return model(tokens[:, first:])[:, -1]

    return logits


def random_tokens(*shape: int, seed: int = 3) -> Tensor:
    return torch.randint(0, 10, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("mask_values", [True, False])
@pytest.mark.parametrize("window", WINDOWS, ids=["sliding", "growing", "all"])
@pytest.mark.parametrize(
    "past", [1, 50, *(pytest.param(past, marks=pytest.mark.slow) for past in (3, 7, 10, 17, 21, 24, 130))]
)
def test_equals_full_encoding_at_every_position(mask_values, window, past, compiled):
    model = make_model(mask_values=mask_values)
    decoder = RetNetDecoder(model, window, compiled=compiled)
    check_equals_reference(decoder, naive(model, window), past=past, steps=4 * TRANSITION_DIM)


def test_embedded_dimensions_and_smooth_heads_equal_full_encoding(compiled):
    model = make_model(dimension_embedding=True, head_frequencies=3)
    decoder = RetNetDecoder(model, Window(3), compiled=compiled)
    check_equals_reference(decoder, naive(model, Window(3)), past=17, steps=2 * TRANSITION_DIM)


@pytest.mark.parametrize("window", WINDOWS, ids=["sliding", "growing", "all"])
def test_past_values_are_hidden(window):
    check_past_values_are_hidden(RetNetDecoder(make_model(), window), past=10, steps=30)


@pytest.mark.parametrize("sizes", [{}, PAPER_SIZES], ids=["small", "paper"])
@pytest.mark.parametrize("window", WINDOWS, ids=["sliding", "growing", "all"])
def test_groups_are_independent(window, sizes, compiled):
    decoder = RetNetDecoder(make_model(**sizes), window, compiled=compiled)
    check_groups_are_independent(decoder, past=10, steps=15)


@pytest.mark.slow
def test_groups_are_independent_on_two_threads(compiled):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        decoder = RetNetDecoder(make_model(**PAPER_SIZES), Window(3), compiled=compiled)
        check_groups_are_independent(decoder, past=10, steps=9)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("cuts", [[5], [1, 4], [2, 1, 1, 1]])
def test_carried_memories_equal_full_encoding(cuts):
    """However an episode's past was taken in, what follows has the logits of one whole sequence."""
    model, decoder = make_model(), RetNetDecoder(make_model(), None)
    past, rest = random_tokens(2, 5 * TRANSITION_DIM), random_tokens(2, 10, seed=4)
    carried = decoder
    for part in past.split([cut * TRANSITION_DIM for cut in cuts], dim=1):
        carried = decoder.with_state(carried.update_state(part))
    logits, state = carried.prefill(rest[:, :4])
    for time in range(4, 11):
        with torch.no_grad():
            expected = model(torch.cat([past, rest[:, :time]], dim=1))[:, -1]
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
        logits, state = decoder.step(rest[:, min(time, 9)], state)


def test_episodes_of_different_age_share_a_batch():
    decoder = RetNetDecoder(make_model(), None)
    old = decoder.with_state(decoder.update_state(random_tokens(1, 9 * TRANSITION_DIM))).update_state(
        random_tokens(1, 14, seed=5)
    )
    young = decoder.update_state(random_tokens(1, TRANSITION_DIM, seed=6))
    tokens, continued = random_tokens(2, 3, seed=7), random_tokens(12, 2, 3, seed=8)

    def decode(memories: list, groups: list[int]) -> Tensor:
        logits, state = decoder.with_state(memories).prefill(tokens[groups])
        state, seen = state.expand(3), [logits.repeat_interleave(3, 0)]
        for each in continued[:, groups]:
            logits, state = decoder.step(each.flatten(), state)
            seen.append(logits)
        return torch.stack(seen)

    together = decode([*old, *young], [0, 1])
    assert torch.equal(together[:, :3], decode(old, [0])) and torch.equal(together[:, 3:], decode(young, [1]))


@pytest.mark.parametrize("mode", ["chunkwise", "recurrent"])
@pytest.mark.parametrize("window", WINDOWS, ids=["sliding", "growing", "all"])
def test_other_forms_of_prefill(mode, window):
    model = make_model(mode=mode, chunk_size=2 * TRANSITION_DIM + 3)
    for past in (1, 17, 40):
        check_equals_reference(RetNetDecoder(model, window), naive(model, window), past=past, steps=8)
    past, rest = random_tokens(1, 5 * TRANSITION_DIM), random_tokens(1, 3, seed=4)
    decoder, usual = RetNetDecoder(model, None), RetNetDecoder(make_model(), None)
    ours, theirs = (each.with_state(each.update_state(past)).prefill(rest)[0] for each in (decoder, usual))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("copies", [1, 3])
def test_far_from_where_it_began(copies):
    """After more than ``MAX_OFFSET`` tokens, in the prefill and after it, logits are those of full encoding."""
    model, past = make_model(), MAX_OFFSET + 11
    tokens = random_tokens(1, 2 * MAX_OFFSET + 40)
    decoder = RetNetDecoder(model, None)
    _, state = decoder.prefill(tokens[:, :past])
    state = state.expand(copies)
    for token in tokens[0, past:]:
        logits, state = decoder.step(token.expand(copies), state)
    with torch.no_grad():
        torch.testing.assert_close(logits, model(tokens)[:, -1].expand(copies, -1), atol=1e-4, rtol=0)
    (episode,) = decoder.update_state(tokens[:, : 2 * MAX_OFFSET // TRANSITION_DIM * TRANSITION_DIM])
    rest = tokens[:, episode.position :]
    with torch.no_grad():
        torch.testing.assert_close(
            decoder.with_state([episode]).prefill(rest)[0], model(tokens)[:, -1], atol=1e-4, rtol=0
        )


def test_a_step_costs_no_more_memory_after_a_long_past():
    decoder = RetNetDecoder(make_model(), None)
    sizes = []
    for past in (10, 500):
        _, state = decoder.prefill(random_tokens(1, past))
        sizes.append([each.numel() for each in state.bases])
    assert sizes[0] == sizes[1]


def test_training_after_it_was_made_does_not_reach_a_decoder():
    model = make_model()
    decoder = RetNetDecoder(model, Window(3))
    before, _ = decoder.prefill(random_tokens(1, 10))
    for parameter in model.parameters():
        parameter.data.zero_()
    after, _ = decoder.prefill(random_tokens(1, 10))
    assert torch.equal(before, after)


@pytest.mark.parametrize("mode", ["parallel", "chunkwise", "recurrent"])
@pytest.mark.parametrize("window", [Window(2, slides=True), Window(2, slides=False), None], ids=WINDOW_NAMES)
@pytest.mark.parametrize("dims", [MAX_OFFSET, MAX_OFFSET + 1, 603])
def test_transitions_may_have_more_tokens_than_a_piece(dims, window, mode):
    model = make_model(observation_dim=dims - 4, n_layer=1, mode=mode)
    decoder = RetNetDecoder(model, window)
    check_equals_reference(decoder, naive(model, window, dims), past=2 * dims - 2, steps=6)
