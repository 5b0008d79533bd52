"""Plots of runs and plans: curves, panels, drawing."""
