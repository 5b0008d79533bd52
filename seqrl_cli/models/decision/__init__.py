"""Policies: Decision Transformers and behaviour cloning.

In reading order:

- ``decision_transformer``: the deterministic (dt) and the stochastic (odt) transformer.
- ``behaviour_cloning``: the perceptron (bc).
- ``action_distribution``: the distributions that they predict.
- ``normalizer``: scaling of observations and actions.
- ``decoder``: the next action in many episodes at once.
- ``build``: policies by name.
"""
