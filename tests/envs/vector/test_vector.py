import gymnasium
import numpy as np
import pytest

from seqrl_cli.behaviour.collect import Part, collect
from seqrl_cli.behaviour.policies import uniform_factory
from seqrl_cli.data.catalogue import EPISODE_STEPS
from seqrl_cli.data.space import DiscreteSpace
from seqrl_cli.envs.guard import EnvironmentFailedError
from seqrl_cli.envs.make import make_env
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError
from tests.envs.counted import PICTURES, UNSUITABLE


def play_alone(seed, actions):
    """The naive reference: one plain environment, one episode."""
    env = make_env("Hopper-v4")
    rows = [(env.reset(seed=seed)[0], 0.0, False)]
    for action in actions:
        observation, reward, terminated, _, _ = env.step(action)
        rows.append((observation, reward, terminated))
        if terminated:
            break
    return rows


def test_every_episode_is_as_if_alone():
    rng = np.random.default_rng(0)
    actions = {seed: rng.uniform(-1, 1, (300, 3)) for seed in range(7)}
    expected = {seed: play_alone(seed, actions[seed]) for seed in actions}
    vector = SeededVectorEnv("Hopper-v4", 3)
    played = {seed: [] for seed in actions}
    queue, running = list(actions), {}
    while queue or running:
        for slot in np.flatnonzero(~vector.active)[: len(queue)]:
            running[int(slot)] = seed = queue.pop(0)
            played[seed].append((vector.start(int(slot), seed), 0.0, False))
        batch = np.full((3, 3), np.nan)
        for slot, seed in running.items():
            batch[slot] = actions[seed][len(played[seed]) - 1]
        step = vector.step(batch)
        for slot, seed in list(running.items()):
            played[seed].append((step.observations[slot], step.rewards[slot], step.terminated[slot]))
            if step.terminated[slot]:
                del running[slot]
    for seed in actions:
        for ours, alone in zip(played[seed], expected[seed], strict=True):
            np.testing.assert_array_equal(ours[0], alone[0])
            assert ours[1:] == alone[1:]


def test_finished_and_unchosen_slots_hold_still():
    vector = SeededVectorEnv("Hopper-v4", 3, max_episode_steps=2)
    assert not vector.active.any()
    vector.start(0, seed=1)
    vector.start(2, seed=2)
    assert vector.active.tolist() == [True, False, True]
    before = vector.states()
    step = vector.step(np.ones((3, 3)), active=np.array([True, False, False]))
    assert step.rewards[0] != 0 and step.rewards[1] == step.rewards[2] == 0
    np.testing.assert_array_equal(vector.states()[2].qpos, before[2].qpos)
    last = vector.step(np.ones((3, 3)))
    assert last.truncated.tolist() == [True, False, False] and not last.terminated.any()
    after = vector.step(np.ones((3, 3)))
    assert after.truncated.tolist() == [False, False, True]
    np.testing.assert_array_equal(after.observations[0], last.observations[0])
    assert not vector.active.any()


def test_an_episode_starts_again_from_its_seed():
    vector = SeededVectorEnv("Hopper-v4", 1)
    first = vector.start(0, seed=5)
    moved = vector.step(np.ones((1, 3))).observations[0]
    assert not np.array_equal(first, moved)
    np.testing.assert_array_equal(vector.start(0, seed=5), first)
    np.testing.assert_array_equal(vector.step(np.ones((1, 3))).observations[0], moved)


def test_states_put_a_simulator_back_where_it_was():
    vector = SeededVectorEnv("Ant-v4", 1)
    vector.start(0, seed=0)
    observation = vector.step(np.full((1, 8), 0.5)).observations[0]
    state = vector.states()[0]
    assert state.qpos.shape == (15,) and state.qvel.shape == (14,)
    np.testing.assert_array_equal(observation, np.concatenate([state.qpos[2:], state.qvel]))


def test_unsuitable_environments_are_refused():
    with pytest.raises(SeqrlError, match=r"environment 'CountedTwofold-v0' has actions of kind MultiDiscrete\("):
        SeededVectorEnv(UNSUITABLE, 2)


def test_discrete_actions_and_images_are_played_as_by_plain_gymnasium():
    for env_id in ("CartPole-v1", PICTURES):
        vector, plain = SeededVectorEnv(env_id, 2), gymnasium.make(env_id)
        assert isinstance(vector.spaces.action, DiscreteSpace) and vector.spaces.action.n == plain.action_space.n
        expected, rng = [plain.reset(seed=4)[0]], np.random.default_rng(0)
        seen = [vector.start(1, seed=4)]
        while vector.active.any():
            action = rng.integers(vector.spaces.action.n)
            step = vector.step(np.array([0, action]))
            observation, reward, terminated, truncated, _ = plain.step(action)
            expected += [observation, reward, terminated, truncated]
            seen += [step.observations[1], step.rewards[1], step.terminated[1], step.truncated[1]]
        assert len(seen) == len(expected) > 20 and seen[0].dtype == vector.spaces.observation.dtype
        for ours, theirs in zip(seen, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_an_environment_without_mujoco_has_empty_states():
    pendulum = SeededVectorEnv("Pendulum-v1", 1)
    pendulum.start(0, seed=0)
    (state,) = pendulum.states()
    assert state.qpos.shape == state.qvel.shape == (0,)


class Breaks(gymnasium.Env):
    """Raises in its third step."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return np.zeros(2), {}

    def step(self, action):
        self.steps += 1
        if self.steps == 3:
            raise ValueError("a gear is missing\nand more")
        return np.zeros(2), 0.0, False, False, {}


def test_what_an_environment_raises_is_told_as_its_failure():
    gymnasium.register("Breaks-v0", Breaks, max_episode_steps=9)
    vector = SeededVectorEnv("Breaks-v0", 1)
    vector.start(0, seed=0)
    for _ in range(2):
        vector.step(np.zeros((1, 1)))
    with pytest.raises(EnvironmentFailedError, match="Breaks-v0 failed in a step: ValueError: a gear is missing"):
        vector.step(np.zeros((1, 1)))


def test_observations_are_cut_as_the_data_was():
    whole, cut = SeededVectorEnv("Hopper-v4", 1), SeededVectorEnv("Hopper-v4", 1, observation_size=5)
    assert (whole.spaces.sizes, cut.spaces.sizes) == ((11, 3), (5, 3))
    np.testing.assert_array_equal(cut.start(0, seed=3), whole.start(0, seed=3)[:5])
    action = np.full((1, 3), 0.1)
    np.testing.assert_array_equal(cut.step(action).observations, whole.step(action).observations[:, :5])
    assert SeededVectorEnv("Hopper-v4", 1, observation_size=99).spaces == whole.spaces
    assert cut.states()[0].qpos.shape == (6,)


class Endless(Breaks):
    """Neither breaks nor ends."""

    def step(self, action):
        return np.zeros(2), 0.0, False, False, {}


def test_an_environment_without_a_step_limit_is_given_one():
    gymnasium.register("Endless-v0", Endless)
    assert SeededVectorEnv("Endless-v0", 1).max_episode_steps == EPISODE_STEPS
    assert SeededVectorEnv("Endless-v0", 1, max_episode_steps=7).max_episode_steps == 7
    part = Part(uniform_factory("Endless-v0"), 1.0)
    assert collect("Endless-v0", [part], 1001, seed=0, workers=1).lengths.tolist() == [EPISODE_STEPS, 1]
