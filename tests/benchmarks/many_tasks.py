"""Many tasks with one model: ``python -m tests.benchmarks.many_tasks PART``; parts are choose, environments, train.

Times are processor time of one thread, the best of a few rounds that take turns, so a busy machine matters little.
``choose`` compares decoding with encoding all again per action dimension, at 10 tasks with 5 episodes each;
``environments`` compares steps through our wrappers with those of the bare packages; ``train`` times updates.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from gymnasium.utils.seeding import np_random
from torch import Tensor

from seqrl_cli.config.model_sections import SIZES
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.task_data import TaskData, TaskMixture
from seqrl_cli.envs.make import make_env
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decision.multi_domain import Input, MultiDomainTransformer, TaskWindows
from seqrl_cli.models.decision.multi_domain_decoder import MultiDomainDecoder
from seqrl_cli.models.decision.task_history import TaskHistory
from seqrl_cli.training.rates import RateSchedule
from seqrl_cli.training.rng import preserve_rng_state
from seqrl_cli.training.task_settings import TaskTrainSettings
from seqrl_cli.training.task_trainer import TaskTrainer

EPISODES, OBSERVATION_DIM, ACTION_DIM = 50, 39, 4
LAPTOP = (2, 2, 64)
STEPS = {"metaworld/reach-v3": 200, "dmc/walker-walk": 400, "atari/Freeway": 400, "procgen/coinrun": 400}

Row = dict[str, Any]


def fastest(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Processor seconds of each work: the best of several rounds, after one that does not count."""
    best = dict.fromkeys(works, float("inf"))
    for number in range(rounds + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            if number:
                best[name] = min(best[name], time.process_time() - start)
    return best


def make_model(size: str, context: int, hide_actions: bool) -> MultiDomainTransformer:
    """A model of a named size, or of the laptop preset."""
    n_layer, n_head, width = SIZES.get(size, LAPTOP)
    return MultiDomainTransformer(
        inputs={"metaworld": Input((OBSERVATION_DIM,), ("metaworld",))},
        context=context,
        choices=0,
        max_action_dim=ACTION_DIM,
        hide_actions=hide_actions,
        n_layer=n_layer,
        n_head=n_head,
        width=width,
    ).eval()


@torch.no_grad()
def encode_again(model: MultiDomainTransformer, windows: TaskWindows) -> Tensor:
    """The actions of the last step, for each dimension of which the whole window is encoded."""
    actions = windows.actions.clone()
    for dimension in range(ACTION_DIM):
        actions[:, -1, dimension] = model("metaworld", windows)[:, -1, dimension].argmax(dim=-1)
        columns = (windows.rewards, windows.timesteps, windows.bodies)
        windows = TaskWindows(windows.observations, windows.returns_to_go, actions, *columns)
    return actions[:, -1]


def choosing(size: str, context: int, hide_actions: bool, rounds: int) -> Row:
    """Milliseconds of one decision in all episodes, whose windows are full."""
    model = make_model(size, context, hide_actions)
    decoder = MultiDomainDecoder(model, context, "argmax")
    generator = torch.Generator().manual_seed(0)
    observations = torch.randn(context, EPISODES, OBSERVATION_DIM, generator=generator)
    returns, rewards = torch.rand(2, context, EPISODES, generator=generator)
    histories = [TaskHistory("metaworld", ACTION_DIM) for _ in range(EPISODES)]
    actions = torch.zeros(context, EPISODES, ACTION_DIM, dtype=torch.int64)
    for step in range(context - 1):
        decoder.decide(histories, list(observations[step]), returns[step])
        actions[step] = torch.stack([history.actions for history in histories])
        decoder.earn(histories, rewards[step])
    times = torch.arange(context).expand(EPISODES, -1)
    columns = (part.movedim(0, 1) for part in (observations, returns, actions, rewards))
    windows = TaskWindows(*columns, times, torch.zeros(EPISODES, dtype=torch.int64))
    seconds = fastest(
        {
            "ours": lambda: decoder.decide(histories, list(observations[-1]), returns[-1]),
            "plain": lambda: encode_again(model, windows),
        },
        rounds,
    )
    plain = encode_again(model, windows)
    same = (torch.stack([history.actions for history in histories]) == plain).float().mean()
    assert same > 0.99, "the two choose the same actions, but for ties"
    milliseconds = {name: round(1e3 * value, 2) for name, value in seconds.items()}
    facts = {"size": size, "context": context, "hide_actions": hide_actions}
    return {**facts, **milliseconds, "times_as_fast": round(seconds["plain"] / seconds["ours"], 2)}


def choose(arguments: argparse.Namespace) -> Iterator[Row]:
    """Decisions of several sizes."""
    for size in arguments.sizes:
        for context in (1, 5):
            for hide_actions in (True, False):
                yield choosing(size, context, hide_actions, arguments.rounds)


def bare_step(env_id: str) -> tuple[Callable[[int], object], Callable[[Any], object]]:
    """A reset to the state that a seed gives with us, and the step of the package alone.

    The package's step has the preprocessing that its observations need, and nothing else of ours.
    """
    game: Any = make_env(env_id).unwrapped
    if env_id.startswith("procgen/"):
        from procgen import ProcgenGym3Env

        levels: list[Any] = []

        def start(seed: int) -> None:
            draw = int(np_random(seed)[0].integers(2**31))
            options = {"distribution_mode": "easy", "rand_seed": draw, "num_levels": 0}
            levels[:] = [ProcgenGym3Env(num=1, env_name=env_id.partition("/")[2], **options)]
            levels[0].observe()

        def act(action: Any) -> object:
            levels[0].act(np.array([action], np.int32))
            return levels[0].observe()

        return start, act
    if env_id.startswith("atari/"):
        from PIL import Image

        # ALE's own wrapper needs OpenCV; this is its work without our checks: four frames, and the grey, small picture
        ale, legal, frames = game._ale, game._actions, np.zeros((2, 210, 160), np.uint8)

        def play(action: Any) -> object:
            for frame in range(4):
                ale.act(legal[int(action)])
                if frame >= 2:
                    ale.getScreenGrayscale(frames[frame - 2])
            ale.game_over()
            whole = Image.fromarray(np.maximum(frames[0], frames[1]))
            return np.asarray(whole.resize((84, 84), Image.Resampling.BOX))

        return lambda seed: game.reset(seed=seed), play
    return lambda seed: game.reset(seed=seed), game._env.step


EPISODES_AT_ONCE = 5  # as many as a plan plays of each task


def stepping(env_id: str, rounds: int) -> Row:
    """Steps per second of the first steps of some episodes side by side, without the resets.

    The bare package's episodes are as many, and stand side by side as well: what one leaves in the processor's caches,
    the others displace, whoever steps them.
    """
    count = STEPS[env_id]
    vector = SeededVectorEnv(env_id, EPISODES_AT_ONCE)
    space = vector.spaces.action
    rng = np.random.default_rng(0)
    shape = (count // EPISODES_AT_ONCE, EPISODES_AT_ONCE, *space.shape)
    actions = rng.integers(0, space.n, shape) if not space.is_vector else rng.uniform(-1, 1, shape).astype(np.float32)
    packages = [bare_step(env_id) for _ in range(EPISODES_AT_ONCE)]

    def ours() -> float:
        for episode in range(EPISODES_AT_ONCE):
            vector.start(episode, episode)
        start = time.process_time()
        made = 0
        for action in actions:
            found = vector.step(action)
            made += EPISODES_AT_ONCE
            if found.terminated.any() or found.truncated.any():
                break
        return made / (time.process_time() - start)

    def bare() -> float:
        for episode, (reset, _) in enumerate(packages):
            reset(episode)
        start = time.process_time()
        for action in actions:
            for (_, step), chosen in zip(packages, action, strict=True):
                step(chosen)
        return len(actions) * EPISODES_AT_ONCE / (time.process_time() - start)

    found = [(ours(), bare()) for _ in range(rounds + 1)][1:]
    vector.close()
    best = [max(column) for column in zip(*found, strict=True)]
    return {"environment": env_id, "ours": round(best[0]), "bare": round(best[1]), "ratio": round(best[0] / best[1], 2)}


def environments(arguments: argparse.Namespace) -> Iterator[Row]:
    """Environments of each domain whose package is installed."""
    for env_id in STEPS:
        try:
            yield stepping(env_id, arguments.rounds)
        except SeqrlError as error:
            yield {"environment": env_id, "missing": str(error)}


def updating(size: str, rounds: int, updates: int = 20) -> Row:
    """Updates per second, with a batch of 64 windows of one domain."""
    model = make_model(size, 1, hide_actions=True)
    rng = np.random.default_rng(0)
    rows, length = 20_000, 200
    ends = np.arange(rows) % length == length - 1
    observations = rng.normal(size=(rows, OBSERVATION_DIM))
    episodes = Episodes.from_flags(
        observations, rng.uniform(-1, 1, (rows, ACTION_DIM)), np.ones(rows), np.zeros(rows), ends
    )
    bound = np.ones(ACTION_DIM)
    task = TaskData.of("sim/metaworld/reach", "metaworld/reach-v3", episodes, (-bound, bound))
    settings = TaskTrainSettings(10_000, 0, RateSchedule("constant", 0, 10_000))
    with preserve_rng_state(torch.device("cpu")):
        trainer = TaskTrainer(model, TaskMixture([task]), None, settings)

        def some(work: Callable[[], object]) -> Callable[[], None]:
            def repeat() -> None:
                for _ in range(updates):
                    work()

            return repeat

        works = {"updates": some(trainer.update), "sampling": some(lambda: trainer.sampler.next_batches(64))}
        seconds = fastest(works, rounds)
    share = seconds["sampling"] / seconds["updates"]
    return {"size": size, "updates_per_second": round(updates / seconds["updates"], 1), "sampling": f"{share:.0%}"}


def train(arguments: argparse.Namespace) -> Iterator[Row]:
    """Updates of several sizes."""
    for size in arguments.sizes:
        yield updating(size, arguments.rounds)


PARTS = {"choose": choose, "environments": environments, "train": train}


def main(words: list[str] | None = None) -> None:
    """Measure one part and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--sizes", nargs="+", default=["laptop", "tiny"], choices=["laptop", *SIZES])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    arguments = parser.parse_args(words)
    torch.set_num_threads(1)
    rows = []
    for row in PARTS[arguments.part](arguments):
        rows.append(row)
        if not arguments.json:
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
