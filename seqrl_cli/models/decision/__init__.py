"""Policies: Decision Transformers, behaviour cloning, and the model for many tasks.

===========================  ========================================================================================
``decision_transformer``     the deterministic (dt) and the stochastic (odt) transformer
``behaviour_cloning``        the perceptron (bc)
``action_distribution``      the distributions that they predict
``normalizer``               scaling of observations and actions
``initialization``           initial weights of all transformers here
``decoder``                  the next action in many episodes at once
``multi_domain``             the transformer for tasks of several domains (mddt), with a ``return_head``
``action_tokens``            its actions as tokens; ``step_tokens`` has the order of all tokens of a step
``multi_domain_decoder``     its next action in many episodes at once; ``action_choice`` chooses, ``task_history``
                             remembers
``implementations``          entries of the registry: how policies are made, decoded and recognized
``build``                    policies by name
===========================  ========================================================================================
"""
