"""Commands that show results: table, plot, render, report."""
