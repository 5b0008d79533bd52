"""Planning with a trained model: beam search, agents, the closed loop, and the files of planned episodes.

``beam`` knows models only as decoders (:mod:`seqrl_cli.models.decoding.interface`); ``policy_agent`` and ``task_agent``
follow policies, which do not search. ``rollout`` plays any of them.
"""
