"""Verbs that print what is there: runs, presets, datasets, the machine."""
