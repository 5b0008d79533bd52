"""The table of results.

================  ===================================================================================================
``build``         computes the table: rows of statistics, references, notes
``stored``        computes it with what the datasets in the run directory tell
``rows``          its rows as plain data
``deltas``        rows of what fine-tuning changed
``comparison``    methods side by side, in the published table's order of datasets; ``side_by_side`` makes it of rows
``published``     reads the published results
``aggregate``     methods over several datasets; ``aggregate_formats`` prints and writes them
``tasks``         results by task or domain; ``task_formats`` prints and writes them
``continual``     results of learning one task after another; ``continual_tasks`` has them task by task
``output``        what all tables share: lines and notes on the terminal, records as CSV
``terminal``      prints the table as wide as the console
``layout``        lays out columns as lines of text, for ``terminal``
``text``          writes the table as Markdown, CSV or rows for JSON
``latex``         writes the comparison as LaTeX
``escape``        names in foreign files as plain text in each format
================  ===================================================================================================
"""
