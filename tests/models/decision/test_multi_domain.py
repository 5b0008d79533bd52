"""The multi-domain Decision Transformer and its decoder, which must equal its plain form."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decision.action_tokens import ActionTokens
from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer, TaskWindows
from seqrl_cli.models.decision.multi_domain_decoder import MultiDomainDecoder
from seqrl_cli.models.decision.step_tokens import visible_tokens
from tests.models.decision.multi_domain_play import (
    CHOICES,
    EPISODES,
    INPUTS,
    Playing,
    generators,
    make_model,
    observation,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("hide_actions", [True, False])
@pytest.mark.parametrize("context", [1, 3])
@pytest.mark.parametrize("decode", ["argmax", "mean"])
def test_the_decoder_equals_encoding_everything_again(context, hide_actions, decode):
    model = make_model(context, hide_actions=hide_actions)
    playing = Playing(model, context, decode)
    sources = generators()
    for _ in range(context + 3):
        for index, action in enumerate(playing.step(sources)):
            logits = playing.logits(index)
            if playing.histories[index].choices:
                assert logits.argmax(dim=-1).tolist() == action.long().tolist()
                continue
            centres = model.tokens.centres()
            expected = centres[logits.argmax(-1)] if decode == "argmax" else (logits.softmax(-1) * centres).sum(-1)
            torch.testing.assert_close(action, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("decode", ["mean", "sample"])
def test_an_episode_does_not_depend_on_those_beside_it(decode):
    model = make_model(2)
    together = Playing(model, 2, decode)
    sources = generators()
    draws = [torch.full((episode[1],), 0.3) for episode in EPISODES] if decode == "sample" else None
    expected = [together.step(sources, draws) for _ in range(4)]
    for index, episode in enumerate(EPISODES):
        alone = Playing(model, 2, decode, [episode])
        own = [generators()[index]]
        for step in range(4):
            action = alone.step(own, draws and [draws[index]])[0]
            assert torch.equal(action, expected[step][index])


def test_threads_change_nothing():
    model, before, played = make_model(4), torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            playing, sources = Playing(model, 4, "mean", EPISODES * 2), generators(2 * len(EPISODES))
            played.append([playing.step(sources) for _ in range(5)])
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*played, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_samples_follow_the_probabilities():
    model = make_model(1)
    count = 400
    playing = Playing(model, 1, "sample", [EPISODES[2]] * count)
    draws = [torch.rand(1, generator=torch.Generator().manual_seed(seed)) for seed in range(count)]
    same = [torch.Generator().manual_seed(0) for _ in range(count)]
    actions = torch.stack(playing.step(same, draws)).long().flatten()
    frequencies = torch.bincount(actions, minlength=CHOICES) / count
    expected = playing.logits(0).softmax(dim=-1)[0]
    assert (frequencies - expected).abs().max() < 0.1


def test_an_action_sees_only_what_comes_before_it():
    model = make_model(2, hide_actions=False)
    torch.manual_seed(0)
    actions = torch.randint(CHOICES, CHOICES + 16, (1, 2, 3))
    inputs = [
        torch.randn(1, 2, 7),
        torch.randn(1, 2),
        actions,
        torch.randn(1, 2),
        torch.tensor([[0, 1]]),
        torch.tensor([1]),
    ]
    before = model("vector", TaskWindows(*inputs))
    changed = actions.clone()
    changed[0, 1, 1] = CHOICES + (changed[0, 1, 1] - CHOICES + 1) % 16
    after = model("vector", TaskWindows(inputs[0], inputs[1], changed, *inputs[3:]))
    assert torch.equal(before[0, 0], after[0, 0]) and torch.equal(before[0, 1, :2], after[0, 1, :2])
    assert not torch.equal(before[0, 1, 2], after[0, 1, 2])


def test_hidden_actions_reach_no_later_step():
    model = make_model(2)
    torch.manual_seed(0)
    actions = torch.randint(CHOICES, CHOICES + 16, (1, 2, 3))
    inputs = [
        torch.randn(1, 2, 7),
        torch.randn(1, 2),
        actions,
        torch.randn(1, 2),
        torch.tensor([[0, 1]]),
        torch.tensor([1]),
    ]
    before = model("vector", TaskWindows(*inputs))
    changed = actions.clone()
    changed[0, 0] = CHOICES + (changed[0, 0] - CHOICES + 3) % 16
    after = model("vector", TaskWindows(inputs[0], inputs[1], changed, *inputs[3:]))
    assert torch.equal(before[0, 1], after[0, 1])
    assert not torch.equal(before[0, 0, 1:], after[0, 0, 1:])


def test_every_token_sees_itself():
    for hide in (True, False):
        assert visible_tokens(3, 2, hide, torch.device("cpu")).diagonal().all()


@pytest.mark.parametrize("scale", ["linear", "mu-law"])
def test_bins_are_decoded_to_their_centres(scale):
    tokens = ActionTokens(18, 64, scale)
    centres = tokens.centres()
    assert torch.equal(tokens.encode(centres), torch.arange(64) + 18)
    numbers = torch.linspace(-1, 1, 1001)
    error = (centres[tokens.encode(numbers) - 18] - numbers).abs()
    widest = centres.diff().max()
    assert error.max() <= widest / 2 + 1e-6 if scale == "linear" else error.max() <= widest
    assert tokens.encode(torch.tensor([-7.0, 7.0])).tolist() == [18, 81]


def test_mu_law_bins_are_finest_near_zero():
    widths = ActionTokens(0, 64, "mu-law").centres().diff()
    assert widths[31] < widths[0] / 10


def test_a_window_that_is_too_long_is_refused():
    model = make_model(2)
    with pytest.raises(SeqrlError, match="context"):
        MultiDomainDecoder(model, 3)


@pytest.mark.parametrize("hide_actions", [True, False])
def test_play_sees_the_same_distribution_of_returns_as_the_plain_form(hide_actions):
    model = make_model(2, hide_actions=hide_actions, predicts=("returns", "states"))
    playing = Playing(model, 2, "mean")
    sources = generators()
    for step in range(4):
        observations = [observation(episode[0], torch.Generator().manual_seed(7)) for episode in EPISODES]
        found = playing.decoder.return_distribution(playing.histories, observations)
        for index, (weights, returns) in enumerate(found):
            history = playing.histories[index]
            now = (observations[index], torch.tensor(9.0), torch.zeros(history.action_dim, dtype=torch.int64))
            window = [*playing.log[index], (*now, torch.tensor(3.0))][-2:]
            columns = [torch.stack(column)[None] for column in zip(*window, strict=True)]
            times = torch.arange(step + 1)[-2:][None]
            with torch.no_grad():
                expected, centres = model.return_distribution(
                    history.name, TaskWindows(*columns, times, torch.tensor([history.body]))
                )
            torch.testing.assert_close(weights, expected[0, -1], atol=1e-5, rtol=0)
            assert torch.equal(returns, centres)
        playing.step(sources)


def test_large_layers_are_played_independently_of_the_batch():
    model = MultiDomainTransformer(inputs=INPUTS, choices=CHOICES, max_action_dim=3, width=512, n_layer=1, context=2)
    together, alone = (Playing(model.eval(), 2, "mean", EPISODES[:count]) for count in (2, 1))
    for _ in range(2):
        first = together.step(generators(2))[0]
        assert torch.equal(first, alone.step(generators(1))[0])
