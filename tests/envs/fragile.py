"""An environment that dies as native code does, with its whole process, when it is told to.

``FRAGILE`` names a folder, in which it counts its resets. A file ``mischief.json`` in it says what happens, in which
step of an episode, from which reset on and whether only once.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import gymnasium
import numpy as np

from seqrl_cli.envs.trust import accept
from seqrl_cli.errors import SeqrlError

FRAGILE, FICKLE = "tests.envs.fragile:Fragile-v0", "tests.envs.fragile:Fickle-v0"
accept(FRAGILE)
accept(FICKLE)


def break_down() -> None:
    raise ValueError("a gear is missing\nand more")


def refuse() -> None:
    raise SeqrlError("there is no oil", "buy some")


def hang() -> None:
    (folder() / "hangs").write_text(str(os.getpid()))
    time.sleep(600)


def fork_helper() -> None:
    """Leave a process that has no end of its own, or at least none within the time of a test."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(120)
        while True:
            signal.pause()
    (folder() / "helper").write_text(str(pid))


def fork_and_die() -> None:
    fork_helper()
    os.kill(os.getpid(), signal.SIGKILL)


WHATS = {
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "kill the parent": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "raise": break_down,
    "refuse": refuse,
    "hang": hang,
    "fork": fork_helper,
    "fork and die": fork_and_die,
}


def folder() -> Path:
    return Path(os.environ["FRAGILE"])


def plot_mischief(what: str, *, step: int, reset: int = 1, once: bool = True) -> None:
    """Arrange for what shall happen; ``reset`` counts those in all processes, from 1; both are 0 when it is made."""
    (folder() / "resets").unlink(missing_ok=True)
    (folder() / "mischief.json").write_text(json.dumps(dict(what=what, step=step, reset=reset, once=once)))


def mend() -> None:
    (folder() / "mischief.json").unlink(missing_ok=True)  # processes side by side may mend it at the same time


class Fragile(gymnasium.Env):
    """Two pushes move three numbers, with noise; it ends when one of them goes too far."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, render_mode=None):
        self.steps = 0
        self.misbehave()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        print("a fragile environment begins")
        with (folder() / "resets").open("a") as resets:
            resets.write(".")
        self.steps, self.position = 0, self.np_random.normal(size=3)
        return self.position, {}

    def step(self, action):
        self.steps += 1
        self.misbehave()
        push = np.array([action[0], action[1], action[0] * action[1]])
        self.position = 0.9 * self.position + 0.3 * push + 0.1 * self.np_random.normal(size=3)
        return self.position, float(self.position.sum()), abs(self.position[0]) > 2.5, False, {}

    def misbehave(self) -> None:
        path = folder() / "mischief.json"
        if not path.exists():
            return
        plot = json.loads(path.read_text())
        resets = folder() / "resets"
        if self.steps == plot["step"] and (resets.stat().st_size if resets.exists() else 0) >= plot["reset"]:
            if plot["once"]:
                mend()
            WHATS[plot["what"]]()


class Fickle(Fragile):
    """Has a mind of its own beside the seed."""

    def step(self, action):
        observation, *rest = super().step(action)
        return observation + np.frombuffer(os.urandom(3), np.uint8), *rest


gymnasium.register("Fragile-v0", Fragile, max_episode_steps=20)
gymnasium.register("Fickle-v0", Fickle, max_episode_steps=20)
