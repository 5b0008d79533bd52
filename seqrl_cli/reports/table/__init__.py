"""The table of results.

==============  =====================================================================================================
``build``       computes the table: rows of statistics, references, notes
``deltas``      rows of what online fine-tuning changed
``comparison``  methods side by side, in the published table's order of datasets
``published``   reads the published results
``terminal``    prints the table as wide as the console
``layout``      lays out columns as lines of text, for ``terminal``
``text``        writes the table as Markdown, CSV or rows for JSON
``latex``       writes the comparison as LaTeX
``escape``      names in foreign files as plain text in each format
==============  =====================================================================================================
"""
