"""Learning tasks one after the other from a trained model: methods, their training, and their evaluation.

A method is an entry of :mod:`~seqrl_cli.continual.methods`. A :class:`~seqrl_cli.continual.learner.Learner` learns one
task at a time with it, and a :class:`~seqrl_cli.continual.choosers.Chooser` decides in play which adapter acts.
"""
