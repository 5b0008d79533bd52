"""Seconds a plan: ours beside plain decoders and, when given their folders, beside the originals.

Planners take turns in one run, so that ratios hold on a machine that is busy with other work too; ``cpu s`` is the
processor time of all threads, which tells work from waiting for the machine::

    python -m tests.benchmarks.planning --horizon 15 --beam 128 --window sliding --envs 1 --threads 2 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from seqrl_cli.models.decoder import Decoder
from seqrl_cli.models.gpt import GPT
from seqrl_cli.models.gpt_decoder import GPTDecoder
from seqrl_cli.models.retnet import RetNet
from seqrl_cli.models.retnet_decoder import RetNetDecoder
from seqrl_cli.planning.beam import beam_plan, draw
from seqrl_cli.planning.settings import PlanSettings
from seqrl_cli.planning.values import BinValues
from tests.benchmarks.originals import faster_trajectory_transformer, trajectory_transformer
from tests.benchmarks.plain_decoders import PlainCache, Reencoding

SIZES = {"hopper": (11, 3), "halfcheetah": (17, 6), "walker2d": (17, 6)}
BINS = 100


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--horizon", type=int, default=15)
    parser.add_argument("--beam", type=int, default=128)
    parser.add_argument("--context", type=int, default=5, help="transitions seen")
    parser.add_argument("--window", choices=["sliding", "growing"], default="sliding")
    parser.add_argument("--envs", type=int, default=1, help="episodes planned at once")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--against", nargs="*", choices=["plain", "reencoding", "retnet"], default=["plain"])
    parser.add_argument("--tt-folder", type=Path, help="a copy of jannerm/trajectory-transformer")
    parser.add_argument("--ftt-folder", type=Path, help="a copy of Howuhh/faster-trajectory-transformer")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def planners(args: argparse.Namespace, size: str) -> dict[str, Callable[[], object]]:
    """What to time, by name; each call makes one plan for each environment."""
    observation_dim, action_dim = SIZES[size]
    transition_dim = observation_dim + action_dim + 2
    settings = PlanSettings(
        horizon=args.horizon, beam_width=args.beam, window=args.window, max_context_transitions=args.context
    )
    transitions = max(10, args.context if args.window == "sliding" else args.context + args.horizon)
    block = transitions * transition_dim - 1
    model = GPT(bins=BINS, observation_dim=observation_dim, action_dim=action_dim, block_size=block).eval()
    rng = np.random.default_rng(0)
    values = BinValues(np.sort(rng.normal(size=(BINS, transition_dim)), axis=0), "mean", torch.device("cpu"))
    length = (args.context - 1) * transition_dim + observation_dim
    context = torch.from_numpy(rng.integers(0, BINS, size=(args.envs, length)))

    def ours(decoder: Decoder) -> Callable[[], object]:
        draws = draw([np.random.default_rng(episode) for episode in range(args.envs)], settings, decoder)
        return lambda: beam_plan(decoder, values, context, settings, draws)

    chosen = {"seqrl": ours(GPTDecoder(model, settings.view))}
    chosen |= {"plain cache": ours(PlainCache(model, settings.view))} if "plain" in args.against else {}
    chosen |= {"re-encoding": ours(Reencoding(model, settings.view))} if "reencoding" in args.against else {}
    if "retnet" in args.against:
        retnet = RetNet(bins=BINS, observation_dim=observation_dim, action_dim=action_dim).eval()
        chosen |= {"retnet": ours(RetNetDecoder(retnet, settings.view))}
    originals = {"trajectory-transformer": (args.tt_folder, trajectory_transformer)}
    originals |= {"faster-trajectory-transformer": (args.ftt_folder, faster_trajectory_transformer)}
    for name, (folder, load) in originals.items():
        if folder:
            one = load(folder, settings, observation_dim, action_dim, block, context[:1])
            chosen[name] = lambda one=one: [one() for _ in range(args.envs)]  # they plan for one environment
    return chosen


def measure(args: argparse.Namespace, size: str, threads: int) -> list[dict[str, object]]:
    """Time all planners in turns."""
    torch.set_num_threads(threads)
    chosen = planners(args, size)
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    processor: dict[str, list[float]] = {name: [] for name in chosen}
    chosen["seqrl"]()  # the first plan allocates the cache
    for _ in range(args.repeats):
        for name, plan in chosen.items():
            wall, cpu = time.perf_counter(), time.process_time()
            with torch.no_grad():
                plan()
            seconds[name].append((time.perf_counter() - wall) / args.envs)
            processor[name].append((time.process_time() - cpu) / args.envs)
    setting = {"size": size, "horizon": args.horizon, "beam": args.beam, "window": args.window, "envs": args.envs}
    return [
        {
            **setting,
            "threads": threads,
            "planner": name,
            "seconds_per_plan": min(times),
            "median": statistics.median(times),
            "cpu_seconds": min(processor[name]),
            "times_ours": min(times) / min(seconds["seqrl"]),
        }
        for name, times in seconds.items()
    ]


def main(arguments: list[str]) -> None:
    """Measure and print a table or JSON."""
    args = parse(arguments)
    results: list[dict[str, object]] = []
    for size in args.sizes:
        for threads in args.threads:
            results += measure(args, size, threads)
    if args.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'size':12} {'threads':>7} {'planner':30} {'s/plan':>8} {'median':>8} {'cpu s':>8} {'x ours':>7}")
    for each in results:
        print(
            f"{each['size']:12} {each['threads']:7} {each['planner']:30} {each['seconds_per_plan']:8.3f} "
            f"{each['median']:8.3f} {each['cpu_seconds']:8.3f} {each['times_ours']:7.1f}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
