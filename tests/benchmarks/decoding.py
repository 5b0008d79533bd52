"""Seconds per training step and per decoded token against the length of the context, GPT beside RetNet in each form.

All lengths and models take turns, so that a busy machine slows all of them; compare ratios. Hopper's sizes, the RetNet
with as many parameters as the GPT::

    python -m tests.benchmarks.decoding --threads 1 --json
    python -m tests.benchmarks.decoding --threads 1 --plot decoding.png
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqrl_cli.models.build import TokenModel, build_decoder, build_model
from seqrl_cli.models.decoding.interface import Window
from seqrl_cli.models.loss import target_weights, token_loss
from seqrl_cli.reports.plot.curves import Panel, Series
from seqrl_cli.reports.plot.draw import plot_panels
from seqrl_cli.training.optimizer import make_optimizer

BINS, OBSERVATION_DIM, ACTION_DIM, LAYERS, HEADS = 100, 11, 3, 4, 4
TRANSITION_DIM = OBSERVATION_DIM + ACTION_DIM + 2
DECODED = 2 * TRANSITION_DIM
LENGTHS = [16, 64, 128, 256, 512, 1024, 2048, 4096]
CHUNK_SIZE = 64
FORMS = ["gpt", "retnet parallel", "retnet chunkwise", "retnet recurrent"]
COLOUR_OF = {"gpt": 0, "retnet": 1, "retnet parallel": 1, "retnet chunkwise": 2, "retnet recurrent": 3}
LONGEST_RECURRENT = 256  # a Python loop over tokens: the slow reference


def make(form: str, length: int, chunk_size: int = CHUNK_SIZE) -> TokenModel:
    """A model that holds so many tokens."""
    arch, _, mode = form.partition(" ")
    own: dict[str, Any] = {"block_size": length}
    if arch == "retnet":
        own = {"mode": mode or "parallel", "chunk_size": chunk_size}
    return build_model(arch, bins=BINS, observation_dim=OBSERVATION_DIM, action_dim=ACTION_DIM, **own)


def training_step(form: str, length: int, batch: int) -> Callable[[], dict[str, float]]:
    """Forward, backward and optimizer on random tokens; the step gives the bytes kept for the backward pass."""
    model = make(form, length)
    optimizer = make_optimizer(model, 6e-4)
    tokens, targets = torch.randint(0, BINS, (2, batch, length)).unbind()
    weights, mask = target_weights(length, OBSERVATION_DIM, ACTION_DIM), torch.ones_like(tokens, dtype=torch.bool)

    def step() -> dict[str, float]:
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        start = time.perf_counter()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = token_loss(model(tokens), targets, mask, weights)
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        return {"seconds": time.perf_counter() - start, "bytes": sum(kept.values())}

    return step


def decoding_steps(form: str, length: int, rows: int, rounds: int) -> Callable[[], dict[str, float]]:
    """Some tokens after a context that all rows share, seconds per token, and bytes of the state."""
    whole = length + (rounds + 2) * DECODED
    model = make(form, whole).eval()
    window = Window(whole // TRANSITION_DIM, slides=False) if form == "gpt" else None
    decoder = build_decoder(model, window)
    _, state = decoder.prefill(torch.randint(0, BINS, (1, length)))
    _, state = decoder.step(torch.zeros(rows, dtype=torch.int64), state.expand(rows))
    tokens = torch.randint(0, BINS, (DECODED, rows))

    def steps() -> dict[str, float]:
        nonlocal state
        start = time.perf_counter()
        for each in tokens:
            _, state = decoder.step(each, state)
        seconds = (time.perf_counter() - start) / len(tokens)
        cached = sum(pool.bytes_of(pool.used) for pool in getattr(decoder, "pools", ()))  # room to grow left out
        return {"seconds": seconds, "bytes": cached + tensor_bytes([state, getattr(decoder, "pages", None)])}

    return steps


def tensor_bytes(held: object) -> int:
    """Bytes of the tensors in an object, its attributes, and lists of them."""
    if isinstance(held, Tensor):
        return held.untyped_storage().nbytes()
    if isinstance(held, list | tuple):
        return sum(tensor_bytes(each) for each in held)
    return sum(tensor_bytes(each) for each in vars(held).values()) if hasattr(held, "__dict__") else 0


def fits(form: str, length: int, batch: int, gigabytes: float) -> bool:
    """Whether a training step is worth trying: weights of all pairs of tokens, a few a layer, are what is large."""
    if form == "retnet recurrent":
        return length <= LONGEST_RECURRENT
    quadratic = form != "retnet chunkwise"
    return not quadratic or 3 * 4 * LAYERS * HEADS * batch * length**2 < gigabytes * 2**30


def measure(runners: dict[tuple[str, int], Callable[[], dict[str, float]]], rounds: int) -> list[dict[str, Any]]:
    """The fastest of so many rounds of each, in turns, after one that is not counted."""
    best: dict[tuple[str, int], dict[str, float]] = {}
    for counted in range(-1, rounds):
        for key, runner in runners.items():
            found = runner()
            if counted == 0 or (counted > 0 and found["seconds"] < best[key]["seconds"]):
                best[key] = found
    return [{"form": form, "length": length, **best[form, length]} for form, length in runners]


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """All measurements as flat objects."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    found = []
    for rows in args.rows:
        keys = [(form, length) for form in ("gpt", "retnet") for length in args.lengths]
        runners = {(form, length): decoding_steps(form, length, rows, args.rounds) for form, length in keys}
        found += [{"measured": "decode", "batch": rows, **each} for each in measure(runners, args.rounds)]
    for batch in args.batch:
        keys = [
            (form, length) for form in FORMS for length in args.lengths if fits(form, length, batch, args.gigabytes)
        ]
        runners = {(form, length): training_step(form, length, batch) for form, length in keys}
        found += [{"measured": "train", "batch": batch, **each} for each in measure(runners, args.train_rounds)]
    return [{**each, "threads": args.threads} for each in found]


