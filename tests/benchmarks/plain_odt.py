"""The Online Decision Transformer as its official code computes it, written plainly, to measure ours against.

It computes what facebookresearch/online-dt computes, and copies none of its code: return, observation and action of a
step become a token each, interleaved into one sequence; attention is written out with a causal and a padding mask, and
all tokens go through all layers; the entropy is a mean over padding, too; LAMB goes through the parameters one by one.
A rollout shows the model the last transitions, padded to its full context, and encodes all of them at every step.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from seqrl_cli.data.policy_windows import PolicyBatch
from seqrl_cli.envs.make import Environment

DROPOUT, RETURN_SCALE, LOG_STD_LOW, LOG_STD_HIGH = 0.1, 0.001, -5.0, 2.0


class PlainBlock(nn.Module):
    """A GPT-2 block with relu."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width), nn.Dropout(DROPOUT)
        )
        self.attention_dropout, self.dropout = nn.Dropout(DROPOUT), nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        batch, time, width = x.shape
        parts = self.qkv(self.norms[0](x)).split(width, dim=2)
        query, key, value = (part.view(batch, time, self.heads, -1).transpose(1, 2) for part in parts)
        scores = query @ key.transpose(-2, -1) / math.sqrt(key.shape[-1])
        scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
        mixed = self.attention_dropout(scores.softmax(dim=-1)) @ value
        x = x + self.dropout(self.projection(mixed.transpose(1, 2).reshape(batch, time, width)))
        return x + self.mlp(self.norms[1](x))


