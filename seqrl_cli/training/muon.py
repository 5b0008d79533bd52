"""Muon for the matrices of linear layers, AdamW for all other parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class MuonWithAdamW(torch.optim.Optimizer):
    """Two optimizers that step as one; their states are one table, by parameter.

    Muon steps along the nearest semi-orthogonal matrix to the momentum (Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon/). Embeddings, heads, norms and biases are no maps between hidden
    vectors, so they are left to AdamW, as its author recommends.

    Args:
        matrices: weights of linear layers, two-dimensional.
        others: parameter groups for AdamW, each with its ``weight_decay``.
        matrix_rate: learning rate of the matrices.
        learning_rate: learning rate of the others; :func:`~seqrl_cli.training.optimizer.set_learning_rate` scales both.
        betas: AdamW's moment decays.
        weight_decay: decoupled decay of the matrices.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[dict[str, object]],
        matrix_rate: float,
        learning_rate: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        self._muon = torch.optim.Muon(matrices, lr=matrix_rate, weight_decay=weight_decay)
        self._adamw = torch.optim.AdamW(others, lr=learning_rate, betas=betas, fused=True)
        groups = [*self._muon.param_groups, *self._adamw.param_groups]
        super().__init__(groups, {})
        self._share_state()
        for group in self._muon.param_groups:
            group["relative_rate"] = matrix_rate / learning_rate

    def _share_state(self) -> None:
        """Give both optimizers this one's groups and state."""
        self._muon.param_groups, self._adamw.param_groups = self.param_groups[:1], self.param_groups[1:]
        self._muon.state = self._adamw.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As :meth:`torch.optim.Optimizer.load_state_dict`, which makes new groups and a new state."""
        super().load_state_dict(state_dict)
        self._share_state()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None, "closures are not supported"
        self._muon.step()
        self._adamw.step()
