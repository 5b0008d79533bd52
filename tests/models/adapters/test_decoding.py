"""Decoders use the adapters of a model, each episode its own."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.models.adapters import LoRASpec, attach
from tests.models.adapters.adapted import shake
from tests.models.decision.test_multi_domain import EPISODES, Playing, generators, make_model

SPECS = (
    LoRASpec(rank=2, alpha=2),
    LoRASpec(
        rank=2, alpha=2, targets=("query", "key", "value", "projection", "feed-forward-output", "mlp_out", "head")
    ),
)
MEMBERS = (2, None, 0, -1)
every_kind = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind}-{len(spec.targets)}")


def play(spec, members, context=2, default=None, decode="mean", episodes=EPISODES):
    """Episodes with an adapter each, and the adapters."""
    model = make_model(context)
    adapters = attach(model, spec, 3, torch.Generator().manual_seed(1))
    shake(adapters)
    adapters.select(default)
    playing = Playing(model, context, decode, episodes)
    for history, member in zip(playing.histories, members, strict=True):
        history.adapter = member
    return playing, adapters


@every_kind
@pytest.mark.parametrize("context", [1, 3])
@torch.no_grad()
def test_each_episode_is_decided_by_its_own_adapter(spec, context):
    playing, adapters = play(spec, MEMBERS, context, default=1)
    sources = generators()
    for _ in range(context + 2):
        for index, action in enumerate(playing.step(sources)):
            adapters.select(1 if MEMBERS[index] is None else MEMBERS[index])
            logits = playing.logits(index)
            if playing.histories[index].choices:
                assert logits.argmax(dim=-1).tolist() == action.long().tolist()
                continue
            expected = (logits.softmax(-1) * playing.model.tokens.centres()).sum(-1)
            torch.testing.assert_close(action, expected, atol=1e-5, rtol=0)


@every_kind
def test_an_episode_does_not_depend_on_those_beside_it(spec):
    together, _ = play(spec, MEMBERS)
    sources = generators()
    expected = [together.step(sources) for _ in range(4)]
    for index, episode in enumerate(EPISODES):
        alone, _ = play(spec, [MEMBERS[index]], episodes=[episode])
        own = [generators()[index]]
        for step in range(4):
            assert torch.equal(alone.step(own)[0], expected[step][index])


@every_kind
@pytest.mark.parametrize("nothing", [None, -1])
def test_episodes_without_an_adapter_are_decided_by_the_base_model(spec, nothing):
    base = Playing(make_model(2), 2, "mean")
    own, beside = generators(), generators()
    playing, _ = play(spec, [nothing, nothing, 1, nothing])
    for _ in range(4):
        expected = base.step(own)
        for index, action in enumerate(playing.step(beside)):
            assert index == 2 or torch.equal(action, expected[index])
