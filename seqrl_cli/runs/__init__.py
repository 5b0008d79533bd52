"""The run directory: layout, atomic writes, records and locks."""
