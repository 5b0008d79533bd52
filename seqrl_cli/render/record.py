"""An episode as ``plan`` recorded it: true states, rewards, and the plan behind every step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seqrl_cli.data.hdf5 import open_hdf5
from seqrl_cli.errors import SeqrlError

_HINT = "`seqrl plan` writes an episode-000.json and an episode-000.h5 for each episode"


@dataclass(frozen=True)
class EpisodeRecord:
    """One closed-loop episode of T steps.

    Attributes:
        path: the HDF5 file.
        env_id: the environment that was played.
        dataset: the dataset that the model was trained on.
        run: name of the model.
        episode: number of the episode within its plan folder.
        score: normalized score of the whole episode, as a fraction.
        rewards: ``(T,)``.
        qpos: true generalized positions before every step and after the last, ``(T+1, nq)``.
        plan_observations: ``(T, H, observation_dim)``, NaN where no plan was made; None when the model does not plan.
    """

    path: Path
    env_id: str
    dataset: str
    run: str
    episode: int
    score: float
    rewards: np.ndarray
    qpos: np.ndarray
    plan_observations: np.ndarray | None

    @property
    def steps(self) -> int:
        """Number of environment steps T."""
        return len(self.rewards)


def read_record(path: Path) -> EpisodeRecord:
    """Read an episode by the path of its JSON or its HDF5 file; the two lie side by side.

    Raises:
        SeqrlError: one of them is missing, truncated, damaged or does not come from ``plan``.
    """
    outcome = _read_outcome(path.with_suffix(".json"))
    states = path.with_suffix(".h5")
    with open_hdf5(states, _HINT) as file:
        rewards, qpos = _array(file, states, "rewards", 1), _array(file, states, "qpos", 2)
        plans = _array(file, states, "plan_observations", 3) if "plan_observations" in file else None
        env_id = file.attrs.get("env_id")
    if not isinstance(env_id, str):
        raise SeqrlError(f"{states} does not say which environment it is from", _HINT)
    if not len(rewards) or len(qpos) != len(rewards) + 1 or (plans is not None and len(plans) != len(rewards)):
        raise SeqrlError(f"{states} has {len(rewards)} rewards but {len(qpos)} states; it is not whole", _HINT)
    for name, array in (("rewards", rewards), ("qpos", qpos)):
        if not np.isfinite(array).all():
            raise SeqrlError(f"{name} in {states} has values that are not finite", _HINT)
    return EpisodeRecord(path=states, env_id=env_id, **outcome, rewards=rewards, qpos=qpos, plan_observations=plans)


def _read_outcome(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            "dataset": str(content["dataset"]),
            "run": str(content["run"]),
            "episode": int(content["episode"]),
            "score": float(content["score"]),
        }
    except FileNotFoundError as error:
        raise SeqrlError(f"there is no file {path}", _HINT) from error
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror}", _HINT) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SeqrlError(f"{path} is truncated or not an episode that plan wrote", _HINT) from error


def _array(file: h5py.File, path: Path, name: str, axes: int) -> np.ndarray:
    """One dataset as float64 with the expected number of axes."""
    if not isinstance(file.get(name), h5py.Dataset):
        raise SeqrlError(f"{path} has no {name}; it is not an episode that plan wrote", _HINT)
    if file[name].ndim != axes or file[name].dtype.kind not in "fiu":
        raise SeqrlError(f"{name} in {path} has shape {file[name].shape}, not {axes} axes of numbers", _HINT)
    return np.asarray(file[name][...], dtype=np.float64)
