"""``python -m seqrl_cli.launch.tied …``: seqrl, but it saves and ends when the process that started it is gone.

The parent keeps the other end of stdin open and writes nothing. However it ends, by ``kill -9`` or by a lost power
supply of its node, stdin reaches its end, and this process treats that like SIGTERM.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    runpy.run_module("seqrl_cli", run_name="__main__", alter_sys=True)
