"""Files on a disk, whatever they are about.

Everything in the package opens, parses and writes files through this room, because anyone may have made them.

- ``regular``: opens regular files only; never a pipe or a device, never more bytes than expected.
- ``json_text``, ``yaml_text``: JSON and YAML, bounded in size, nesting and digits.
- ``json_fields``: checked fields of JSON objects.
- ``log_tail``: the last lines and the last error of a log.
- ``hdf5``: HDF5 files, read without what is in other files, and written so that a full disk is an error.
- ``atomic``: writes that happen completely or not at all.
"""
