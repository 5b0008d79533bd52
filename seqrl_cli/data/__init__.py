"""Datasets, from files to training batches.

- ``catalogue``: datasets by name or path; ``pretrained``: published checkpoints; ``d4rl_package``: D4RL's own list.
- ``download/``: fetches files; ``formats/``: reads and writes them; ``safe_pickle/``: parses untrusted pickles.
- ``episodes``: the data in memory; ``targets``: rewards and values; ``discretizer``, ``tokens``: values as tokens.
- ``windows``, ``policy_windows``: the pieces of episodes that models train on.
"""
