"""Policies that generate datasets, and the collection of datasets.

- ``policies``: linear and random policies; ``library``: those that ship with the package.
- ``qualities``: the five qualities of simulated datasets; ``collect``: episodes of any policies.
- ``workers``: the processes that play them.
"""
