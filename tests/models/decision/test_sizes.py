"""The named sizes of the multi-domain Decision Transformer are those of L2M's release."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.config.model_sections import SIZES, MultiDomainSection
from seqrl_cli.models.decision.multi_domain import Input, MultiDomainTransformer

INPUTS = {"dmc": Input((204,), ("walker",)), "atari": Input((84, 84), ("all",))}

# Weights of the blocks, 12 width² + 13 width each, in millions; the paper rounds mediumplus to 40 and hugeplus to 300.
MILLIONS = {
    "tiny": 0.2,
    "small": 2.4,
    "medium": 12.6,
    "mediumplus": 42.5,
    "large": 56.7,
    "larger": 75.6,
    "largeplus": 100.8,
    "huge": 196.8,
    "hugeplus": 302.3,
}


@pytest.mark.parametrize("name", SIZES)
def test_a_size_has_its_number_of_weights(name):
    section = MultiDomainSection(named_size=name, sequence_length=5)
    assert section.width // section.n_head == 64
    with torch.device("meta"):
        model = MultiDomainTransformer(inputs=INPUTS, max_action_dim=6, **section.arguments())
    count = sum(parameter.numel() for parameter in model.blocks.parameters())
    assert count == section.n_layer * (12 * section.width**2 + 13 * section.width)
    assert count / 1e6 == pytest.approx(MILLIONS[name], abs=0.05)
