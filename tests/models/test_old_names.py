from __future__ import annotations

import torch

from seqrl_cli.models.build import load_weights
from seqrl_cli.models.decision.build import policy_sizes
from seqrl_cli.models.old_names import current_names
from tests.models.policies import ACTION_DIM, OBSERVATION_DIM, make_policy


def as_it_was(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What an earlier version would have written."""
    old = {name.replace("normalizer.", "units."): value for name, value in state.items()}
    for block in range(2):
        for kind in ("weight", "bias"):
            parts = [old.pop(f"blocks.{block}.{part}.{kind}") for part in ("query", "key", "value")]
            old[f"blocks.{block}.qkv.{kind}"] = torch.cat(parts)
    return old


def test_a_policy_of_an_earlier_version_is_read():
    wanted, policy = make_policy("odt", seed=1), make_policy("odt")
    state = current_names(as_it_was(wanted.state_dict()))
    sizes = {"observation_shape": (OBSERVATION_DIM,), "action_dim": ACTION_DIM, "discrete": False}
    assert policy_sizes("odt", state, "it") == sizes
    load_weights(policy, state, "it")
    for name, tensor in policy.state_dict().items():
        assert torch.equal(tensor, wanted.state_dict()[name]), name


def test_names_of_today_stay():
    state = make_policy("dt").state_dict()
    assert current_names(state).keys() == state.keys()
