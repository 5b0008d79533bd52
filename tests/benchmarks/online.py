"""Updates and environment steps per second of online fine-tuning: ``python -m tests.benchmarks.online --help``.

Beside ours runs the official code's algorithm, written plainly (``plain_odt.py``), and the official code itself when
the folder of a checkout is given. They take turns in one run, so that a busy machine slows all of them; the ratio is
what to compare between machines. Times are those of each part's fastest round. The environment is HalfCheetah, whose
episodes all last until the step limit. Ours plays in a process of its own, whose processor time is not counted, and for
comparison in one process with the policy.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from seqrl_cli.data.policy_windows import PolicyBatch, PolicyWindows, Trajectory
from seqrl_cli.envs.make import make_env
from seqrl_cli.envs.vector.backend import EnvBackend, EnvSpec
from seqrl_cli.envs.vector.in_process import InProcessBackend
from seqrl_cli.envs.vector.subprocess import SubprocessBackend
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.models.decision.decision_transformer import DecisionTransformer
from seqrl_cli.planning.policy_agent import PolicyAgent
from seqrl_cli.planning.rollout import Rollout
from seqrl_cli.training.policy_learner import PolicyLearner, PolicySettings
from tests.benchmarks.plain_odt import (
    PlainODT,
    official_model,
    official_rollout,
    official_update,
    plain_rollout,
    plain_update,
)

ENVIRONMENT, OBSERVATION_DIM, ACTION_DIM, CONTEXT, EVALUATION_CONTEXT, TARGET = "HalfCheetah-v4", 17, 6, 20, 5, 6000.0


@dataclass(frozen=True)
class Size:
    """A model and its batch."""

    width: int
    layers: int
    heads: int
    batch: int


SIZES = {"paper": Size(512, 4, 4, 256), "small": Size(128, 3, 4, 64)}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--envs", type=int, nargs="+", default=[1, 4], help="environments at once, but for plain")
    parser.add_argument("--steps", type=int, default=60, help="steps per episode")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--checkout", type=Path, help="a copy of facebookresearch/online-dt (needs its transformers)")
    parser.add_argument("--json", action="store_true", help="print a list of objects, one a part")
    return parser.parse_args(arguments)


def some_windows() -> PolicyWindows:
    """Windows of random trajectories, of a locomotion dataset's sizes."""
    rng = np.random.default_rng(0)
    trajectories = [
        Trajectory(
            rng.normal(size=(500, OBSERVATION_DIM)).astype(np.float32),
            rng.uniform(-0.99, 0.99, (500, ACTION_DIM)).astype(np.float32),
            rng.normal(size=500).astype(np.float32),
        )
        for _ in range(20)
    ]
    return PolicyWindows(trajectories, CONTEXT)


def our_model(size: Size) -> DecisionTransformer:
    """Ours with random weights."""
    return DecisionTransformer(
        observation_shape=(OBSERVATION_DIM,),
        action_dim=ACTION_DIM,
        context=CONTEXT,
        width=size.width,
        n_layer=size.layers,
        n_head=size.heads,
    )


def our_update(size: Size, windows: PolicyWindows, precision: str) -> Callable[[], None]:
    """Ours as the loop makes it, the drawing and cutting of windows included."""
    learner = PolicyLearner(our_model(size), PolicySettings(seed=0, precision=precision))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)

    def update() -> None:
        learner.update(windows.batch(rng.integers(len(windows), size=size.batch)))

    return update


def updates(args: argparse.Namespace, size: Size) -> dict[str, Callable[[], None]]:
    """What makes one gradient step, by name; the plain ones on one batch over and over, loading left out."""
    windows = some_windows()
    batch: PolicyBatch = windows.batch(np.random.default_rng(1).integers(len(windows), size=size.batch))
    plain = PlainODT(OBSERVATION_DIM, ACTION_DIM, size.width, size.layers, size.heads)
    chosen = {"plain": plain_update(plain, batch)}
    chosen |= {f"seqrl {precision}": our_update(size, windows, precision) for precision in ("float32", "auto")}
    if args.checkout:
        chosen["official"] = official_update(_official(args.checkout, size), batch)
    return chosen


