"""The initial weights of the multi-domain Decision Transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from seqrl_cli.models.block import initialize_layers, initialize_uniformly

if TYPE_CHECKING:
    from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer


def initialize(model: MultiDomainTransformer, generator: torch.Generator | None = None) -> None:
    """Set every weight.

    =====================================  ==========================================
    blocks, embeddings of ids, head        normal, variance 1/(3 width); biases zero
    encoders, embeddings of numbers        uniform within 1/sqrt(inputs), biases too
    scales of norms                        one
    =====================================  ==========================================

    The embeddings of numbers keep random biases. Without a bias, the norm after the embedding would make a return's
    embedding independent of the return's size. The deviation is 0.02 at the width of GPT-2, whose initialization this
    is; with 0.02, narrow networks learn the controllers of continuous tasks several times as slowly.

    Args:
        model: the model, which is overwritten.
        generator: source of the weights; the global one when None.
    """
    initialize_layers(model, generator, std=(3 * model.head.in_features) ** -0.5)
    for part in (model.embed_return, model.embed_reward, model.encoders):
        initialize_uniformly(part, generator)
