"""The README of a shared run: what it is, what it earned, and the commands that repeat it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.console import amount
from seqrl_cli.reports.table.escape import markdown

_NOTE = (
    "Of one training seed; the interval is a bootstrap over its episodes. "
    "A score of 0 is a random policy's, 100 that of the reference policy."
)


@dataclass(frozen=True)
class CardFacts:
    """What a card says of a run.

    Attributes:
        name: name of the run.
        arch: the run's architecture.
        dataset: what it was trained on.
        env_id: gymnasium id of the environment that the run plays in; None if unknown.
        step: updates of the checkpoint.
        parameters: number of the model's parameters.
        seed: seed of the run's training.
        versions: versions of the packages that decide the numbers.
        rows: the run's results, as ``seqrl table --by run --json`` prints them.
        plans: settings of its plans that differ from its configuration, ready for the command line.
        task: one of its tasks; None if it has only one.
    """

    name: str
    arch: str
    dataset: str
    env_id: str | None
    step: int
    parameters: int
    seed: int
    versions: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    plans: Sequence[Sequence[str]]
    task: str | None = None


def model_card(facts: CardFacts) -> str:
    """The card as Markdown with the front matter that hubs read; names in it are plain text."""
    title = ARCHITECTURES[facts.arch].title if facts.arch in ARCHITECTURES else facts.arch
    place = f" for {markdown(facts.env_id)}" if facts.env_id else ""
    return "\n".join(
        [
            *_front_matter(facts),
            f"# {markdown(facts.name)}: {title}{place}",
            "",
            f"The model ({title}, {facts.parameters:,} parameters) was trained on {markdown(facts.dataset)} for "
            f"{facts.step:,} updates with seed {facts.seed}, by seqrl.",
            "",
            *_results(facts.rows),
            *_commands(facts),
            "## Files",
            "",
            "`model.safetensors` has the weights, `config.json` everything else that is needed to play, and, of a "
            "model of tokens, `bins.safetensors` the bin edges. `config.yaml` is the configuration of the training. "
            "Nothing in this folder is executed.",
            "",
            "Versions: "
            + ", ".join(f"{markdown(name)} {markdown(text)}" for name, text in facts.versions.items())
            + ".",
            "",
        ]
    )


def _front_matter(facts: CardFacts) -> list[str]:
    """YAML; JSON's strings are strings of YAML, whatever is in them."""
    lines = ["---", "library_name: seqrl", "pipeline_tag: reinforcement-learning", "tags:"]
    lines += [f"- {tag}" for tag in ("seqrl", "offline-rl", "reinforcement-learning", facts.arch)]
    measured = [row for row in facts.rows if row["mean_return"] is not None]
    if measured and facts.env_id:
        lines += ["model-index:", f"- name: {json.dumps(facts.name)}", "  results:"]
        for row in measured:
            score, value = row["mean_score"], row["mean_return"]
            lines += [
                "  - task: {type: reinforcement-learning, name: offline RL}",
                f"    dataset: {{type: {json.dumps(facts.env_id)}, name: {json.dumps(facts.dataset)}}}",
                "    metrics:",
                f"    - {{type: mean_return, name: {json.dumps(str(row['method']))}, value: {value:.6g}}}",
            ]
            if score is not None:
                lines.append(f"    - {{type: d4rl_score, name: {json.dumps(str(row['method']))}, value: {score:.4g}}}")
    return [*lines, "---", ""]


def _results(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return ["## Results", "", "It has not been played yet.", ""]
    lines = [
        "## Results",
        "",
        "| plan | episodes | return | 95 % interval | score | steps |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        interval = "–" if row["return_low"] is None else f"[{amount(row['return_low'])}, {amount(row['return_high'])}]"
        score = "–" if row["mean_score"] is None else f"{row['mean_score']:.1f}"
        cells = [markdown(str(row["method"])), row["episodes"], amount(row["mean_return"]), interval, score]
        lines.append(f"| {' | '.join(map(str, cells))} | {row['steps']:,.0f} |")
    return [*lines, "", _NOTE, ""]


def _commands(facts: CardFacts) -> list[str]:
    """The commands that use it and repeat it, for a clone of the folder."""
    run = shlex.quote(f"{facts.dataset}/{facts.name}")
    plans = [f"seqrl plan {run} {shlex.join(words)}".rstrip() for words in facts.plans] or [f"seqrl plan {run}"]
    train = f"seqrl train {shlex.quote(facts.dataset)} --config config.yaml --name {shlex.quote(facts.name)}-again"
    task = f", task={json.dumps(facts.task)}" if facts.task else ""
    python = [
        "from seqrl_cli import load",
        "",
        f"agent = load({json.dumps(f'{facts.dataset}/{facts.name}')}{task})",
        "action = agent.act(observation, reward)",
    ]
    return [
        *("## Use it", "", "```", "seqrl import .    # this folder; or hf:// and the name of its repository", *plans),
        *("```", "", "```python", *python, "```", ""),
        *("## Repeat it", "", "```", train, "```", ""),
    ]
