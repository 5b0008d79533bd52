"""Seconds per plan: ours beside the originals' algorithms and, when given their folders, the originals themselves.

Planners take turns in one run, so that ratios hold on a machine that is busy with other work too; ``cpu s`` is the
processor time of all threads, which tells work from waiting for the machine; ``--parts`` adds where our time goes::

    python -m tests.benchmarks.planning --horizon 15 --beam 128 --window sliding --envs 1 4 --threads 2 --json
    python -m tests.benchmarks.planning --window growing --against cached-inputs reencoding --parts
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from seqrl_cli.models.build import PRECISIONS, build_decoder
from seqrl_cli.models.decoding.interface import Decoder
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.retnet.model import RetNet
from seqrl_cli.planning.beam import beam_plan, draw_noise
from seqrl_cli.planning.cuda_graph import GraphedPlanner
from seqrl_cli.planning.settings import SearchSettings
from seqrl_cli.planning.value_readout import ValueReadout
from tests.benchmarks.originals import CORES, faster_trajectory_transformer, trajectory_transformer
from tests.benchmarks.parts import seconds_by_part
from tests.benchmarks.plain_decoders import PLAIN

SIZES = {"hopper": (11, 3), "halfcheetah": (17, 6), "walker2d": (17, 6)}
BINS = 100
OURS = "seqrl"
ENGINES = ("native", "torch", "graph")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--horizon", type=int, default=15)
    parser.add_argument("--beam", type=int, default=128)
    parser.add_argument("--context", type=int, default=5, help="transitions seen")
    parser.add_argument("--window", choices=["sliding", "growing"], default="sliding")
    parser.add_argument("--envs", type=int, nargs="+", default=[1], help="episodes planned at once")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cuda: seconds are the device's own, by events")
    parser.add_argument("--engine", choices=ENGINES, nargs="+", help="of ours [native; on a GPU graph]")
    parser.add_argument("--precision", choices=PRECISIONS, nargs="+", default=["float32"], help="of ours, by PyTorch")
    parser.add_argument("--against", nargs="*", choices=[*PLAIN, "retnet"], default=["plain"], help="what else to time")
    parser.add_argument("--parts", action="store_true", help="where our time goes, and how little it could be")
    parser.add_argument("--tt-folder", type=Path, help="a copy of jannerm/trajectory-transformer")
    parser.add_argument("--ftt-folder", type=Path, help="a copy of Howuhh/faster-trajectory-transformer")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    args.engine = args.engine or ["native" if args.device == "cpu" else "graph"]
    for option, core in CORES.items():
        folder = getattr(args, option)
        if folder and not (folder / core).is_file():
            parser.error(f"--{option.replace('_', '-')}: {folder} is no copy of that project: it has no {core}")
    return args


def planners(args: argparse.Namespace, size: str, envs: int) -> dict[str, Callable[[], object]]:
    """What to time, by name; each call makes one plan for each environment."""
    observation_dim, action_dim = SIZES[size]
    transition_dim = observation_dim + action_dim + 2
    settings = SearchSettings(
        horizon=args.horizon, beam_width=args.beam, window=args.window, max_context_transitions=args.context
    )
    transitions = max(10, args.context if args.window == "sliding" else args.context + args.horizon)
    block = transitions * transition_dim - 1
    model = GPT(bins=BINS, observation_dim=observation_dim, action_dim=action_dim, block_size=block).eval()
    rng, device = np.random.default_rng(0), torch.device(args.device)
    values = ValueReadout(np.sort(rng.normal(size=(BINS, transition_dim)), axis=0), "mean", device)
    length = (args.context - 1) * transition_dim + observation_dim
    context = torch.from_numpy(rng.integers(0, BINS, size=(envs, length))).to(device)
    model.to(device)

    def planner(decoder: Decoder) -> Callable[[], object]:
        noise = draw_noise([np.random.default_rng(episode) for episode in range(envs)], settings, decoder)
        return lambda: beam_plan(decoder, values, context, settings, noise)

    def ours(engine: str, precision: str) -> Callable[[], object]:
        make = partial(build_decoder, model, settings.model_window, precision, engine)
        if engine != "graph":
            return planner(make())
        captured, decoder = GraphedPlanner(make, values, settings), make()
        noise = draw_noise([np.random.default_rng(episode) for episode in range(envs)], settings, decoder)
        return lambda: captured(context, noise)

    chosen = {
        _name(engine, precision): ours(engine, precision)
        for precision in args.precision
        for engine in (args.engine if precision == "float32" or args.device != "cpu" else ["torch"])
    }
    for name in args.against:
        retnet = RetNet(bins=BINS, observation_dim=observation_dim, action_dim=action_dim).eval().to(device)
        other = (
            build_decoder(retnet, settings.model_window)
            if name == "retnet"
            else PLAIN[name](model, settings.model_window)
        )
        chosen[name] = planner(other)
    originals = {"trajectory-transformer": (args.tt_folder, trajectory_transformer)}
    originals |= {"faster-trajectory-transformer": (args.ftt_folder, faster_trajectory_transformer)}
    for name, (folder, load) in originals.items():
        if folder:
            one = load(folder, settings, observation_dim, action_dim, block, context[:1])
            chosen[name] = lambda one=one: [one() for _ in range(envs)]  # they plan for one environment
    return chosen


def _name(engine: str, precision: str) -> str:
    """What one of ours is called: ``seqrl``, ``seqrl, torch``, ``seqrl, bf16``, which only PyTorch has."""
    special = precision if precision != "float32" else engine
    return OURS if special == "native" else f"{OURS}, {special}"


def operations(args: argparse.Namespace, size: str, envs: int, layers: int = 4, width: int = 128) -> float:
    """Of the products with weights if each token of each sequence is shown to the model once, heads not counted."""
    observation_dim, action_dim = SIZES[size]
    expanded = args.horizon * (action_dim + 1) * args.beam * SearchSettings().n_expand
    kept = (args.horizon - 1) * (observation_dim + 1) * args.beam
    return 2.0 * 12 * width**2 * layers * (expanded + kept) * envs


def measure(args: argparse.Namespace, size: str, envs: int, threads: int) -> list[dict[str, object]]:
    """Time all planners in turns."""
    torch.set_num_threads(threads)
    chosen = planners(args, size, envs)
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    processor: dict[str, list[float]] = {name: [] for name in chosen}
    for name, plan in chosen.items():
        if name.startswith(OURS):
            plan()  # the first plan allocates the cache
    for _ in range(args.repeats):
        for name, plan in chosen.items():
            cpu = time.process_time()
            seconds[name].append(_seconds(plan, args.device) / envs)
            processor[name].append((time.process_time() - cpu) / envs)
    ours = next(iter(seconds))
    setting = {"size": size, "horizon": args.horizon, "beam": args.beam, "window": args.window, "envs": envs}
    return [
        {
            **setting,
            "threads": threads,
            "planner": name,
            "seconds_per_plan": min(times),
            "median": statistics.median(times),
            "cpu_seconds": min(processor[name]),
            "times_ours": min(times) / min(seconds[ours]),
            **(
                {"parts": seconds_by_part(chosen[name], operations(args, size, envs))}
                if args.parts and name.startswith(OURS)
                else {}
            ),
        }
        for name, times in seconds.items()
    ]


@torch.no_grad()
def _seconds(plan: Callable[[], object], device: str) -> float:
    """Of one call: the clock's, or those between two events of a GPU."""
    if device == "cpu":
        start = time.perf_counter()
        plan()
        return time.perf_counter() - start
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    plan()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last) / 1000


