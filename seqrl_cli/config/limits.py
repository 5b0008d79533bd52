"""Limits that options of the command line share with keys of the configuration."""

MAX_SEED = 2**64 - 1
"""PyTorch's generators take no larger one."""
