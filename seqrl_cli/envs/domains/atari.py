"""Atari games of the Arcade Learning Environment (Bellemare et al., 2013) with the usual preprocessing.

As in DQN (Mnih et al., 2015, "Methods"): each action lasts four frames; an observation is the maximum of the last two
frames, grey, 84x84; an episode starts with up to 30 frames without an action. Rewards are the game's own, not clipped,
and losing a life ends nothing. All games have the same 18 actions, so that one model can play all of them.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

from seqrl_cli.errors import SeqrlError

FRAME_SKIP = 4
SIDE = 84
EPISODE_STEPS = 27_000
_NOOP_FRAMES = 30
_NUM_ACTIONS = 18


class AtariEnv(gymnasium.Env[np.ndarray, Any]):
    """One game: observations ``(84, 84)`` uint8, 18 actions.

    Args:
        rom: the game as ALE names its file, for example ``ms_pacman``.
        render_mode: ``rgb_array`` or None.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 60 // FRAME_SKIP}

    def __init__(self, rom: str, render_mode: str | None = None) -> None:
        from ale_py import ALEInterface, LoggerMode

        ALEInterface.setLoggerMode(LoggerMode.Error)
        self.render_mode = render_mode
        self._rom = _path_of(rom)
        self._ale: Any = ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._load(0)
        self._actions = self._ale.getLegalActionSet()
        height, width = self._ale.getScreenDims()
        self._frames = np.zeros((2, height, width), np.uint8)
        self.observation_space = gymnasium.spaces.Box(0, 255, (SIDE, SIDE), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(_NUM_ACTIONS)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a game; the number of frames without an action comes from the seed."""
        super().reset(seed=seed)
        if seed is not None:
            self._load(int(self.np_random.integers(2**31)))
        self._ale.reset_game()
        for _ in range(int(self.np_random.integers(1, _NOOP_FRAMES + 1))):
            self._ale.act(self._actions[0])
            if self._ale.game_over():
                self._ale.reset_game()
        self._ale.getScreenGrayscale(self._frames[1])
        self._frames[0] = self._frames[1]
        return self._picture(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Hold one action for four frames, or until the game is over; its last picture is then the one before.

        So does the wrapper of gymnasium, with which others recorded their data.
        """
        chosen = self._actions[int(action)]
        reward = 0.0
        for frame in range(FRAME_SKIP):
            reward += self._ale.act(chosen)
            if frame >= FRAME_SKIP - 2:
                self._ale.getScreenGrayscale(self._frames[frame - FRAME_SKIP + 2])
            if self._ale.game_over():
                break
        return self._picture(), reward, bool(self._ale.game_over()), False, {}

    def render(self) -> np.ndarray | None:
        """The screen (height, 160, 3) uint8 in colour; most games are 210 high."""
        return None if self.render_mode is None else np.asarray(self._ale.getScreenRGB())

    def _load(self, seed: int) -> None:
        """Load the game, whose random stream depends on the seed; a seed takes effect only here."""
        self._ale.setInt("random_seed", seed)
        self._ale.loadROM(self._rom)

    def _picture(self) -> np.ndarray:
        whole = Image.fromarray(np.maximum(self._frames[0], self._frames[1]))
        return np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BOX))


def _path_of(rom: str) -> Any:
    """Where a game's file lies, which the package reads and compares with its hash.

    Raises:
        SeqrlError: it is missing or damaged.
    """
    from ale_py import roms

    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints where it looks if a variable says so
            return roms.get_rom_path(rom)
    except OSError as error:
        hint = "pip install --force-reinstall ale-py brings all games; ALE_ROMS_DIR, if set, names another folder"
        raise SeqrlError(f"the game {rom} cannot be loaded: {str(error).splitlines()[0]}", hint) from error


def effective_actions(rom: str) -> np.ndarray:
    """Which of the 18 actions have an effect of their own in a game, (actions,) int64, in their order.

    Other programs number only these.

    Args:
        rom: the game as ALE names its file.
    """
    game = AtariEnv(rom)
    every = list(game._actions)
    return np.array([every.index(action) for action in game._ale.getMinimalActionSet()], np.int64)
