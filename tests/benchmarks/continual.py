"""Updates and steps of play of L2M and HiDe-LoRA: ``python -m tests.benchmarks.continual --help``.

Beside ours runs the same algorithm written plainly, as the originals compute it (``plain_l2m.py``). Both take turns in
one run of one thread, and each part's fastest round counts, in processor time. Play is one decision in five episodes of
each of ten tasks; the plain one takes one episode after the other, as the originals do, or those of a task together.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from seqrl_cli.config.continual import ContinualConfig
from seqrl_cli.config.sections import TasksConfig
from seqrl_cli.continual.learner import Learner
from seqrl_cli.continual.methods import METHODS
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.task_data import TaskData, TaskMixture
from seqrl_cli.models.decision.multi_domain import Input, MultiDomainTransformer
from seqrl_cli.models.decision.multi_domain_decoder import MultiDomainDecoder
from seqrl_cli.models.decision.task_history import TaskHistory
from seqrl_cli.training.rates import RateSchedule
from seqrl_cli.training.rng import preserve_rng_state
from seqrl_cli.training.task_settings import TaskTrainSettings
from seqrl_cli.training.task_trainer import TaskTrainer
from tests.benchmarks.many_tasks import fastest
from tests.benchmarks.plain_l2m import PlainModel, random_batch

OBSERVATION, ACTION_DIM, TASKS, EPISODES, POOL = 39, 4, 10, 5, 30
METHOD_NAMES = ("l2m", "hide-lora")


@dataclass(frozen=True)
class Size:
    """A model, its context and its batch, which is smaller than the paper's 256 to take seconds on one core."""

    layers: int
    heads: int
    width: int
    context: int
    batch: int
    repeats: int


SIZES = {"paper": Size(6, 12, 768, 5, 32, 1), "ours": Size(2, 2, 64, 1, 128, 10)}


def tasks() -> list[TaskData]:
    """Ten tasks of random numbers, with centres of their own."""
    names = ["hammer", "push-wall", "faucet-close", "push-back", "stick-pull", "handle-press-side", "push"]
    names += ["shelf-place", "window-close", "peg-unplug-side"]
    rng, rows, length = np.random.default_rng(0), 2_000, 200
    ends = np.arange(rows) % length == length - 1
    bound = np.ones(ACTION_DIM)
    made = []
    for name in names:
        observations = rng.normal(size=(rows, OBSERVATION)) + rng.normal(size=OBSERVATION)
        numbers = np.ones(rows), np.zeros(rows)
        episodes = Episodes.from_flags(observations, rng.uniform(-1, 1, (rows, ACTION_DIM)), *numbers, ends)
        made.append(TaskData.of(f"sim/metaworld/{name}", f"metaworld/{name}-v3", episodes, (-bound, bound)))
    return made


def learner(size: Size, method: str, data: list[TaskData]) -> Learner:
    """Ours with random weights; of hide-lora, all tasks are known."""
    model = MultiDomainTransformer(
        inputs={"metaworld": Input((OBSERVATION,), ("metaworld",))},
        context=size.context,
        choices=0,
        max_action_dim=ACTION_DIM,
        hide_actions=False,
        n_layer=size.layers,
        n_head=size.heads,
        width=size.width,
    )
    settings = ContinualConfig(method=method, pool=POOL)
    made = Learner(model, METHODS[method], settings, [task.facts for task in data], TasksConfig())
    if method == "hide-lora":
        for number, task in enumerate(data):
            made.recognize(task, number, number + 1)
    return made


def plain(size: Size) -> PlainModel:
    """The plain one of the same size."""
    return PlainModel(OBSERVATION, size.context, size.layers, size.heads, size.width, POOL)


def updates(size: Size, method: str, precision: Literal["auto", "float32"] = "auto") -> dict[str, Callable[[], object]]:
    """What makes some updates of a second task; ours draws and cuts its windows too."""
    data = tasks()
    ours = learner(size, method, data)
    schedule = RateSchedule("constant", 0, 10_000)
    settings = TaskTrainSettings(10_000, 0, schedule, batch_size=size.batch, precision=precision)
    trainer = TaskTrainer(ours.model, TaskMixture(data[1:2]), None, settings, guide=ours.begin(1))
    theirs = plain(size)
    batch = random_batch(size.batch, size.context, OBSERVATION, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW([one for one in theirs.parameters() if one.requires_grad], lr=1e-4)

    def plain_update() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(theirs.loss(batch, ACTION_DIM, None if method == "l2m" else 1))
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.25)
        optimizer.step()

    return {"seqrl": trainer.update, "plain": plain_update}


def play(size: Size, method: str) -> dict[str, Callable[[], object]]:
    """What decides once in all episodes, whose windows are full."""
    data = tasks()
    ours = learner(size, method, data)
    ours.model.eval()
    if ours.adapters:
        ours.adapters.select(None)
    decoder = MultiDomainDecoder(ours.model, size.context, "argmax", ours.chooser().choose)
    histories, observations = [], []
    for task in data:
        for row in range(EPISODES):
            histories.append(TaskHistory("metaworld", ACTION_DIM, None, 0, task=task.facts.dataset))
            observations.append(torch.from_numpy(task.states(np.array([row * 200]))[0]))
    returns = torch.ones(len(histories))
    for _ in range(size.context - 1):
        decoder.decide(histories, observations, returns)
        decoder.earn(histories, returns)
    theirs = plain(size)
    generator = torch.Generator().manual_seed(0)
    batches = [random_batch(EPISODES, size.context, OBSERVATION, generator) for _ in range(TASKS)]

    def plain_play(at_once: int) -> None:
        for task, batch in enumerate(batches):
            for parts in zip(*(one.split(at_once) for one in batch), strict=True):
                theirs.act(parts, ACTION_DIM, None if method == "l2m" else task)

    return {
        "seqrl": lambda: decoder.decide(histories, observations, returns),
        "plain": lambda: plain_play(1),
        "together": lambda: plain_play(EPISODES),
    }


PARTS = {"updates": (updates, 1), "steps of play": (play, TASKS * EPISODES)}


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One object per size, method and part."""
    torch.set_num_threads(1)
    rows = []
    for name in args.sizes:
        size = SIZES[name]
        for method in METHOD_NAMES:
            for unit, (make, count) in PARTS.items():
                with preserve_rng_state(torch.device("cpu")):
                    torch.manual_seed(0)
                    works = {key: _repeated(work, size.repeats) for key, work in make(size, method).items()}
                    seconds = fastest(works, args.rounds)
                rates = {key: round(count * size.repeats / spent, 2) for key, spent in seconds.items()}
                rows.append({"size": name, "method": method, "unit": unit, **rates})
                rows[-1]["times"] = round(seconds["plain"] / seconds["seqrl"], 1)
    return rows


def _repeated(work: Callable[[], object], times: int) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(times):
            work()

    return repeat


def main(arguments: list[str]) -> None:
    """Measure and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    args = parser.parse_args(arguments)
    rows = run(args)
    if args.json:
        print(json.dumps(rows))
        return
    print(f"{'size':8}{'method':12}{'per CPU second':16}{'seqrl':>10}{'plain':>10}{'together':>10}{'times':>8}")
    for row in rows:
        shown = {"together": "", **row}
        print("{size:8}{method:12}{unit:16}{seqrl:10.2f}{plain:10.2f}{together:>10}{times:8.1f}".format(**shown))


if __name__ == "__main__":
    main(sys.argv[1:])
