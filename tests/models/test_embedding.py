"""Heads and embeddings whose bins or dimensions share what they learn."""

from __future__ import annotations

import torch

from seqrl_cli.models.embedding import PositionHead, TokenEmbedding, cosines

BINS, DIMS, WIDTH = 6, 3, 4


def test_cosines_are_orthonormal_and_sum_to_zero():
    waves = cosines(BINS, 5).double()
    torch.testing.assert_close(waves.T @ waves / BINS, torch.eye(5, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(waves.sum(0), torch.zeros(5, dtype=torch.float64), atol=1e-6, rtol=0)


def test_a_smooth_head_starts_as_a_plain_one_and_bends_all_bins_of_a_dimension():
    plain, smooth = PositionHead(BINS, DIMS, WIDTH), PositionHead(BINS, DIMS, WIDTH, frequencies=2)
    torch.nn.init.normal_(plain.weight, generator=torch.Generator().manual_seed(0))
    smooth.weight.data = plain.weight.data.clone()
    hidden = torch.ones(1, DIMS, WIDTH)
    assert torch.equal(smooth(hidden), plain(hidden))
    smooth.smooth.data[1, 0, 2] = 1.0
    change = smooth(hidden) - plain(hidden)
    torch.testing.assert_close(change[0, 1, :BINS], cosines(BINS, 2)[:, 0])
    assert change[0, 1, BINS] == 0 and not change[0, 0].any() and not change[0, 2].any()


def test_a_dimensions_vector_is_added_to_all_of_its_tokens():
    embedding = TokenEmbedding(BINS, DIMS, WIDTH, dimension_embedding=True)
    tokens = torch.tensor([[0, 5, BINS, 1]])
    before = embedding(tokens, first=1)
    embedding.dimension.data[2] = 3.0  # the dimension of the second and of no other of these tokens
    change = embedding(tokens, first=1) - before
    torch.testing.assert_close(change[0], torch.tensor([0.0, 3.0, 0.0, 0.0])[:, None].expand(4, WIDTH))
    torch.testing.assert_close(embedding.by_dimension()[2, 5], embedding(tokens, first=1)[0, 1])
