"""Decoders use the adapters of a model, each episode its own."""

from __future__ import annotations

import pytest
import torch

from seqrl_cli.models.adapters import HoulsbySpec, IA3Spec, LoRASpec, PrefixSpec, PromptSpec, attach
from seqrl_cli.models.build import build_decoder
from seqrl_cli.models.decision.build import build_policy_decoder
from seqrl_cli.models.decision.decoder import History
from seqrl_cli.models.decoding.interface import Window
from tests.models.adapters.adapted import adapted, shake
from tests.models.decision.multi_domain_play import EPISODES, Playing, generators, make_model
from tests.models.policies import ACTION_DIM, OBSERVATION_DIM, make_policy

pytestmark = pytest.mark.slow
SPECS = (
    LoRASpec(rank=2, alpha=2),
    LoRASpec(
        rank=2, alpha=2, targets=("query", "key", "value", "projection", "feed-forward-output", "mlp_out", "head")
    ),
    IA3Spec(),
    IA3Spec(targets=("query", "key", "projection", "feed-forward")),
    HoulsbySpec(4),
    PromptSpec(3),
    PrefixSpec(3),
    PrefixSpec(3, blocks="first"),
)
MEMBERS = (2, None, 0, -1)
every_kind = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)


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
            torch.testing.assert_close(action, expected, atol=5e-5, rtol=0)


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


class PlayingPolicy:
    """Episodes of a dt or odt, with all that the plain form needs."""

    def __init__(self, arch: str, spec, members, context: int, default=None, first: int = 0) -> None:
        self.policy = make_policy(arch)
        self.adapters = attach(self.policy, spec, 3, torch.Generator().manual_seed(1))
        shake(self.adapters)
        self.adapters.select(default)
        self.decoder = build_policy_decoder(self.policy, context)
        self.context = context
        self.histories = [History(adapter=member) for member in members]
        self.generators = [torch.Generator().manual_seed(first + index) for index in range(len(members))]
        self.log: list[list[tuple]] = [[] for _ in members]
        self.actions = torch.zeros(len(members), ACTION_DIM)

    def step(self) -> torch.Tensor:
        draws = [torch.randn(OBSERVATION_DIM + 1, generator=generator) for generator in self.generators]
        numbers = torch.stack(draws)
        observations, returns = numbers[:, :-1], numbers[:, -1]
        for index, log in enumerate(self.log):
            log.append((observations[index], self.actions[index], returns[index]))
        self.actions = self.decoder.decide(self.histories, observations, self.actions, returns).mode
        return self.actions

    def expected(self, index: int) -> torch.Tensor:
        """The plain form's action, with the adapter that is selected."""
        window = self.log[index][-self.context :]
        observations, before, returns = (torch.stack(column)[None] for column in zip(*window, strict=True))
        actions = torch.cat([before[:, 1:], torch.zeros_like(before[:, :1])], dim=1)
        times = torch.arange(len(self.log[index]))[-self.context :][None]
        with torch.no_grad():
            return self.policy(observations, actions, returns, times).mode[0, -1]


@every_kind
@pytest.mark.parametrize("arch", ["dt", "odt"])
def test_each_episode_of_a_policy_is_decided_by_its_own_adapter(arch, spec):
    playing = PlayingPolicy(arch, spec, MEMBERS, 3, default=1)
    for step in range(6):
        if step == 2:
            playing.histories[0].adapter = -1  # a change, too
        if step == 4:
            playing.histories[3].adapter = 1
        actions = playing.step()
        for index, history in enumerate(playing.histories):
            playing.adapters.select(1 if history.adapter is None else history.adapter)
            torch.testing.assert_close(actions[index], playing.expected(index), rtol=1e-4, atol=1e-5)


@every_kind
def test_an_episode_of_a_policy_does_not_depend_on_those_beside_it(spec):
    together = PlayingPolicy("odt", spec, MEMBERS, 3)
    expected = [together.step() for _ in range(5)]
    base = make_policy("odt")
    for index, member in enumerate(MEMBERS):
        alone = PlayingPolicy("odt", spec, [member], 3, first=index)
        if member in (None, -1):
            alone.decoder = build_policy_decoder(base, 3)
        for step in range(5):
            assert torch.equal(alone.step()[0], expected[step][index])


@pytest.mark.parametrize("spec", [SPECS[0], IA3Spec()], ids=lambda spec: spec.kind)
@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize(("arch", "engine"), [("gpt", "torch"), ("gpt", "auto"), ("retnet", "torch")])
@torch.no_grad()
def test_planners_decode_the_selected_member_and_merged_weights(arch, engine, merge, spec):
    adapters, _ = adapted(arch, spec, 2)
    model = adapters.model
    tokens = torch.randint(0, 10, (2, 21), generator=torch.Generator().manual_seed(1))
    without = model(tokens)[:, -1]
    adapters.select(1)
    expected = model(tokens)[:, -1]
    assert not torch.allclose(without, expected, atol=1e-3)
    if merge:
        adapters.merge(1)
    logits, _ = build_decoder(model, Window(4, slides=True), engine=engine).prefill(tokens)
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)
