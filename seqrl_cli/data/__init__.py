"""Datasets: catalogue, sources, episodes, value targets, discretizer, tokens and windows."""
