"""Commands that exchange runs: import, export, push, pull, and download of published checkpoints."""
