"""A RetNet that keeps its state from step to step plans as if it encoded the whole episode at each step."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.retnet.decoder import RetNetDecoder
from seqrl_cli.models.retnet.model import RetNet
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.settings import SearchSettings
from tests.planning.closed_loop import ACTION_DIM, OBSERVATION_DIM, SETTINGS, assert_same, beam_rollout

STEPS = 12


@cache
def model() -> RetNet:
    generator = torch.Generator().manual_seed(0)
    sizes = {"n_layer": 2, "n_head": 2, "width": 16, "generator": generator}
    return RetNet(bins=12, observation_dim=OBSERVATION_DIM, action_dim=ACTION_DIM, **sizes).eval()


def play(slots: int, episodes: list[int], **changes) -> list[EpisodeRecord]:
    settings = SearchSettings(**{**SETTINGS, **changes})
    vector = SeededVectorEnv("Hopper-v4", slots, max_episode_steps=STEPS)
    records: list[EpisodeRecord] = []
    try:
        rollout = beam_rollout(RetNetDecoder(model(), settings.model_window), vector, settings, seed=5)
        rollout.play(episodes, records.append)
    finally:
        vector.close()
    return records


@pytest.mark.slow
@pytest.mark.parametrize("plan_freq", [1, 3])
def test_equals_encoding_the_whole_episode_again(plan_freq):
    """A window that holds the whole episode gives the same actions."""
    greedy = {"k_act": 1, "cdf_act": None, "plan_freq": plan_freq}
    carried = play(1, [0], context="recurrent", **greedy)
    encoded = play(1, [0], window="growing", **{**greedy, "max_context_transitions": STEPS})
    assert len(carried[0].actions) > 4
    np.testing.assert_array_equal(carried[0].actions, encoded[0].actions)


@pytest.mark.slow
@pytest.mark.parametrize("context", ["window", "recurrent"])
def test_an_episode_is_the_same_alone_and_among_four(context):
    together = play(2, [0, 1, 2, 3], context=context)
    assert_same([record for episode in range(4) for record in play(1, [episode], context=context)], together)


def test_settings_that_contradict_themselves():
    with pytest.raises(SeqrlError, match="prefix_context is off"):
        SearchSettings(context="recurrent", prefix_context=False)
    with pytest.raises(SeqrlError, match="context = 'recurent'.*did you mean 'recurrent'"):
        SearchSettings(context="recurent")
