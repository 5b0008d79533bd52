"""Verbs about datasets: download, discretize, collect, export, list."""