class PlainODT(nn.Module):
    """Three tokens per step; gives mean and log standard deviation of the action at each step."""

    def __init__(self, observation_dim: int, action_dim: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.returns, self.observations = nn.Linear(1, width), nn.Linear(observation_dim, width)
        self.actions, self.norm_in = nn.Linear(action_dim, width), nn.LayerNorm(width)
        self.dropout, self.norm_out = nn.Dropout(DROPOUT), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(PlainBlock(width, heads) for _ in range(layers))
        self.mean, self.log_std = nn.Linear(width, action_dim), nn.Linear(width, action_dim)

    def forward(self, observations: Tensor, actions: Tensor, returns: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        batch, time, _ = observations.shape
        tokens = [self.returns(returns[..., None] * RETURN_SCALE), self.observations(observations)]
        x = torch.stack([*tokens, self.actions(actions)], dim=2).reshape(batch, 3 * time, -1)
        causal = torch.ones(3 * time, 3 * time, dtype=torch.bool).tril()
        allowed = causal & mask.repeat_interleave(3, dim=1)[:, None, None]
        x = self.dropout(self.norm_in(x))
        for block in self.blocks:
            x = block(x, allowed)
        seen = self.norm_out(x).view(batch, time, 3, -1)[:, :, 1]
        spread = (torch.tanh(self.log_std(seen)) + 1) / 2
        return self.mean(seen), LOG_STD_LOW + (LOG_STD_HIGH - LOG_STD_LOW) * spread


class PlainLamb(torch.optim.Optimizer):
    """LAMB with a trust ratio for each tensor, gradients clipped to norm 1 first, one parameter after the other."""

    def __init__(self, parameters, lr: float = 1e-4, weight_decay: float = 5e-4) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        (group,) = self.param_groups
        norm = math.sqrt(sum(float(p.grad.pow(2).sum()) for p in group["params"] if p.grad is not None))
        for p in group["params"]:
            state = self.state[p]
            if p.grad is None:
                continue
            if not state:
                state.update(step=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
            state["step"] += 1
            grad = p.grad / max(norm, 1.0)
            state["mean"].mul_(0.9).add_(grad, alpha=0.1)
            state["square"].mul_(0.999).addcmul_(grad, grad, value=0.001)
            mean = state["mean"] / (1 - 0.9 ** state["step"])
            change = mean / ((state["square"] / (1 - 0.999 ** state["step"])).sqrt() + 1e-8)
            change = change + group["weight_decay"] * p
            ratio = float(p.norm()) / max(float(change.norm()), 1e-12) if float(p.norm()) > 0 else 1.0
            p.add_(change, alpha=-group["lr"] * ratio)


def log_prob(mean: Tensor, log_std: Tensor, actions: Tensor) -> Tensor:
    """Log-density of squashed actions, summed over their dimensions."""
    before = torch.atanh(actions)
    slope = 2 * (math.log(2) - before - functional.softplus(-2 * before))
    return (Normal(mean, log_std.exp()).log_prob(before) - slope).sum(dim=-1)


def plain_update(model: PlainODT, batch: PolicyBatch) -> Callable[[], None]:
    """The official update on one batch over and over, loading of data left out."""
    observations, actions, returns, mask = map(
        torch.from_numpy, (batch.observations, batch.actions, batch.returns_to_go, batch.mask)
    )
    targets = actions.clamp(-1 + 1e-6, 1 - 1e-6)

    def measure() -> tuple[Tensor, Tensor]:
        mean, log_std = model(observations, actions, returns, mask)
        sampled = torch.tanh(Normal(mean, log_std.exp()).rsample()).clamp(-1 + 1e-6, 1 - 1e-6)
        return log_prob(mean, log_std, targets)[mask].mean(), -log_prob(mean, log_std, sampled).mean()

    return _update(model, measure, actions.shape[-1])


def official_model(
    folder: Path, width: int, layers: int, heads: int, observation_dim: int, action_dim: int, context: int
) -> nn.Module:
    """A checkout's own model with random weights; ``folder`` is the repository's root."""
    sizes = {"n_layer": layers, "n_head": heads, "n_inner": 4 * width, "n_positions": 1024}
    return _from_checkout(folder, "decision_transformer.models.decision_transformer").DecisionTransformer(
        state_dim=observation_dim,
        act_dim=action_dim,
        hidden_size=width,
        action_range=[-1 + 1e-6, 1 - 1e-6],
        max_length=context,
        eval_context_length=5,
        stochastic_policy=True,
        init_temperature=0.1,
        target_entropy=-action_dim,
        activation_function="relu",
        resid_pdrop=DROPOUT,
        attn_pdrop=DROPOUT,
        **sizes,
    )


def official_update(model: nn.Module, batch: PolicyBatch) -> Callable[[], None]:
    """The update of a checkout's own model, on one batch over and over."""
    observations, actions, returns, timesteps, mask = map(
        torch.from_numpy,
        (batch.observations, batch.actions, batch.returns_to_go, batch.timesteps, batch.mask),
    )
    targets, scaled = actions.clamp(-1 + 1e-6, 1 - 1e-6), returns[..., None] * RETURN_SCALE

    def measure() -> tuple[Tensor, Tensor]:
        _, policy, _ = model(observations, targets, None, scaled, timesteps, timesteps, padding_mask=mask.long())
        return policy.log_likelihood(targets)[mask].mean(), policy.entropy().mean()

    return _update(model, measure, actions.shape[-1])


def official_rollout(
    folder: Path, model: nn.Module, envs: Sequence[Environment], steps: int, target: float
) -> Callable[[], int]:
    """Sample one episode in each environment with a checkout's own loop and model; returns the steps."""
    side_by_side, play = _SideBySide(envs), _from_checkout(folder, "evaluation").vec_evaluate_episode_rtg
    size, action_dim = envs[0].observation_space.shape[0], envs[0].action_space.shape[0]
    mean, deviation = np.zeros(size, np.float32), np.ones(size, np.float32)

    def rollout() -> int:
        targets = [target * RETURN_SCALE] * len(envs)
        _, lengths, _ = play(
            side_by_side,
            size,
            action_dim,
            model,
            targets,
            max_ep_len=steps,
            reward_scale=RETURN_SCALE,
            state_mean=mean,
            state_std=deviation,
            device="cpu",
        )
        return int(lengths.sum())

    return rollout


class _SideBySide:
    """Environments in this process as the official loop steps them, none of which ends before the others."""

    def __init__(self, envs: Sequence[Environment]) -> None:
        self.num_envs, self._envs = len(envs), envs

    def reset(self) -> np.ndarray:
        return np.stack([env.reset(seed=seed)[0] for seed, env in enumerate(self._envs)]).astype(np.float32)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, None]:
        results = [env.step(action) for env, action in zip(self._envs, actions, strict=True)]
        observations, rewards, terminated, truncated, _ = map(np.array, zip(*results, strict=True))
        return observations.astype(np.float32), rewards.astype(np.float32), terminated | truncated, None


def _from_checkout(folder: Path, name: str) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(name)


def _update(model: nn.Module, measure: Callable[[], tuple[Tensor, Tensor]], action_dim: int) -> Callable[[], None]:
    """One step of the optimizer and of the temperature, by a likelihood and an entropy."""
    optimizer = PlainLamb([parameter for parameter in model.parameters() if parameter.requires_grad])
    log_temperature = torch.tensor(math.log(0.1), requires_grad=True)
    dual = torch.optim.Adam([log_temperature], lr=1e-4)

    def update() -> None:
        model.train()
        likelihood, entropy = measure()
        loss = -(likelihood + log_temperature.exp().detach() * entropy)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
        dual.zero_grad()
        (log_temperature.exp() * (entropy + action_dim).detach()).backward()
        dual.step()

    return update


@torch.no_grad()
def plain_rollout(
    model: PlainODT, env: Environment, steps: int, target: float, context: int = 20, evaluation_context: int = 5
) -> int:
    """Sample actions for at least ``steps`` steps of one environment after the other; returns the steps."""
    model.eval()
    done = 0
    while done < steps:
        observation, _ = env.reset(seed=done)
        size, action_dim = len(observation), env.action_space.shape[0]
        history: list[tuple[np.ndarray, np.ndarray, float]] = []
        left, ended = target, False
        while not ended:
            history.append((observation, np.zeros(action_dim), left))
            seen = history[-evaluation_context:]
            observations, actions = np.zeros((1, context, size)), np.zeros((1, context, action_dim))
            returns, mask = np.zeros((1, context)), np.zeros((1, context), bool)
            for place, (each, action, to_go) in enumerate(seen, context - len(seen)):
                observations[0, place], actions[0, place], returns[0, place], mask[0, place] = each, action, to_go, True
            inputs = (torch.from_numpy(array.astype(np.float32)) for array in (observations, actions, returns))
            mean, log_std = model(*inputs, torch.from_numpy(mask))
            action = torch.tanh(Normal(mean[0, -1], log_std[0, -1].exp()).sample()).numpy()
            history[-1] = (observation, action, left)
            observation, reward, terminated, truncated, _ = env.step(action)
            left, ended, done = left - float(reward), terminated or truncated, done + 1
    return done
