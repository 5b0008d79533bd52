"""Whatever an environment does wrong is its own failure, for whoever uses it."""

from contextlib import closing

import numpy as np
import pytest

from seqrl_cli.behaviour.collect import Part, collect
from seqrl_cli.behaviour.policies import uniform_factory
from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.envs.make import make_env
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError
from tests.envs.unruly import unruly


def play_vector(env_id: str) -> None:
    with closing(SeededVectorEnv(env_id, 2)) as vector:
        vector.start(0, seed=0)
        vector.step(np.zeros((2, 2)))


def play_collect(env_id: str) -> None:
    collect(env_id, [Part(uniform_factory(env_id), 1.0)], 10, seed=0, workers=1)


FAULTS = {
    "made": "when it was made: OSError: a cable is loose",
    "made and left": "when it was made: SystemExit: ",
    "no space": "when it was made: its action_space is None, not a space of gymnasium's",
    "reset": "when it was reset: OSError: a cable is loose",
    "old reset": "when it was reset: it did not return an observation and a dictionary",
    "step": "in a step: OSError: a cable is loose",
    "step and left": "in a step: SystemExit: ",
    "old step": "in a step: ValueError: not enough values to unpack",
    "shape": r"in a step: its observation has shape \(3,\), not \(2,\)",
    "reward two": r"in a step: its reward has shape \(2,\), not one number",
    "reward none": "in a step: TypeError: ",
    "reward words": "in a step: ValueError: ",
}


@pytest.mark.parametrize("play", [play_vector, play_collect])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault, play):
    env_id = unruly(fault)
    with pytest.raises(EnvironmentFailedError, match=f"^environment {env_id} failed {FAULTS[fault]}"):
        play(env_id)


def test_a_reward_may_be_an_array_of_one_number():
    with closing(make_env(unruly("reward one"))) as env:
        env.reset(seed=0)
        reward = env.step(np.zeros(2))[1]
    assert type(reward) is float and reward == 1.0


def test_a_dataset_gets_no_nan():
    with pytest.raises(SeqrlError, match="environment 'UnrulyNan-v0' gave observations or rewards that are not finite"):
        play_collect(unruly("nan"))
