"""Environments for a dataset, stepped many at a time, and normalised scores."""
