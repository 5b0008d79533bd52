"""Readers and writers of dataset formats, from files to ``Episodes``.

- ``read``: any format, chosen by suffix or content.
- ``d4rl`` (HDF5, also written), ``npz``, ``pickled_episodes``, ``minari`` (also written): one format each.
- ``columns``: flat arrays, checked and split into episodes.
"""
