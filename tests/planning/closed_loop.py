"""Beam search in closed loop with a small random GPT, for tests."""

from __future__ import annotations

from dataclasses import fields
from functools import cache

import numpy as np
import torch

from seqrl_cli.data.discretizer import Discretizer
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.models.decoding.interface import Decoder
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.planning.beam_agent import BeamAgent
from seqrl_cli.planning.episode_record import EpisodeRecord
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import Rollout
from seqrl_cli.planning.settings import SearchSettings

OBSERVATION_DIM, ACTION_DIM, TRANSITION_DIM = 11, 3, 16
SETTINGS = {"horizon": 3, "beam_width": 4, "max_context_transitions": 3}


@cache
def discretizer() -> Discretizer:
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1.2, 1.2, size=(500, ACTION_DIM))
    rows = [rng.normal(size=(500, OBSERVATION_DIM)), actions, rng.normal(size=(500, 2))]
    return Discretizer.fit_columns(np.concatenate(rows, axis=1).T, 12)


@cache
def model() -> GPT:
    generator = torch.Generator().manual_seed(0)
    sizes = {"n_layer": 2, "n_head": 2, "width": 16, "block_size": 8 * TRANSITION_DIM - 1}
    model = GPT(bins=12, observation_dim=OBSERVATION_DIM, action_dim=ACTION_DIM, **sizes, generator=generator)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def beam_rollout(
    decoder: Decoder, vector: SeededVectorEnv, settings: SearchSettings, *, seed: int, max_memory=None
) -> Rollout:
    profile = Profile()
    agent = BeamAgent(decoder, discretizer(), settings, episodes=len(vector), profile=profile, max_memory=max_memory)
    return Rollout(agent, vector, seed=seed, profile=profile)


def assert_same(ours: list[EpisodeRecord], theirs: list[EpisodeRecord]) -> None:
    by_index = {record.episode: record for record in theirs}
    assert sorted(record.episode for record in ours) == sorted(by_index)
    for record in ours:
        other = by_index[record.episode]
        for name in (field.name for field in fields(record)):
            if name != "seconds_per_step":
                np.testing.assert_array_equal(getattr(record, name), getattr(other, name), name)
