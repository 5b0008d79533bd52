"""Models of tokens from configuration and tokens, and back from a run's checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from seqrl_cli.artifacts.trained_run import SavedRun
from seqrl_cli.config.model_sections import TokenModelSection
from seqrl_cli.config.schema import Config
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.data.tokens_file import load_tokens
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.build import TokenModel, build_model, load_weights
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord


@dataclass(frozen=True)
class TrainedModel:
    """A run's model of tokens, ready for use; see :class:`~seqrl_cli.artifacts.trained_run.TrainedRun`.

    Attributes:
        model: the model, on its device, in evaluation mode.
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

    @property
    def spaces(self) -> Spaces:
        """The observations that it reads and the actions that it chooses."""
        return Spaces.of_shapes((self.tokens.observation_dim,), self.tokens.action_dim, self.tokens.choices)

    def observation_size(self, of_dataset: Callable[[], int | None]) -> int | None:
        """How many dimensions of longer observations are kept, as the tokens record it."""
        return self.tokens.observation_slice


def make_model(config: Config, tokens: TokenizedDataset) -> TokenModel:
    """A model with fresh weights, drawn from the run's seed.

    Raises:
        SeqrlError: the model settings are invalid.
    """
    section = config.model
    assert isinstance(section, TokenModelSection)
    return build_model(
        section.arch,
        bins=tokens.bins,
        observation_dim=tokens.observation_dim,
        action_dim=tokens.action_dim,
        generator=torch.Generator().manual_seed(config.seed),
        **section.arguments(tokens.dims),
    )


def load_model(
    run: RunFolder | SavedRun,
    device: torch.device,
    checkpoint: int | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> TrainedModel:
    """Load a run's model of tokens.

    Args:
        run: the run.
        device: the device to put the model on.
        checkpoint: updates of the checkpoint; None = the newest whole one.
        on_warning: called with a message for each damaged checkpoint that is skipped.

    Raises:
        SeqrlError: a file is missing or damaged, the checkpoint does not exist, or the tokens at hand are not those
            that the run was trained on.
    """
    run = SavedRun.of(run)
    tokens = own_tokens(run)
    model = make_model(run.config, tokens)
    step, weights, source = run.weights(checkpoint, on_warning)
    load_weights(model, weights, source)
    return TrainedModel(model.to(device).eval(), step, tokens, run.config, run.record)


def own_tokens(run: SavedRun) -> TokenizedDataset:
    """The tokens that a run was trained on.

    Raises:
        SeqrlError: they are missing or damaged, or others.
    """
    tokens = load_tokens(run.folder.tokens, run.record.dataset)
    if tokens.fingerprint != run.record.tokens_fingerprint:
        message = f"{run.folder.path} was trained on other tokens than {run.folder.tokens} now contains"
        raise SeqrlError(message, "train again with --force, or make the old tokens again with the run's settings")
    return tokens
