"""The numbers that a run logs.

In reading order:

- ``sinks``: the interface that receives log steps, and its implementations.
- ``metrics``: reads and writes ``metrics.jsonl``, and defines the names of its numbers.
"""
