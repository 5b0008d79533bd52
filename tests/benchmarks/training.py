"""Tokens per second of training at hopper's sizes: ``python -m tests.benchmarks.training --help``.

Ours and a plain form of the original's step run alternately, so that a busy machine slows both; the ratio is what to
compare between machines. Times are those of each part's fastest round.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqrl_cli.data.windows import Windows
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.models.loss import target_weights
from seqrl_cli.training.schedule import scaled_schedule
from seqrl_cli.training.token_trainer import TokenTrainer, TrainSettings
from seqrl_cli.training.world import ALONE, World

BINS, OBSERVATION_DIM, ACTION_DIM, SEQUENCE_LENGTH, WIDTH, HEADS, LAYERS, DROPOUT = 100, 11, 3, 10, 128, 4, 4, 0.1
TRANSITION_DIM = OBSERVATION_DIM + ACTION_DIM + 2
BLOCK_SIZE = SEQUENCE_LENGTH * TRANSITION_DIM - 1


class PlainBlock(nn.Module):
    """A transformer block as most people write it, and as the original has it."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.query, self.key, self.value, self.projection = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(DROPOUT)
        )
        mask = torch.ones(BLOCK_SIZE, BLOCK_SIZE).tril()
        mask[:, TRANSITION_DIM - 1 :: TRANSITION_DIM] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        batch, time_, _ = x.shape
        normed = self.norms[0](x)
        query, key, value = (
            layer(normed).view(batch, time_, HEADS, WIDTH // HEADS).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(key.shape[-1])
        weights = scores.masked_fill(self.mask[:time_, :time_] == 0, float("-inf")).softmax(dim=-1)
        mixed = functional.dropout(weights, DROPOUT) @ value
        joined = mixed.transpose(1, 2).contiguous().view(batch, time_, WIDTH)
        x = x + functional.dropout(self.projection(joined), DROPOUT)
        return x + self.mlp(self.norms[1](x))


class PlainGPT(nn.Module):
    """The original's model without its conveniences; data and loss are handed in."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(BINS * TRANSITION_DIM + 1, WIDTH)
        self.positions = nn.Parameter(torch.zeros(1, BLOCK_SIZE, WIDTH))
        self.blocks = nn.Sequential(*(PlainBlock() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Parameter(torch.randn(TRANSITION_DIM, BINS + 1, WIDTH) / math.sqrt(WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        offsets = torch.arange(tokens.shape[1]) % TRANSITION_DIM * BINS
        x = self.blocks(functional.dropout(self.tokens(tokens + offsets) + self.positions, DROPOUT))
        x = functional.pad(self.norm(x), (0, 0, 0, 1)).reshape(-1, TRANSITION_DIM, WIDTH)
        logits = torch.einsum("eoi,bei->beo", self.head, x)
        return logits.reshape(len(tokens), BLOCK_SIZE + 1, BINS + 1)[:, :BLOCK_SIZE]


def plain_update(batch: tuple[np.ndarray, ...]) -> Callable[[], None]:
    """The original's update on one batch over and over, in float32, loading of data left out."""
    model = PlainGPT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1)
    weights = target_weights(BLOCK_SIZE, OBSERVATION_DIM, ACTION_DIM)
    inputs, targets, mask = map(torch.from_numpy, batch)

    def update() -> None:
        logits = model(inputs)
        loss = functional.cross_entropy(logits.reshape(-1, BINS + 1), targets.reshape(-1), reduction="none")
        loss = (loss * weights.repeat(len(inputs)) * mask.reshape(-1)).mean()
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return update


def make_trainer(batch_size: int, precision: str, compile_: bool, world: World = ALONE) -> TokenTrainer:
    """Ours, on random tokens of a hopper-sized dataset."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, BINS, (100_000, TRANSITION_DIM), dtype=np.uint8)
    windows = Windows(rows, np.arange(0, len(rows) + 1, 500), SEQUENCE_LENGTH, BINS)
    model = GPT(bins=BINS, observation_dim=OBSERVATION_DIM, action_dim=ACTION_DIM, block_size=BLOCK_SIZE)
    schedule = scaled_schedule("clamped", 10_000, batch_size, BLOCK_SIZE)
    settings = TrainSettings(10_000, schedule, 0, batch_size=batch_size, precision=precision, compile=compile_)
    return TokenTrainer(model, windows, windows, settings, world)


def phases(trainer: TokenTrainer) -> dict[str, float]:
    """Seconds of each part of one update of ours."""
    marks = [time.perf_counter()]
    batch = trainer.train.batch(trainer.next_windows())
    marks.append(time.perf_counter())
    loss = trainer.loss(*batch)
    marks.append(time.perf_counter())
    loss.backward()
    marks.append(time.perf_counter())
    trainer.apply_gradients()
    marks.append(time.perf_counter())
    return dict(zip(("data", "forward", "backward", "optimizer"), np.diff(marks).tolist(), strict=True))


def run(threads: int, batch_size: int, precision: str, seconds: float, compile_: bool = False) -> list[dict]:
    """Alternate rounds until ``seconds`` are over; one object a measured part."""
    torch.set_num_threads(threads)
    trainer = make_trainer(batch_size, precision, compile_)
    batch = trainer.train.batch(trainer.next_windows())

    def model_only() -> None:
        trainer.loss(*batch).backward()
        trainer.apply_gradients()

    parts = {"plain": plain_update(batch), "model": model_only, "loop": trainer.update}
    for part in parts.values():
        part()
    wall: dict[str, list[float]] = {name: [] for name in [*parts, "data", "forward", "backward", "optimizer"]}
    cpu: dict[str, list[float]] = {name: [] for name in parts}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, part in parts.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            part()
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - began_cpu)
        for name, duration in phases(trainer).items():
            wall[name].append(duration)

    tokens = batch_size * BLOCK_SIZE
    common = {"threads": threads, "batch_size": batch_size, "precision": trainer.precision, "rounds": len(wall["loop"])}
    rows = [{"part": name, "seconds": min(times), **common} for name, times in wall.items()]
    for row in rows:
        if (name := row["part"]) in parts:
            row["precision"] = "float32" if name == "plain" else trainer.precision
            row["tokens_per_second"] = tokens / min(wall[name])
            row["median_tokens_per_second"] = tokens / float(np.median(wall[name]))
            row["tokens_per_cpu_second"] = tokens / min(cpu[name])
            row["ratio_to_plain"] = float(np.median(np.divide(wall["plain"], wall[name])))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64, help="windows per update")
    parser.add_argument("--precision", choices=["auto", "float32", "bf16"], default="auto")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--compile", action="store_true", help="torch.compile ours")
    parser.add_argument("--json", action="store_true", help="print a list of objects, one a part")
    arguments = parser.parse_args()
    rows = run(arguments.threads, arguments.batch, arguments.precision, arguments.seconds, arguments.compile)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'part':10}{'precision':10}{'ms':>8}{'tokens/s':>10}{'median':>10}{'a CPU s':>10}{'x plain':>9}")
    keys = ("tokens_per_second", "median_tokens_per_second", "tokens_per_cpu_second", "ratio_to_plain")
    for row in rows:
        rates = "".join(
            f"{row[key]:{width}}"
            for key, width in zip(keys, ("10,.0f", "10,.0f", "10,.0f", "9.2f"), strict=True)
            if key in row
        )
        print(f"{row['part']:10}{row['precision']:10}{1000 * row['seconds']:8.1f}{rates}")


if __name__ == "__main__":
    main()
