"""Verbs that show results: table, plot, render."""
