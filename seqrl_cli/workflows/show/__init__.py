"""Verbs that list and show: runs, presets, datasets, the machine."""
