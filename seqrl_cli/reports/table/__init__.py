"""The table of results: built once, printed as terminal text, Markdown, CSV or LaTeX."""
