"""Online fine-tuning of a policy: explore, learn from a replay buffer, evaluate.

In reading order:

- ``context``: the settings, and what the loop works with.
- ``loop``: the loop itself, with its checkpoints.
- ``collector``: plays the episodes of an iteration.
- ``players``: who plays them: this process, or several that share them.
- ``buffer``: the replay buffer in memory.
- ``buffer_files``: the replay buffer on disk.
"""
