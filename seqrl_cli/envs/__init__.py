"""Environments for a dataset, stepped many at a time, and normalized scores."""
