"""``seqrl sweep``: many trainings and their plans, run side by side here or on a cluster."""