def show(results: list[dict[str, object]]) -> None:
    """Print a table, and below it where the time goes."""
    head = ("size", "envs", "threads", "planner", "s/plan", "median", "cpu s", "x ours")
    print("{:12} {:>4} {:>7} {:30} {:>8} {:>8} {:>8} {:>7}".format(*head))
    for each in results:
        print(
            f"{each['size']:12} {each['envs']:4} {each['threads']:7} {each['planner']:30} "
            f"{each['seconds_per_plan']:8.3f} {each['median']:8.3f} {each['cpu_seconds']:8.3f} "
            f"{each['times_ours']:7.1f}"
        )
    for each in results:
        if isinstance(parts := each.get("parts"), dict):
            print(f"\n{each['planner']}, {each['size']}, {each['envs']} envs, {each['threads']} threads: seconds")
            for part, spent in parts.items():
                print(f"  {part:40} {spent:8.3f}")


def main(arguments: list[str]) -> None:
    """Measure and print a table or JSON."""
    args = parse(arguments)
    results: list[dict[str, object]] = []
    for size in args.sizes:
        for envs in args.envs:
            for threads in args.threads:
                results += measure(args, size, envs, threads)
    if args.json:
        print(json.dumps(results, indent=2))
    else:
        show(results)


if __name__ == "__main__":
    main(sys.argv[1:])
