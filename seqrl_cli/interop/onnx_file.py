"""A policy as an ONNX graph, for robots and programs without PyTorch; only with the extra ``onnx``.

The graph takes a window of steps, oldest first, and returns the action at the last one, in the environment's units:

- ``observations`` (1, steps, *shape) float32, or uint8 for images;
- ``actions`` (1, steps, action_dim) float32, or choices (1, steps) int64; the last one is ignored;
- ``returns_to_go`` (1, steps) float32, and ``timesteps`` (1, steps) int64, from 0.

``steps`` may be anything from 1 to the context. Behaviour cloning reads ``observations`` alone.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from seqrl_cli.config.extras import install_line
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import make_folder, write_bytes_atomic, write_json_atomic
from seqrl_cli.models.decision.behaviour_cloning import BehaviourCloning
from seqrl_cli.models.decision.decoder import Policy

GRAPH_FILE, FACTS_FILE = "actor.onnx", "actor.json"
OPSET = 18


class _ActionOf(nn.Module):
    """The most likely action at the last step of a window, as an environment takes it."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observations: Tensor, actions: Tensor, returns_to_go: Tensor, timesteps: Tensor) -> Tensor:
        """(1, action_dim) float32, or a choice (1,) int64."""
        policy = self.policy
        mode = policy(observations, actions, returns_to_go, timesteps).mode[:, -1]
        return policy.normalizer.denormalize_action(mode)


class _CloneOf(_ActionOf):
    """The same as :class:`_ActionOf`, for behaviour cloning."""

    def forward(self, observations: Tensor) -> Tensor:  # type: ignore[override]
        """(1, action_dim) float32, or a choice (1,) int64."""
        return super().forward(observations, observations, observations, observations)


@dataclass(frozen=True)
class OnnxFacts:
    """What ``actor.json`` states for whoever runs the graph.

    Attributes:
        arch: architecture of the policy.
        env_id: gymnasium id; None if unknown.
        context: most steps of a window.
        target_return: return-to-go at the start of an episode; None if it is not read.
        action_low, action_high: bounds to clip actions to; None for choices.
        checkpoint: updates of the checkpoint.
        weights: first digits of the hash of its weights; None if unknown.
    """

    arch: str
    env_id: str | None
    context: int
    target_return: float | None
    action_low: list[float] | None
    action_high: list[float] | None
    checkpoint: int
    weights: str | None = None


def write_onnx(folder: Path, policy: Policy, facts: OnnxFacts) -> None:
    """Write ``actor.onnx`` and ``actor.json``.

    Args:
        folder: the folder to write, which is made if missing.
        policy: the policy, on the CPU, in evaluation mode.
        facts: the facts for whoever runs the graph.

    Raises:
        SeqrlError: the extra is not installed, or the folder cannot be written.
    """
    graph = _graph(policy, facts.context)
    make_folder(folder)
    write_bytes_atomic(folder / GRAPH_FILE, graph)
    write_json_atomic(folder / FACTS_FILE, asdict(facts))


def _graph(policy: Policy, context: int) -> bytes:
    """The serialized graph, with a window of any length up to the context."""
    names = (
        ["observations"]
        if isinstance(policy, BehaviourCloning)
        else ["observations", "actions", "returns_to_go", "timesteps"]
    )
    module = _CloneOf(policy) if len(names) == 1 else _ActionOf(policy)
    steps = {} if context == 1 else {1: torch.export.Dim("steps", min=1, max=context)}
    inputs = _example(policy, context)[: len(names)]
    try:
        with _quiet():
            program = torch.onnx.export(
                module.eval(),
                inputs,
                input_names=names,
                output_names=["action"],
                dynamic_shapes={name: steps for name in names} if steps else None,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except ImportError as error:
        message = f"ONNX needs packages of the extra onnx: {error}"
        raise SeqrlError(message, install_line("onnx")) from error
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def _example(policy: Policy, context: int) -> tuple[Tensor, ...]:
    """Inputs of the right shapes and types."""
    form, steps = policy.normalizer, (1, context)
    observations = torch.zeros(
        *steps, *form.observation_shape, dtype=torch.uint8 if form.reads_images else torch.float32
    )
    actions = torch.zeros(steps, dtype=torch.int64) if form.discrete else torch.zeros(*steps, form.action_dim)
    return observations, actions, torch.zeros(steps), torch.arange(steps[1]).reshape(steps)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own reports, which are about PyTorch's operators, to itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
