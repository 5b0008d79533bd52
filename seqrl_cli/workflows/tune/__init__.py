"""``seqrl tune``: a search over hyperparameters, whose trials are ordinary runs."""
