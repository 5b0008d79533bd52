"""Make the shipped policies again.

    python -m tests.campaigns.behaviour_search search hopper
    python -m tests.campaigns.behaviour_search select hopper hopper.npz

The first writes every iterate of the search to hopper.npz. The second picks the policies, measures the datasets that
they make and writes presets/behaviour. Seed, steps and settings default to those that made the shipped files
(``recipes.py``).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from seqrl_cli.behaviour.library import save_behaviour
from seqrl_cli.errors import SeqrlError
from seqrl_cli.launch.cores import available_cores
from tests.campaigns.behaviour_search.iterates import load_iterates, save_iterates
from tests.campaigns.behaviour_search.recipes import RECIPES
from tests.campaigns.behaviour_search.search import Iterate, search
from tests.campaigns.behaviour_search.selection import choose, measure

_SAVE_SECONDS = 10.0


def main() -> None:
    """Parse the command line and run one step."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaigns.behaviour_search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = parser.add_subparsers(required=True)
    searching = steps.add_parser("search", help="augmented random search; Ctrl-C keeps what was found")
    searching.add_argument("family", choices=sorted(RECIPES))
    searching.add_argument("--seed", type=int)
    searching.add_argument("--steps", type=int, help="environment steps to spend")
    searching.add_argument("--output", type=Path, help="by default FAMILY.npz")
    searching.set_defaults(run=_search)
    selecting = steps.add_parser("select", help="choose the policies, measure the datasets, write the preset file")
    selecting.add_argument("family", choices=sorted(RECIPES))
    selecting.add_argument("iterates", type=Path)
    selecting.add_argument("--seed", type=int, help="the seed that the search was given")
    selecting.add_argument("--folder", type=Path, help="where to write; by default presets/behaviour")
    selecting.set_defaults(run=_select)
    for each in (searching, selecting):
        each.add_argument("--workers", type=int, default=available_cores())
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except SeqrlError as error:
        sys.exit(f"{error.message}\nhint: {error.hint}")


def _search(arguments: argparse.Namespace) -> None:
    recipe = RECIPES[arguments.family]
    seed = recipe.seed if arguments.seed is None else arguments.seed
    limit = arguments.steps or recipe.steps
    output = arguments.output or Path(f"{arguments.family}.npz")
    found: list[Iterate] = []
    saved = time.monotonic()
    try:
        for iterate in search(recipe.settings, seed, arguments.workers):
            found.append(iterate)
            if time.monotonic() - saved > _SAVE_SECONDS:
                save_iterates(output, found)
                saved = time.monotonic()
                _report(f"{iterate.steps:>10,} of {limit:,} steps, sampled return {iterate.sampled_return:.0f}")
            if iterate.steps >= limit:
                break
    finally:
        save_iterates(output, found)
        _report(f"{output}: {len(found)} iterates")


def _select(arguments: argparse.Namespace) -> None:
    recipe = RECIPES[arguments.family]
    if arguments.seed is not None:
        recipe = replace(recipe, seed=arguments.seed)
    iterates = load_iterates(arguments.iterates)
    chosen = choose(arguments.family, recipe, iterates, arguments.workers, _report)
    _report(str(save_behaviour(measure(chosen, arguments.workers, _report), arguments.folder)))


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