def table(found: list[dict[str, Any]], lengths: list[int]) -> str:
    """Milliseconds and mebibytes, a line a form, a column a length."""
    lines = [f"{'':32}" + "".join(f"{length:>18,}" for length in lengths)]
    cells = {(each["measured"], each["batch"], each["form"], each["length"]): each for each in found}
    for measured, batch, form in dict.fromkeys(key[:3] for key in cells):
        line = f"{measured:8}{batch:>4}  {form:<18}"
        for length in lengths:
            cell = cells.get((measured, batch, form, length))
            line += f"{1e3 * cell['seconds']:9.2f}ms{cell['bytes'] / 2**20:5.0f}Mi" if cell else f"{'-':>18}"
        lines.append(line)
    return "\n".join(lines)


def findings(found: list[dict[str, Any]]) -> list[str]:
    """What the measurements say, in sentences."""
    curves: dict[tuple[str, int, str], dict[int, float]] = {}
    for each in found:
        curves.setdefault((each["measured"], each["batch"], each["form"]), {})[each["length"]] = each["seconds"]
    lines = []
    for (measured, batch, form), times in curves.items():
        longest = max(times)
        if measured == "decode" and 64 in times:
            ratio = times[longest] / times[64]
            lines.append(f"decode, rows {batch}: a token at {longest:,} costs a {form} {ratio:.2f} times one at 64")
        if form == "retnet chunkwise":
            parallel = curves["train", batch, "retnet parallel"]
            slower = [length for length in parallel if times[length] >= parallel[length]]
            faster = [length for length in times if length > max(slower, default=0) and length > CHUNK_SIZE]
            if faster:
                lines.append(f"train, batch {batch}: chunkwise beats parallel from {min(faster):,} tokens on")
    return lines


def panels(found: list[dict[str, Any]]) -> list[Panel]:
    """Time and memory of a decoded token and of a training step, against the length."""
    quantities = {"time": ("seconds", "milliseconds", 1e3), "memory": ("bytes", "mebibytes", 2**-20)}
    titles = {"decode": "Decoding a token", "train": "A training step"}
    return [
        Panel(
            f"{measured} {name}",
            f"{title}: {name}",
            "tokens of context",
            unit,
            tuple(curves([e for e in found if e["measured"] == measured], quantity, factor)),
            logarithmic=True,
        )
        for name, (quantity, unit, factor) in quantities.items()
        for measured, title in titles.items()
    ]


def curves(cells: list[dict[str, Any]], quantity: str, factor: float) -> list[Series]:
    """A line a form and batch: colours tell forms, dashes batches."""
    batches, made = sorted({each["batch"] for each in cells}), []
    for form, batch in dict.fromkeys((each["form"], each["batch"]) for each in cells):
        own = [each for each in cells if (each["form"], each["batch"]) == (form, batch)]
        label = f"{form}, {'rows' if own[0]['measured'] == 'decode' else 'batch'} {batch}"
        x, y = [each["length"] for each in own], [factor * each[quantity] for each in own]
        made.append(Series(label, tuple(x), tuple(y), colour=COLOUR_OF[form], dash=batches.index(batch)))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="tokens of context")
    parser.add_argument("--rows", type=int, nargs="*", default=[1, 32], help="rows decoded at once")
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 8], help="sequences per training step")
    parser.add_argument("--rounds", type=int, default=15, help="of decoding")
    parser.add_argument("--train-rounds", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="skip training steps that take more")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--plot", type=Path, help="draw a .png, .pdf or .svg file, too")
    parser.add_argument("--from-json", type=Path, nargs="+", help="measure nothing; take what --json printed")
    args = parser.parse_args()
    found = [each for path in args.from_json or [] for each in json.loads(path.read_text())] or run(args)
    if args.plot:
        plot_panels(panels(found), args.plot)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    print(table(found, sorted({each["length"] for each in found})))
    print("\n".join(findings(found)))


if __name__ == "__main__":
    main()
