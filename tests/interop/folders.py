"""Folders as the other projects write them, with random weights; names and shapes are spelled here anew."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from seqrl_cli.files.safe_pickle.vocabulary import Global
from seqrl_cli.interop.pickle_writer import dump_object
from tests.interop.spelling import BUILD, END, NEWOBJ, dict_of, name, zip_file

HOPPER = {"observation_dim": 11, "action_dim": 3, "transition_dim": 16}
BINS, WIDTH, LAYERS, HEADS, TRANSITIONS = 20, 16, 2, 2, 4
BLOCK = TRANSITIONS * HOPPER["transition_dim"]


def random_state(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


def mask(size: int) -> Tensor:
    """True where a key is visible."""
    visible = torch.ones(size, size, dtype=torch.bool).tril()
    visible[:, HOPPER["transition_dim"] - 1 :: HOPPER["transition_dim"]] = False
    return visible


def both(prefix: str, *shape: int) -> dict[str, tuple[int, ...]]:
    """A weight and a bias."""
    return {f"{prefix}.weight": shape, f"{prefix}.bias": shape[:1]}


def config_pickle(kind: str, arguments: dict[str, Any]) -> bytes:
    return dump_object("trajectory.utils.config.Config", {"_class": Global(kind), "_dict": arguments})


def trajectory_transformer(
    folder: Path, *, seed: int = 0, epoch: int = 7, is_zip: bool = True, model: Any = (), data: Any = ()
) -> Path:
    """A Trajectory Transformer of a hopper's sizes; ``model`` and ``data`` change its configurations."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = HOPPER["transition_dim"] * BINS + 1
    shapes = {"pos_emb": (1, BLOCK - 1, WIDTH), "tok_emb.weight": (rows, WIDTH), **both("ln_f", WIDTH)}
    shapes["head.weight"] = (HOPPER["transition_dim"], BINS + 1, WIDTH)
    masks = {}
    for block in (f"blocks.{i}" for i in range(LAYERS)):
        shapes |= both(f"{block}.ln1", WIDTH) | both(f"{block}.ln2", WIDTH)
        for part in ("key", "query", "value", "proj"):
            shapes |= both(f"{block}.attn.{part}", WIDTH, WIDTH)
        shapes |= both(f"{block}.mlp.0", 4 * WIDTH, WIDTH) | both(f"{block}.mlp.2", WIDTH, 4 * WIDTH)
        masks[f"{block}.attn.mask"] = mask(BLOCK - 1).float()[None, None]
    state = random_state(shapes, seed) | masks
    torch.save(state, folder / f"state_{epoch}.pt", _use_new_zipfile_serialization=is_zip)
    sizes = {"vocab_size": BINS, "block_size": BLOCK - 1, "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH}
    dropouts = {"embd_pdrop": 0.1, "resid_pdrop": 0.1, "attn_pdrop": 0.1}
    arguments = {**sizes, **HOPPER, **dropouts, **dict(model)}
    (folder / "model_config.pkl").write_bytes(config_pickle("trajectory.models.transformers.GPT", arguments))
    settings = {"env": "hopper-medium-v2", "N": BINS, "penalty": -100, "sequence_length": TRANSITIONS, "step": 1}
    settings |= {"discount": 0.99, "discretizer": "QuantileDiscretizer", **dict(data)}
    kind = "trajectory.datasets.sequence.DiscretizedDataset"
    (folder / "data_config.pkl").write_bytes(config_pickle(kind, settings))
    return folder


def faster_trajectory_transformer(
    folder: Path, *, seed: int = 0, edges: np.ndarray | None = None, model: Any = (), data: Any = ()
) -> Path:
    """A Faster Trajectory Transformer of a hopper's sizes, its bins from -3 to 3 in all dimensions."""
    folder.mkdir(parents=True, exist_ok=True)
    dims = HOPPER["transition_dim"]
    shapes = {"pos_emb": (1, BLOCK, WIDTH), "tok_emb.weight": (dims * BINS, WIDTH), **both("norm", WIDTH)}
    shapes["head.weight"] = (dims, BINS, WIDTH)
    masks = {}
    for block in (f"blocks.{i}" for i in range(LAYERS)):
        shapes |= both(f"{block}.norm1", WIDTH) | both(f"{block}.norm2", WIDTH)
        shapes |= {
            f"{block}.attention.in_proj_weight": (3 * WIDTH, WIDTH),
            f"{block}.attention.in_proj_bias": (3 * WIDTH,),
        }
        shapes |= both(f"{block}.attention.out_proj", WIDTH, WIDTH)
        shapes |= both(f"{block}.mlp.0", 4 * WIDTH, WIDTH) | both(f"{block}.mlp.2", WIDTH, 4 * WIDTH)
        masks[f"{block}.attn_mask"] = ~mask(BLOCK)
    torch.save(random_state(shapes, seed) | masks, folder / "model_last.pt")
    edges = np.tile(np.linspace(-3, 3, BINS + 1), (dims, 1)) if edges is None else edges
    program = name("trajectory.utils.discretization", "KBinsDiscretizer") + b")" + NEWOBJ
    program += dict_of(bin_edges=pickle.dumps(edges, protocol=2)[2:-1]) + BUILD + END
    (folder / "discretizer.pt").write_bytes(zip_file(program))
    sizes = {"vocab_size": BINS, "seq_len": BLOCK, "embedding_dim": WIDTH, "num_layers": LAYERS, "num_heads": HEADS}
    settings = {"env_name": "hopper-medium-v2", "seq_len": TRANSITIONS, "num_bins": BINS, "discount": 0.99}
    config = {
        "dataset": {**settings, "strategy": "uniform", **dict(data)},
        "model": {**sizes, **HOPPER, "use_sep_heads": True, **dict(model)},
        "trainer": {"eval_beam_width": 3, "eval_beam_steps": 2, "eval_beam_context": 9, "eval_k_act": None},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def trajectory_retnet(folder: Path, *, seed: int = 0) -> Path:
    """A Trajectory RetNet of a hopper's sizes."""
    trajectory_transformer(folder, seed=seed)
    rows = HOPPER["transition_dim"] * BINS + 1
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (rows, WIDTH), "layer_norm.weight": (WIDTH,)}
    shapes["output_projection.weight"] = (HOPPER["transition_dim"], BINS + 1, WIDTH)
    for layer in (f"layers.{i}" for i in range(LAYERS)):
        shapes |= {f"{layer}.retention.{part}_proj.weight": (WIDTH, WIDTH) for part in ("q", "k")}
        shapes |= {f"{layer}.retention.{part}_proj.weight": (2 * WIDTH, WIDTH) for part in ("v", "g")}
        shapes |= {f"{layer}.ffn.{part}.weight": (3 * WIDTH, WIDTH) for part in ("fc1", "gate")}
        shapes |= {
            f"{layer}.retention.out_proj.weight": (WIDTH, 2 * WIDTH),
            f"{layer}.ffn.fc2.weight": (WIDTH, 3 * WIDTH),
        }
        shapes |= {f"{layer}.{part}.weight": (WIDTH,) for part in ("retention_layer_norm", "final_layer_norm")}
    derived = {"retnet_rel_pos.angle": torch.zeros(WIDTH // HEADS), "retnet_rel_pos.decay": torch.zeros(HEADS)}
    torch.save(random_state(shapes, seed) | derived, folder / "state_7.pt")
    named = {"decoder_layers": LAYERS, "decoder_value_embed_dim": 2 * WIDTH, "decoder_ffn_embed_dim": 3 * WIDTH}
    rest = {"decoder_retention_heads": HEADS, "decoder_embed_dim": WIDTH, "block_size": BLOCK - 1, **HOPPER}
    attributes = {**named, "vocab_size": BINS, "dropout": 0.0, "_dict": rest}
    config = dump_object("torchscale.architecture.config.RetNetConfig", attributes)
    (folder / "model_config.pkl").write_bytes(config)
    return folder
