"""Training of token models, policies and models for many tasks, resumable to the bit.

In reading order:

- ``loop``: ``fit`` makes updates, log steps and checkpoints until the last update.
- ``trainer``: the interface between the loop and what it trains.
- ``token_trainer``: trains a GPT or RetNet on windows of tokens.
- ``policy_trainer``: trains a policy on windows of steps.
- ``policy_learner``: the gradient steps of a policy, offline and online.
- ``task_trainer``, ``task_losses``: trains a model for many tasks on windows of all of them.
- ``checkpoints``: folders of safetensors and JSON, written whole or not at all.
- ``sampler``, ``schedule``, ``optimizer``, ``lamb``, ``acceleration``, ``meters``: the parts of the trainers.
- ``rng``, ``signals``: random number generators and Ctrl-C.
"""
