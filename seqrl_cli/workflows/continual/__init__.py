"""``seqrl continual``: learn the tasks of a suite one after the other from a trained model."""
