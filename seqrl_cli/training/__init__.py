"""Training of token models and policies, resumable to the bit.

In reading order:

- ``loop``: ``fit`` makes updates, log steps and checkpoints until the last update.
- ``trainer``: the interface between the loop and what it trains.
- ``token_trainer``: trains a GPT or RetNet on windows of tokens.
- ``policy_trainer``: trains a policy on windows of steps.
- ``policy_learner``: the gradient steps of a policy, offline and online.
- ``checkpoints``: folders of safetensors and JSON, written whole or not at all.
- ``sampler``, ``schedule``, ``optimizer``, ``lamb``, ``acceleration``, ``meters``: the parts of the trainers.
- ``rng``, ``signals``: random number generators and Ctrl-C.
"""
