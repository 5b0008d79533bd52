"""Models from configuration and tokens, and back from a run's checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seqrl_cli.config.owners import RETNET_KEYS
from seqrl_cli.config.presets import load_config
from seqrl_cli.config.schema import Config
from seqrl_cli.data.tokens import TokenizedDataset, load_tokens
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.models.build import TokenModel, build_model, load_weights
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.runs.status import unfinished
from seqrl_cli.training.checkpoints import newest_model, read_model, saved_steps, step_folder

FALLBACK_MEMORY = 4 * 2**30  # assumed free where the system does not say


@dataclass(frozen=True)
class TrainedModel:
    """A run's model, ready for use.

    Attributes:
        model: on its device, in evaluation mode.
        step: the checkpoint's updates.
        tokens: the tokens it was trained on, with their bin edges; of an imported model the bin edges alone.
        config: the run's configuration.
        record: the run's record.
    """

    model: TokenModel
    step: int
    tokens: TokenizedDataset
    config: Config
    record: RunRecord


def make_model(config: Config, tokens: TokenizedDataset) -> TokenModel:
    """A model with fresh weights, drawn from the run's seed.

    Raises:
        SeqrlError: the configuration makes no model.
    """
    model = config.model
    if model.arch == "gpt":
        own: dict[str, Any] = {"block_size": model.sequence_length * tokens.dims - 1}
    else:
        own = model.model_dump(include=set(RETNET_KEYS))
    return build_model(
        model.arch,
        bins=tokens.bins,
        observation_dim=tokens.observation_dim,
        action_dim=tokens.action_dim,
        n_layer=model.n_layer,
        n_head=model.n_head,
        width=model.width,
        embedding_dropout=model.embedding_dropout,
        residual_dropout=model.residual_dropout,
        attention_dropout=model.attention_dropout,
        mask_values=model.mask_values,
        stop_token=model.stop_token,
        generator=torch.Generator().manual_seed(config.seed),
        **own,
    )


def load_model(
    run: RunFolder,
    device: torch.device,
    checkpoint: int | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> TrainedModel:
    """Load a run's model.

    Args:
        run: the run.
        device: where to put the model.
        checkpoint: updates of the checkpoint; None = the newest whole one.
        on_warning: told of damaged checkpoints that are passed over.

    Raises:
        SeqrlError: a file is missing or damaged, the checkpoint does not exist, or the tokens at hand are not those
            that the run was trained on.
    """
    record = read_record(run.record)
    config = load_config(run.config)
    tokens = load_tokens(run.tokens)
    if tokens.fingerprint != record.tokens_fingerprint:
        message = f"{run.path} was trained on other tokens than {run.tokens} now holds"
        raise SeqrlError(message, "train again with --force, or make the old tokens again with the run's settings")
    model = make_model(config, tokens)
    step, weights = read_weights(run, checkpoint, on_warning)
    load_weights(model, weights, step_folder(run.checkpoints, step))
    return TrainedModel(model.to(device).eval(), step, tokens, config, record)


def read_weights(
    run: RunFolder, wanted: int | None, on_warning: Callable[[str], None] | None
) -> tuple[int, dict[str, torch.Tensor]]:
    """Step and weights of a checkpoint: the wanted one, or the newest that is whole.

    Raises:
        SeqrlError: there is none.
    """
    steps = saved_steps(run.checkpoints)
    if not steps:
        why = unfinished(run, read_record(run.record))
        hint = "let it train until its first checkpoint, or name another run: `seqrl runs` lists them"
        raise SeqrlError(f"{run.path}{f', which {why},' if why else ''} has no checkpoint yet", hint)
    if wanted is not None:
        if wanted not in steps:
            raise SeqrlError(f"{run.path} has no checkpoint {wanted}", f"choose one of {', '.join(map(str, steps))}")
        return wanted, read_model(step_folder(run.checkpoints, wanted))
    found = newest_model(run.checkpoints, on_warning)
    assert found is not None, "there are checkpoints"
    return found


def warn_unfinished(run: RunFolder, record: RunRecord, step: int, on_warning: Callable[[str], None] | None) -> None:
    """Say when the newest checkpoint, of update ``step``, is not the end of its run."""
    if on_warning and (why := unfinished(run, record)):
        on_warning(f"{run.path} {why}: its newest checkpoint is taken, of update {step:,}")


def choose_device(name: str) -> torch.device:
    """A device by name; ``auto`` takes a GPU if there is one.

    Raises:
        UsageError: no such kind of device.
        SeqrlError: the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}", "use auto, cpu, cuda or cuda:1") from error
    available = {"cpu": True, "cuda": torch.cuda.is_available()}
    if not available.get(device.type, False):
        raise SeqrlError(f"there is no {device.type} device on this machine", "use --device cpu, or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SeqrlError(f"there is no {name}; this machine has {torch.cuda.device_count()}", "use --device cuda")
    return device


def use_threads(threads: int | None) -> int:
    """Set how many CPU threads PyTorch uses; by default its own choice: all cores, or what OMP_NUM_THREADS says."""
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def available_memory(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return FALLBACK_MEMORY
    kibibytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return int(kibibytes) * 1024 if kibibytes else FALLBACK_MEMORY
