"""What a fine-tuning prints while it runs: its start, and each iteration in one line."""

from __future__ import annotations

from seqrl_cli.config.plan_names import return_text
from seqrl_cli.console import Console, amount, counted
from seqrl_cli.online.context import FinetuneContext
from seqrl_cli.tracking.metrics import OnlineLine
from seqrl_cli.workflows.finetune_online.resolve import FinetuneOnlineJob
from seqrl_cli.workflows.finetune_online.setup import iterations_done


def announce(job: FinetuneOnlineJob, context: FinetuneContext, console: Console) -> None:
    """Print what a fine-tuning that starts will do, or where one resumes."""
    online = job.config.online
    if not job.from_parent:
        done = iterations_done(job.run)
        console.note(f"{job.run.path}: resuming from iteration {done:,} of {online.iterations:,}")
        return
    iterations, episodes = counted(online.iterations, "iteration"), counted(online.envs, "episode")
    console.note(
        f"{job.run.path}: {iterations} of {episodes} in {job.env_id}, aiming at {return_text(job.exploration_return)}, "
        f"and {counted(online.updates, 'update')}; the buffer starts with the best "
        f"{len(context.offline):,} of {job.record.dataset} and holds {online.capacity:,}; evaluations aim at "
        f"{return_text(job.target_return)}"
    )


def live_line(line: OnlineLine) -> str:
    """The latest iteration, for the progress bar."""
    parts = [
        ("entropy", line.get("entropy"), ".2f"),
        ("temperature", line.get("temperature"), ".3f"),
        ("buffer", line.get("buffer"), ",d"),
        ("steps", line.env_steps, ",d"),
    ]
    explored = line.get("exploration_return")
    texts = [] if explored is None else [f"exploration return {amount(explored, 0)}"]
    return " · ".join([*texts, *(f"{name} {value:{form}}" for name, value, form in parts if value is not None)])


def evaluation_line(line: OnlineLine) -> str:
    """An evaluation and the iteration before it, in one line."""
    score = line.get("evaluation_score")
    scored = "" if score is None else f", score {score:.1f}"
    before = f" ({live_line(line)})" if line.iteration else " (before fine-tuning)"
    return f"iteration {line.iteration:,}: return {amount(line.number('evaluation_return'))}{scored}{before}"
