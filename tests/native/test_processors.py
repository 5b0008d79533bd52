"""The C++ keeps the decoder's contract as other processors would compile it, and for sizes that fit no vector."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.gpt.native_decoder import NativeGPTDecoder
from seqrl_cli.native import library
from tests.contracts.decoder import Reference, check_equals_reference, check_greedy, check_groups_are_independent

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not library.available(), reason="no C++ compiler")]

PROCESSORS = {
    "this": ["-march=native"],
    "avx2": ["-march=x86-64-v3"],
    "zen": ["-march=x86-64-v3", "-mtune=znver2"],  # for which GCC would fuse products and sums in some loops alone
    "sse": ["-march=x86-64"],
}

SIZES = {  # heads, width, observation_dim, action_dim: of heads, pages and layers that fit no vector, or need two
    "narrow": (3, 12, 3, 2),
    "tiny": (2, 6, 1, 1),
    "odd": (5, 85, 4, 1),
    "long transitions": (2, 40, 27, 8),
}


@pytest.fixture(scope="module", params=PROCESSORS)
def processor(request, tmp_path_factory):
    """A processor that the library is compiled for."""
    if request.param != "this" and torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("not that kind of processor")
    flags = [*(flag for flag in library.FLAGS if flag != "-march=native"), *PROCESSORS[request.param]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "FLAGS", flags)
        library.outcome.cache_clear()
        yield request.param
    library.outcome.cache_clear()


def make_model(size: str, mask_values: bool = True) -> GPT:
    """A model whose hidden vectors are far from zero in the mean, which a careless layer norm would not forgive."""
    heads, width, observation_dim, action_dim = SIZES[size]
    dims = dict(observation_dim=observation_dim, action_dim=action_dim)
    block = 6 * (observation_dim + action_dim + 2) - 1
    generator = torch.Generator().manual_seed(0)
    sizes = dict(block_size=block, n_layer=2, n_head=heads, width=width, mask_values=mask_values)
    model = GPT(bins=9, **dims, **sizes, generator=generator)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    model.position_embedding.data += 3
    return model.eval()


def naive(model: GPT, window: Window) -> Reference:
    """Encode the whole window again for every token, in double precision."""
    model = model.double()

    def logits(tokens, past):
        length = tokens.shape[1] if window.slides else past
        with torch.no_grad():
            return model(tokens[:, window.overflow(length, model.transition_dim) :])[:, -1].float()

    return logits


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("slides", [True, False])
def test_equals_full_encoding(processor, size, slides):
    window, transition_dim = Window(3, slides), SIZES[size][2] + SIZES[size][3] + 2
    decoder = NativeGPTDecoder(make_model(size), window)
    steps = min(2 * transition_dim + 3, 40)
    check_equals_reference(decoder, naive(make_model(size), window), past=transition_dim + 1, steps=steps)


@pytest.mark.parametrize("threads", [1, 2])
def test_groups_are_independent(processor, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)  # which cut groups in other places
    try:
        check_groups_are_independent(NativeGPTDecoder(make_model("odd"), Window(3)), past=17, steps=12)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("mask_values", [True, False])
@pytest.mark.parametrize("transitions", [3, 6])
def test_greedy_also_where_a_window_slides_or_is_full(processor, mask_values, transitions):
    check_greedy(NativeGPTDecoder(make_model("narrow", mask_values), Window(transitions)))


def test_many_rows_are_as_few():
    """A chunk of rows and the next one, and what they share, in one batch or in two."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 9, (300, 20))
    whole, _ = NativeGPTDecoder(make_model("narrow"), Window(4)).prefill(tokens)
    halves = [NativeGPTDecoder(make_model("narrow"), Window(4)).prefill(half)[0] for half in tokens.split(150)]
    assert torch.equal(whole, torch.cat(halves))


@pytest.mark.parametrize("tokens", [torch.tensor([[0, 9 + 1]]), torch.tensor([[0, -1]]), torch.zeros(1, 2).int()])
def test_tokens_that_do_not_exist_are_not_looked_up(tokens):
    with pytest.raises(AssertionError, match="tokens"):
        NativeGPTDecoder(make_model("narrow"), Window(3)).prefill(tokens)