def rollouts(args: argparse.Namespace, size: Size) -> dict[str, Callable[[], int]]:
    """What plays exploration episodes and returns their steps, by name."""
    plain = PlainODT(OBSERVATION_DIM, ACTION_DIM, size.width, size.layers, size.heads)
    env = make_env(ENVIRONMENT, max_episode_steps=args.steps)
    chosen: dict[str, Callable[[], int]] = {
        "plain": lambda: plain_rollout(plain, env, args.steps, TARGET, CONTEXT, EVALUATION_CONTEXT)
    }
    for envs in args.envs:
        name = f"seqrl {envs} env{'s' * (envs > 1)}"
        chosen[name] = our_rollout(size, envs, args.steps, SubprocessBackend)
        chosen[f"{name}, one process"] = our_rollout(size, envs, args.steps, InProcessBackend)
        if args.checkout:
            several = [make_env(ENVIRONMENT, max_episode_steps=args.steps) for _ in range(envs)]
            chosen[name.replace("seqrl", "official")] = official_rollout(
                args.checkout, _official(args.checkout, size), several, args.steps, TARGET
            )
    return chosen


def _official(checkout: Path, size: Size) -> torch.nn.Module:
    return official_model(checkout, size.width, size.layers, size.heads, OBSERVATION_DIM, ACTION_DIM, CONTEXT)


def our_rollout(size: Size, envs: int, steps: int, backend: Callable[[EnvSpec], EnvBackend]) -> Callable[[], int]:
    """One episode in each of some environments at once."""
    model, vector = our_model(size).eval(), SeededVectorEnv(ENVIRONMENT, envs, max_episode_steps=steps, backend=backend)

    def play() -> int:
        agent = PolicyAgent(model, target_return=TARGET, context=EVALUATION_CONTEXT, stochastic=True)
        Rollout(agent, vector, seed=0).play(range(envs), lambda record: None)
        return envs * steps

    return play


def measure(parts: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Units per second of wall time and of processor time, of each part's fastest round; a call returns its units."""
    best: dict[str, tuple[float, float]] = dict.fromkeys(parts, (0.0, 0.0))
    for part in parts.values():
        part()  # the first call allocates
    for _ in range(repeats):
        for name, part in parts.items():
            wall, cpu = time.perf_counter(), time.process_time()
            units = part()
            count = units if isinstance(units, int) else 1
            rates = (count / (time.perf_counter() - wall), count / (time.process_time() - cpu))
            best[name] = max(best[name][0], rates[0]), max(best[name][1], rates[1])
    return best


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """One object a part."""
    torch.set_num_threads(args.threads)
    rows: list[dict[str, object]] = []
    for name in args.sizes:
        size = SIZES[name]
        for unit, parts in (("updates", updates(args, size)), ("env steps", rollouts(args, size))):
            rates = measure(dict(parts), args.repeats)
            rows += [
                {
                    "size": name,
                    "batch_size": size.batch,
                    "threads": args.threads,
                    "unit": unit,
                    "part": part,
                    "per_second": wall,
                    "per_cpu_second": cpu,
                    "ratio_to_plain": wall / rates["plain"][0],
                    "cpu_ratio_to_plain": cpu / rates["plain"][1],
                }
                for part, (wall, cpu) in rates.items()
            ]
    return rows


def main(arguments: list[str]) -> None:
    """Measure and print a table or JSON."""
    args = parse(arguments)
    rows = run(args)
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'size':8}{'unit':12}{'part':26}{'per s':>10}{'per CPU s':>10}{'x plain':>9}{'CPU':>7}")
    for row in rows:
        print(
            f"{row['size']:8}{row['unit']:12}{row['part']:26}{row['per_second']:10.2f}{row['per_cpu_second']:10.2f}"
            f"{row['ratio_to_plain']:9.2f}{row['cpu_ratio_to_plain']:7.2f}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
