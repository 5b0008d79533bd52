"""L2M and HiDe-LoRA written plainly, as their originals compute them (ml-jku/L2M, chufanchen/MDDT).

A step is nine tokens, since actions are padded to six numbers; every sample gets a copy of its adapter; the pool is one
tensor, so that all of it has a gradient; play encodes the whole window again for each number of an action.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIONS, BINS, RANK, SCALE = 6, 64, 8, 2.0
TOKENS = ACTIONS + 3  # state, return-to-go, actions, reward


class PlainBlock(nn.Module):
    """A block of GPT-2 whose queries, values and feed-forward half have adapters per sample."""

    def __init__(self, width: int, heads: int, pool: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.shrink = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.requires_grad_(False)
        sizes = {"query": (width, width), "value": (width, width), "mlp": (4 * width, 4 * width)}
        self.down = nn.ParameterDict({key: torch.randn(pool, into, RANK) / 30 for key, (into, _) in sizes.items()})
        self.up = nn.ParameterDict({key: torch.zeros(pool, RANK, out) for key, (_, out) in sizes.items()})

    def adapt(self, part: str, x: Tensor, members: Tensor) -> Tensor:
        """What the members (batch,) add to x (batch, tokens, inputs)."""
        return SCALE * torch.bmm(torch.bmm(x, self.down[part][members]), self.up[part][members])

    def forward(self, x: Tensor, members: Tensor) -> Tensor:
        """(batch, tokens, width) to the same."""
        batch, tokens, width = x.shape
        normed = self.norm_attention(x)
        query, key, value = self.qkv(normed).chunk(3, dim=-1)
        query = query + self.adapt("query", normed, members)
        value = value + self.adapt("value", normed, members)
        query, key, value = (one.view(batch, tokens, self.heads, -1).transpose(1, 2) for one in (query, key, value))
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
        weights = scores.masked_fill(~causal, -torch.inf).softmax(dim=-1)
        x = x + self.project((weights @ value).transpose(1, 2).reshape(batch, tokens, width))
        hidden = self.expand(self.norm_mlp(x))
        hidden = hidden + self.adapt("mlp", hidden, members)  # on the outputs, as in L2M's code
        return x + self.shrink(functional.gelu(hidden))


class PlainModel(nn.Module):
    """A frozen multi-domain Decision Transformer with a pool of adapters and their keys."""

    def __init__(self, observation: int, context: int, layers: int, heads: int, width: int, pool: int) -> None:
        super().__init__()
        self.context = context
        self.embed_state, self.embed_number = nn.Linear(observation, width), nn.Linear(1, width)
        self.embed_action, self.embed_time = nn.Embedding(BINS, width), nn.Embedding(1000, width)
        self.norm_embedding, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.head = nn.Linear(width, BINS)
        self.requires_grad_(False)
        self.blocks = nn.ModuleList(PlainBlock(width, heads, pool) for _ in range(layers))
        self.keys = nn.Parameter(torch.empty(pool, width).uniform_(-1, 1))

    def embed(self, states: Tensor, numbers: Tensor, actions: Tensor, times: Tensor) -> Tensor:
        """Tokens (batch, time, TOKENS, width) of states, two numbers per step, and ids of actions."""
        listed = [self.embed_state(states).unsqueeze(2), self.embed_number(numbers[:, :, :1, None])]
        listed += [self.embed_action(actions), self.embed_number(numbers[:, :, 1:, None])]
        return self.norm_embedding(torch.cat(listed, dim=2) + self.embed_time(times)[:, :, None])

    def chosen(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The members (batch,) with the nearest keys, and the cosines (batch,)."""
        query = functional.normalize(tokens[:, :, 0].mean(dim=1).detach(), dim=-1)
        similarity = query @ functional.normalize(self.keys, dim=-1).T
        best, members = similarity.max(dim=1)
        return members, best

    def logits(self, tokens: Tensor, members: Tensor) -> Tensor:
        """Logits (batch, time, ACTIONS, BINS)."""
        batch, time, _, width = tokens.shape
        x = tokens.reshape(batch, time * TOKENS, width)
        for block in self.blocks:
            x = block(x, members)
        found: Tensor = self.head(self.norm(x.view(batch, time, TOKENS, width)[:, :, 1 : 1 + ACTIONS]))
        return found

    def loss(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], action_dim: int, task: int | None) -> Tensor:
        """The loss of a task's adapter, or of those with the nearest keys if ``task`` is None."""
        tokens = self.embed(*batch)
        if task is None:
            members, cosine = self.chosen(tokens)
            pull = -0.5 * cosine.mean()
        else:
            members, pull = torch.full((len(tokens),), task), torch.zeros(())
        logits, targets = self.logits(tokens, members)[:, :, :action_dim], batch[2][:, :, :action_dim]
        return functional.cross_entropy(logits.flatten(0, 2), targets.flatten()) + pull

    @torch.no_grad()
    def act(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], action_dim: int, task: int | None) -> Tensor:
        """Ids (batch, action_dim) of the last step's action, for each of which the window is encoded again."""
        states, numbers, actions, times = batch
        for dimension in range(action_dim):
            tokens = self.embed(states, numbers, actions, times)
            members = self.chosen(tokens)[0] if task is None else torch.full((len(tokens),), task)
            actions = actions.clone()
            actions[:, -1, dimension] = self.logits(tokens, members)[:, -1, dimension].argmax(dim=-1)
        return actions[:, -1, :action_dim]


def random_batch(
    size: int, time: int, observation: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """States, numbers, actions and times of a batch."""
    states = torch.randn(size, time, observation, generator=generator)
    numbers = torch.randn(size, time, 2, generator=generator)
    actions = torch.randint(0, BINS, (size, time, ACTIONS), generator=generator)
    return states, numbers, actions, torch.arange(time).expand(size, time)
